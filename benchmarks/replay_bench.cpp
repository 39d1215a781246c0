#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/core/derivative.hpp"
#include "rooftune/core/memory.hpp"
#include "rooftune/data/config_file.hpp"
#include "rooftune/data/data_directory.hpp"
#include "rooftune/data/gpus.hpp"
#include "rooftune/data/ground_truth.hpp"
#include "rooftune/data/models.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "rooftune/params/term.hpp"
#include "rooftune/sim/simulate.hpp"

/// What one evaluation of the shipped H100 experiments costs on one core: about 98,000 requests in fifteen runs.
namespace rooftune {
namespace {

template <class T>
T value_or_exit(core::Result<T> result) {
  if (result) return *std::move(result);
  fmt::print(stderr, "{}\n", core::format(result.error()));
  std::exit(1);
}

/// The experiments, with the parameters that a fit of the physics model gave.
struct Replay {
  std::vector<domain::ModelSpec> models = value_or_exit(data::default_models());
  std::vector<domain::GpuSpec> gpus = value_or_exit(data::default_gpus());
  params::Config config;
  eval::Dataset dataset;

  Replay() {
    const std::filesystem::path data = value_or_exit(data::data_directory());
    config = value_or_exit(data::read_config(data / "configs/tuned/h100.physics.json", gpus)).config;
    data::GroundTruth truth = value_or_exit(data::read_ground_truth(data / "ground_truth/h100.json"));
    dataset = value_or_exit(
        eval::make_dataset({.experiments = std::move(truth.experiments), .models = models, .gpus = gpus, .config = config}));
  }
};

const Replay& replay() {
  static const Replay loaded;
  return loaded;
}

/// Small: what is counted is what a term costs, and not the longer steps that it makes.
constexpr double kTermCoefficient_us = 1e-6;

/// All parameters of the physics model in turn, one per direction.
template <class Scalar>
params::Resolved<Scalar> seeded(const params::Resolved<double>& values) {
  params::Resolved<Scalar> parameters = values.as<Scalar>();
  if constexpr (core::carries_derivatives<Scalar>) {
    int direction = 0;
    for (std::size_t i = 0; i < params::parameter_registry().size() && direction < core::ScalarTraits<Scalar>::width; ++i) {
      const params::ParameterId id{i};
      if (id.spec().group() == "physics" || id.spec().group() == "frontend") parameters[id].v[direction++] = values[id];
    }
  }
  return parameters;
}

template <class Scalar>
void replay_all(benchmark::State& state, std::string_view step_time_model, const sim::SimulationOptions& options,
                std::optional<params::ParameterId> term = {}) {
  const Replay& input = replay();
  std::vector<params::Resolved<Scalar>> parameters;
  for (const eval::Case& item : input.dataset.cases) {
    params::Resolved<double> values = params::resolve(input.config, item.experiment.deployment, item.gpu);
    if (term) values[*term] = kTermCoefficient_us;
    parameters.push_back(seeded<Scalar>(values));
  }
  sim::EngineCounters counted;
  for (auto _ : state) {
    for (std::size_t i = 0; i < input.dataset.cases.size(); ++i) {
      const auto prediction = sim::simulate<Scalar>(step_time_model, input.dataset.cases[i].scenario(*input.dataset.cases[i].plan(0)),
                                                    parameters[i], options);
      counted.steps += prediction.counters.steps;
      counted.advances += prediction.counters.advances;
      benchmark::DoNotOptimize(prediction.summary.e2e_mean_us);
    }
  }
  state.counters["steps_per_second"] = benchmark::Counter(static_cast<double>(counted.steps), benchmark::Counter::kIsRate);
  state.counters["events_per_second"] = benchmark::Counter(static_cast<double>(counted.advances), benchmark::Counter::kIsRate);
}

void register_all() {
  const auto add = [](const std::string& name, auto&& body) {
    benchmark::RegisterBenchmark(name.c_str(), body)->Unit(benchmark::kMillisecond);
  };
  add("replay_all_1core", [](benchmark::State& state) { replay_all<double>(state, "physics", {}); });
  add("replay_all_1core_plain_stepping",
      [](benchmark::State& state) { replay_all<double>(state, "physics", {.stepping = sim::Stepping::plain}); });
  add("replay_all_1core_percentiles",
      [](benchmark::State& state) { replay_all<double>(state, "physics", {.percentiles = sim::Percentiles::compute}); });
  add("replay_all_1core_8_derivatives",
      [](benchmark::State& state) { replay_all<core::Dual<core::kNarrowWidth>>(state, "physics", {}); });
  add("replay_all_1core_16_derivatives",
      [](benchmark::State& state) { replay_all<core::Dual<core::kMediumWidth>>(state, "physics", {}); });
  add("replay_all_1core_24_derivatives",
      [](benchmark::State& state) { replay_all<core::Dual<core::kWideWidth>>(state, "physics", {}); });
  for (const latency::ModelEntry& entry : latency::step_time_models()) {
    const bool supported = std::ranges::none_of(replay().dataset.cases, [&](const eval::Case& item) {
      return sim::refusal(entry.name, item.scenario(*item.plan(0))).has_value();
    });
    if (!supported) continue;  // it needs kernel tables
    add(fmt::format("replay_all_1core_with_{}", entry.name),
        [name = entry.name](benchmark::State& state) { replay_all<double>(state, name, {}); });
  }
  const auto add_with_term = [&](const std::string& name, const std::string& expression) {
    const params::ParameterId term =
        value_or_exit(params::declare_term({.name = name + "_us", .expression = expression, .lower = 0.0, .upper = 1.0}));
    add(fmt::format("replay_all_1core_with_{}", name),
        [term](benchmark::State& state) { replay_all<double>(state, "physics", {}, term); });
  };
  add_with_term("straight_term", "layers * (decodes + prefill_tokens)");
  add_with_term("bent_term", "layers * (decodes + prefill_tokens > 64)");
  add("draw_requests", [](benchmark::State& state) {
    for (auto _ : state) {
      for (const eval::Case& item : replay().dataset.cases) benchmark::DoNotOptimize(sim::make_request_plan(item.experiment, 1, 0));
    }
  });
}

}  // namespace
}  // namespace rooftune

int main(int argc, char** argv) {
  rooftune::core::keep_freed_memory();  // as the program does
  rooftune::register_all();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
