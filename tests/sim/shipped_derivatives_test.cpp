#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "rooftune/core/parallel_for.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/io/config_file.hpp"
#include "rooftune/io/gpus.hpp"
#include "rooftune/io/ground_truth.hpp"
#include "rooftune/io/models.hpp"
#include "rooftune/sim/simulate.hpp"

/// Derivatives against symmetric differences of 2 % on every shipped H100 run, and on the two that press hardest on an engine:
/// run 54, whose second stage sits at its KV limit, and the overloaded 20260217-170634. Both sides are averaged over seeds.
namespace rooftune::sim {
namespace {

constexpr int kSeeds = 16;
constexpr double kStep = 0.02;
using Scalar = core::Dual<core::kMediumWidth>;

template <class T>
T value(core::Result<T> result) {
  if (result) return *std::move(result);
  throw std::runtime_error(core::format(result.error()));
}

/// d log(latency) / d log(parameter), for every stage in turn.
struct Rows {
  std::vector<double> ttft;
  std::vector<double> e2e;
};

void add(std::vector<double>& sum, std::size_t index, double part) {
  if (sum.size() <= index) sum.resize(index + 1, 0.0);
  sum[index] += part;
}

double distance(const std::vector<double>& rows, const std::vector<double>& expected, std::size_t stage) {
  double difference = 0.0;
  double norm = 0.0;
  for (std::size_t i = stage * core::kMediumWidth; i < (stage + 1) * core::kMediumWidth; ++i) {
    difference += (rows[i] - expected[i]) * (rows[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  return std::sqrt(difference / norm);
}

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
  std::vector<double> ttft;  ///< by stage
  std::vector<double> e2e;
};

Distances compare(const eval::Case& item, const params::Config& config) {
  const auto ids = physics_parameters();
  const params::Resolved<double> values = params::resolve(config, item.experiment.deployment, item.gpu);
  Rows derived;
  Rows expected;
  for (std::size_t seed = 0; seed < item.plans.size(); ++seed) {
    const Scenario scenario = item.scenario(seed);
    params::Resolved<Scalar> seeded = values.as<Scalar>();
    for (std::size_t i = 0; i < ids.size(); ++i) seeded[ids[i]].v[static_cast<int>(i)] = values[ids[i]];
    const auto prediction = simulate<Scalar>(config.step_time_model, scenario, seeded, {});
    for (std::size_t stage = 0; stage < prediction.stages.size(); ++stage) {
      for (std::size_t i = 0; i < ids.size(); ++i) {
        const auto& [ttft, e2e] = std::pair(prediction.stages[stage].ttft_mean_us, prediction.stages[stage].e2e_mean_us);
        add(derived.ttft, stage * ids.size() + i, ttft.v[static_cast<int>(i)] / ttft.a);
        add(derived.e2e, stage * ids.size() + i, e2e.v[static_cast<int>(i)] / e2e.a);
      }
    }
    for (std::size_t i = 0; i < ids.size(); ++i) {
      for (const double direction : {1.0, -1.0}) {
        params::Resolved<double> shifted = values;
        shifted[ids[i]] *= std::exp(direction * kStep);
        const auto other = simulate<double>(config.step_time_model, scenario, shifted, {});
        for (std::size_t stage = 0; stage < other.stages.size(); ++stage) {
          const double share = direction / (2.0 * kStep);
          add(expected.ttft, stage * ids.size() + i, share * std::log(other.stages[stage].ttft_mean_us));
          add(expected.e2e, stage * ids.size() + i, share * std::log(other.stages[stage].e2e_mean_us));
        }
      }
    }
  }
  Distances result{.run = item.experiment.id, .ttft = {}, .e2e = {}};
  for (std::size_t stage = 0; stage < item.experiment.workload.stages.size(); ++stage) {
    result.ttft.push_back(distance(derived.ttft, expected.ttft, stage));
    result.e2e.push_back(distance(derived.e2e, expected.e2e, stage));
  }
  return result;
}

std::vector<Distances> compare_all(const char* ground_truth, const char* config_file) {
  const std::filesystem::path root = ROOFTUNE_SOURCE_DIR;
  const auto models = value(io::default_models());
  const auto gpus = value(io::default_gpus());
  const params::Config config = value(io::read_config(root / config_file, gpus)).config;
  const eval::Dataset dataset = value(eval::make_dataset({.experiments = value(io::read_ground_truth(root / ground_truth)).experiments,
                                                          .models = models,
                                                          .gpus = gpus,
                                                          .config = config,
                                                          .replicates = kSeeds}));
  std::vector<Distances> all(dataset.cases.size());
  core::parallel_for(all.size(), {}, [&](std::size_t i) { all[i] = compare(dataset.cases[i], config); });
  for (const Distances& run : all) {
    for (std::size_t stage = 0; stage < run.e2e.size(); ++stage) {
      fmt::print("{:<16} stage {}  E2E {:5.1f} %  TTFT {:5.1f} %\n", run.run, stage, 100.0 * run.e2e[stage], 100.0 * run.ttft[stage]);
    }
  }
  return all;
}

/// What derivatives miss where it is known to be more, as measured with the tuned configs of 2026-11-25 (ADR 0007), with room for
/// another refit. Everything else agrees within kE2e and kTtft.
constexpr double kE2e = 0.03;
constexpr double kTtft = 0.15;
const std::map<std::string, double> kWorseE2e{{"17", 0.06}, {"54", 0.10}};
const std::map<std::string, double> kWorseTtft{{"17", 0.55}, {"20", 0.50}, {"20260217-231439", 0.50}, {"21", 0.40}, {"48", 0.95},
                                               {"67", 0.60}, {"54", 0.80}};

double limit(const std::map<std::string, double>& worse, const std::string& run, double usual) {
  const auto found = worse.find(run);
  return found == worse.end() ? usual : found->second;
}

void expect_agreement(const char* ground_truth, const char* config) {
  for (const Distances& run : compare_all(ground_truth, config)) {
    for (std::size_t stage = 0; stage < run.e2e.size(); ++stage) {
      EXPECT_LT(run.e2e[stage], limit(kWorseE2e, run.run, kE2e)) << run.run << " stage " << stage;
      EXPECT_LT(run.ttft[stage], limit(kWorseTtft, run.run, kTtft)) << run.run << " stage " << stage;
    }
  }
}

TEST(ShippedDerivatives, AgreeWithSymmetricDifferencesOnH100) {
  expect_agreement("ground_truth/h100.json", "configs/tuned/h100.physics.json");
}

TEST(ShippedDerivatives, AgreeWithSymmetricDifferencesAtTheKvLimitOfL40s) {
  expect_agreement("ground_truth/l40s.json", "configs/tuned/l40s.physics.json");
}

TEST(ShippedDerivatives, AgreeWithSymmetricDifferencesInTheOverloadedRun) {
  expect_agreement("ground_truth/overload.json", "configs/tuned/h100.physics.json");
}

}  // namespace
}  // namespace rooftune::sim
