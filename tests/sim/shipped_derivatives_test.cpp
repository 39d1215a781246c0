#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "rooftune/core/derivative.hpp"
#include "rooftune/core/parallel_map.hpp"
#include "rooftune/data/config_file.hpp"
#include "rooftune/data/gpus.hpp"
#include "rooftune/data/ground_truth.hpp"
#include "rooftune/data/models.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/sim/simulate.hpp"
#include "support/places.hpp"

/// Derivatives against symmetric differences of 2 % on every shipped H100 run, and on the two that press hardest on an engine:
/// run 54, whose second stage sits at its KV limit, and the overloaded 20260217-170634. Both sides are averaged over seeds.
namespace rooftune::sim {
namespace {

/// ROOFTUNE_DERIVATIVE_SEEDS asks for more, to see what is noise: that falls with their root.
int seeds() {
  const char* asked = std::getenv("ROOFTUNE_DERIVATIVE_SEEDS");
  return asked != nullptr ? std::atoi(asked) : 16;
}
constexpr double kStep = 0.02;
using Scalar = core::Dual<core::kMediumWidth>;

template <class T>
T value(core::Result<T> result) {
  if (result) return *std::move(result);
  throw std::runtime_error(core::format(result.error()));
}

/// What one run's derivatives d log(latency) / d log(parameter) miss, over many seeds: every stage's parameters in turn.
class Misses {
 public:
  void add(std::size_t index, double derived, double expected) {
    if (sums_.size() <= index) sums_.resize(index + 1);
    Sums& sums = sums_[index];
    sums.miss += derived - expected;
    sums.miss_squared += (derived - expected) * (derived - expected);
    sums.expected += expected;
  }

  /// In norm over a stage's parameters, relative to the differences: of the means over the seeds, and what of it is expected
  /// from their scatter alone.
  struct Distance {
    double mean = 0.0;
    double noise = 0.0;
  };
  [[nodiscard]] Distance distance(std::size_t stage, std::size_t parameters, double seeds) const {
    double miss = 0.0;
    double noise = 0.0;
    double norm = 0.0;
    for (std::size_t i = stage * parameters; i < (stage + 1) * parameters; ++i) {
      const Sums& sums = sums_[i];
      const double mean = sums.miss / seeds;
      miss += mean * mean;
      noise += (sums.miss_squared / seeds - mean * mean) / (seeds - 1.0);
      norm += sums.expected / seeds * sums.expected / seeds;
    }
    return {.mean = std::sqrt(miss / norm), .noise = std::sqrt(noise / norm)};
  }

 private:
  struct Sums {
    double miss = 0.0;
    double miss_squared = 0.0;
    double expected = 0.0;
  };
  std::vector<Sums> sums_;
};

std::vector<params::ParameterId> physics_parameters() {
  std::vector<params::ParameterId> ids;
  for (std::size_t i = 0; i < params::parameter_registry().size() && std::ssize(ids) < core::kMediumWidth; ++i) {
    const std::string_view group = params::ParameterId{i}.spec().group();
    if (group == "physics" || group == "frontend") ids.push_back({i});
  }
  return ids;
}

struct Distances {
  std::string run;
  double cached_share = 0.0;           ///< of prompt tokens
  std::vector<Misses::Distance> ttft;  ///< by stage
  std::vector<Misses::Distance> e2e;
};

Distances compare(const eval::Case& item, const params::Config& config) {
  const auto ids = physics_parameters();
  const params::Resolved<double> values = params::resolve(config, item.experiment.deployment, item.gpu);
  const std::size_t stages = item.experiment.workload.stages.size();
  double cached = 0.0;
  double prompts = 0.0;
  Misses ttft;
  Misses e2e;
  for (std::size_t seed = 0; seed < item.plans.size(); ++seed) {
    const auto plan = item.plan(seed);
    const Scenario scenario = item.scenario(*plan);
    params::Resolved<Scalar> seeded = values.as<Scalar>();
    for (std::size_t i = 0; i < ids.size(); ++i) seeded[ids[i]].v[static_cast<int>(i)] = values[ids[i]];
    const auto derived = simulate<Scalar>(config.step_time_model, scenario, seeded, {});
    cached += static_cast<double>(derived.counters.cached_tokens);
    prompts += static_cast<double>(derived.counters.prompt_tokens);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      params::Resolved<double> shifted = values;
      shifted[ids[i]] *= std::exp(kStep);
      const auto above = simulate<double>(config.step_time_model, scenario, shifted, {});
      shifted[ids[i]] = values[ids[i]] * std::exp(-kStep);
      const auto below = simulate<double>(config.step_time_model, scenario, shifted, {});
      for (std::size_t stage = 0; stage < stages; ++stage) {
        const auto expected = [&](auto latency) {
          return std::log(latency(above.stages[stage]) / latency(below.stages[stage])) / (2.0 * kStep);
        };
        const Scalar& ttft_us = derived.stages[stage].ttft_mean_us;
        const Scalar& e2e_us = derived.stages[stage].e2e_mean_us;
        ttft.add(stage * ids.size() + i, ttft_us.v[static_cast<int>(i)] / ttft_us.a,
                 expected([](const auto& prediction) { return prediction.ttft_mean_us; }));
        e2e.add(stage * ids.size() + i, e2e_us.v[static_cast<int>(i)] / e2e_us.a,
                expected([](const auto& prediction) { return prediction.e2e_mean_us; }));
      }
    }
  }
  Distances result{.run = item.experiment.id, .cached_share = cached / prompts, .ttft = {}, .e2e = {}};
  const auto seeds = static_cast<double>(item.plans.size());
  for (std::size_t stage = 0; stage < stages; ++stage) {
    result.ttft.push_back(ttft.distance(stage, ids.size(), seeds));
    result.e2e.push_back(e2e.distance(stage, ids.size(), seeds));
  }
  return result;
}

std::vector<Distances> compare_all(const char* ground_truth, const char* config_file) {
  const std::filesystem::path root = testing_support::source_folder();
  const auto models = value(data::default_models());
  const auto gpus = value(data::default_gpus());
  const params::Config config = value(data::read_config(root / config_file, gpus)).config;
  const eval::Dataset dataset =
      value(eval::make_dataset({.experiments = value(data::read_ground_truth(root / ground_truth)).experiments,
                                .models = models,
                                .gpus = gpus,
                                .config = config,
                                .replicates = seeds()}));
  const auto all =
      core::parallel_map<Distances>(dataset.cases.size(), {}, [&](std::size_t i) { return compare(dataset.cases[i], config); });
  for (const Distances& run : all) {
    for (std::size_t stage = 0; stage < run.e2e.size(); ++stage) {
      fmt::print("{:<16} stage {}  E2E {:5.1f} % (noise {:5.1f} %)  TTFT {:5.1f} % (noise {:5.1f} %)\n", run.run, stage,
                 100.0 * run.e2e[stage].mean, 100.0 * run.e2e[stage].noise, 100.0 * run.ttft[stage].mean,
                 100.0 * run.ttft[stage].noise);
    }
  }
  return all;
}

/// Within these, and what scatter explains. Where prompts push each other out of the cache (48 and 67 find 9 % of their tokens
/// there, the others half and more): whether one is still there when it comes again is a jump that no derivative along one order of events sees
/// (ADR 0007).
constexpr double kE2e = 0.03;
/// At a KV limit nearly every request waits for the blocks of another one, and whose they are changes with the prices.
constexpr double kE2eAtAKvLimit = 0.06;
constexpr double kTtft = 0.15;
constexpr double kTtftOfAThrashingCache = 0.6;
constexpr double kThrashing = 0.25;
constexpr double kScatter = 2.5;

void expect_agreement(const char* ground_truth, const char* config, double e2e = kE2e) {
  for (const Distances& run : compare_all(ground_truth, config)) {
    const double ttft = run.cached_share < kThrashing ? kTtftOfAThrashingCache : kTtft;
    for (std::size_t stage = 0; stage < run.e2e.size(); ++stage) {
      EXPECT_LT(run.e2e[stage].mean, e2e + kScatter * run.e2e[stage].noise) << run.run << " stage " << stage;
      EXPECT_LT(run.ttft[stage].mean, ttft + kScatter * run.ttft[stage].noise) << run.run << " stage " << stage;
    }
  }
}

TEST(ShippedDerivatives, AgreeWithSymmetricDifferencesOnH100) {
  expect_agreement("ground_truth/h100.json", "configs/tuned/h100.physics.json");
}

TEST(ShippedDerivatives, AgreeWithSymmetricDifferencesAtTheKvLimitOfL40s) {
  expect_agreement("ground_truth/l40s.json", "configs/tuned/l40s.physics.json", kE2eAtAKvLimit);
}

TEST(ShippedDerivatives, AgreeWithSymmetricDifferencesInTheOverloadedRun) {
  expect_agreement("ground_truth/overload.json", "configs/tuned/h100.physics.json");
}

}  // namespace
}  // namespace rooftune::sim
