#include "rooftune/eval/noise.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "rooftune/eval/evaluate.hpp"
#include "support/simulated_runs.hpp"

namespace rooftune::eval {
namespace {

using domain::Metric;

params::Config config() { return examples::config_with("physics", {}); }

std::vector<domain::Experiment> runs() {
  return examples::measured({examples::unmeasured_run("a", examples::llama_2_7b(), 1, {2.0}),
                             examples::unmeasured_run("b", examples::llama_2_7b(), 1, {2.01}),
                             examples::unmeasured_run("c", examples::llama_2_7b(), 1, {4.0})},
                            config());
}

TEST(Repeatability, IsThatOfPairsAlikeInAllButTheMeasurement) {
  std::vector<domain::Experiment> experiments = runs();
  experiments[0].measured.summary[Metric::e2e_mean] = 1000.0;
  experiments[1].measured.summary[Metric::e2e_mean] = 1020.0;
  experiments[2].measured.summary[Metric::e2e_mean] = 2000.0;
  const auto found = repeatability(examples::dataset_of(experiments, config()));
  EXPECT_EQ(found.at(Metric::e2e_mean).pairs, 1) << "the third has twice the load";
  EXPECT_TRUE(found.at(Metric::e2e_mean).elsewhere.empty());
  EXPECT_NEAR(found.at(Metric::e2e_mean).percent, 100.0 * 20.0 / 1010.0, 1e-9);
}

TEST(Repeatability, OfAnotherDeploymentIsNone) {
  std::vector<domain::Experiment> experiments = runs();
  experiments[1].deployment.settings.max_num_seqs += 1;
  const auto found = repeatability(examples::dataset_of(experiments, config()));
  EXPECT_EQ(found.at(Metric::e2e_mean).elsewhere, "Qwen3-14B, H100, vLLM 0.23");
  EXPECT_EQ(found.at(Metric::e2e_mean).pairs, 11);
  EXPECT_FALSE(found.contains(Metric::e2e_p90)) << "nobody measured it twice";
}

TEST(Repeatability, KnowsTheDeviationOfOneRun) {
  // Draws of deviation 0.02: the median |difference| of two is 0.6745 x sqrt 2 of it.
  EXPECT_NEAR(repeated_deviation({.percent = 100.0 * 0.02 * 0.6745 * std::sqrt(2.0), .pairs = 9, .elsewhere = {}}), 0.02, 1e-5);
}

TEST(ArrivalNoise, IsWhatPredictionsWithOtherSeedsScatterBy) {
  const auto experiments = runs();
  const Dataset dataset = examples::dataset_of(experiments, config());
  const auto deviations = arrival_deviations(dataset, config(), 40, {1});
  std::vector<double> logarithms;
  for (std::uint64_t seed = 100; seed < 140; ++seed) {
    const Evaluation other = evaluate(examples::dataset_of(experiments, config(), seed), config(),
                                      {.threads = {1}, .stepping = sim::Stepping::closed_form});
    logarithms.push_back(std::log(other.find("c", domain::kSummaryStage, Metric::ttft_p99)->predicted_ms));
  }
  double mean = 0.0;
  double square = 0.0;
  for (const double value : logarithms) mean += value / double(logarithms.size());
  for (const double value : logarithms) square += (value - mean) * (value - mean) / double(logarithms.size() - 1);
  // One draw for the run, one for the prediction. 40 draws know a deviation to 11 %, their ratio to 16 %.
  const double ratio = deviations.at({"c", domain::kSummaryStage, Metric::ttft_p99}) / std::sqrt(2.0 * square);
  EXPECT_GT(ratio, 0.5);
  EXPECT_LT(ratio, 2.0);
}

TEST(ArrivalNoise, OfATailIsLargerThanOfAMean) {
  const Dataset dataset = examples::dataset_of(runs(), config());
  const Noise noise = noise_of(dataset, config(), {1});
  EXPECT_GT(noise.arrival_percent.at(Metric::ttft_p99), noise.arrival_percent.at(Metric::ttft_mean));
}

}  // namespace
}  // namespace rooftune::eval
