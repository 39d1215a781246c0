#include "rooftune/plan/watch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "rooftune/sim/front_end.hpp"
#include "support/simulated_runs.hpp"

namespace rooftune::plan {
namespace {

using testing::HasSubstr;

constexpr std::size_t kWindow = 100;

params::Config known(double t_layer_us) {
  params::Config config = examples::config_with("physics", {{"physics.t_layer_us", t_layer_us}, {"frontend.constant_us", 4000.0}});
  params::FitUncertainty uncertainty;
  for (const char* id : {"physics.t_layer_us", "frontend.constant_us", "physics.kv_bandwidth_fraction"}) {
    uncertainty.correlation.emplace_back(uncertainty.parameters.size(), 0.0);
    uncertainty.parameters.push_back(
        {.id = params::parameter(id), .where = {}, .transform = params::Transform::log, .standard_deviation = 0.02});
  }
  uncertainty.held_out_deviation = {{domain::Metric::ttft_mean, 0.02}, {domain::Metric::e2e_mean, 0.01}};
  config.uncertainty = uncertainty;
  return config;
}

class Finished final : public sim::Observer {
 public:
  Finished(sim::FrontEnd<double> front_end, double offset_s) : front_end_(front_end), offset_s_(offset_s) {}
  void on_finished(const sim::RequestEvent& event) override {
    requests.push_back({.arrival_s = offset_s_ + 1e-6 * event.arrival_us,
                        .input_tokens = event.prompt_tokens,
                        .output_tokens = event.output_tokens,
                        .ttft_ms = 1e-3 * sim::seen_ttft_us(front_end_, event.first_token_us - event.arrival_us, event.prompt_tokens),
                        .e2e_ms = 1e-3 * sim::seen_e2e_us(front_end_, event.finished_us - event.arrival_us, event.prompt_tokens,
                                                          event.output_tokens)});
  }
  std::vector<FinishedRequest> requests;  // as they end

 private:
  sim::FrontEnd<double> front_end_;
  double offset_s_;
};

std::vector<domain::Experiment> load() { return {examples::unmeasured_run("w", examples::llama_2_7b(), 1, {3.0, 3.0, 3.0})}; }

/// 600 requests of a server that the config describes, as they end.
std::vector<FinishedRequest> requests_of(const params::Config& truth, double offset_s) {
  const eval::Dataset dataset = examples::dataset_of(load(), truth);
  const eval::Case& item = dataset.cases.front();
  const auto parameters = params::resolve(truth, item.experiment.deployment, item.gpu);
  Finished finished(sim::front_end_of(parameters), offset_s);
  (void)sim::simulate<double>(truth.step_time_model, item.scenario(*item.plan(0)), parameters,
                              {.stepping = sim::Stepping::closed_form, .percentiles = sim::Percentiles::skip, .observer = &finished});
  return finished.requests;
}

std::vector<WatchedWindow> watched(const std::vector<FinishedRequest>& requests) {
  const params::Config config = known(25.0);
  const eval::Dataset like = examples::dataset_of(load(), config);
  const eval::Dataset candidates = examples::dataset_of(examples::four_runs(), config);
  Watch watch(like, config, candidates, kWindow);
  std::vector<WatchedWindow> windows;
  for (const FinishedRequest& request : requests) {
    if (auto window = watch.add(request)) windows.push_back(*std::move(window));
  }
  return windows;
}

TEST(Watch, IsSilentWhileTheServerIsTheConfigs) {
  const auto windows = watched(requests_of(known(25.0), 0.0));
  ASSERT_EQ(windows.size(), 5U);
  for (const WatchedWindow& window : windows) {
    EXPECT_FALSE(window.is_drift) << window.number;
    EXPECT_EQ(window.requests, kWindow);
  }
}

TEST(Watch, NamesThePlantedChangeAfterItAndNotBefore) {
  std::vector<FinishedRequest> requests = requests_of(known(25.0), 0.0);
  double end_s = 0.0;
  for (const FinishedRequest& request : requests) end_s = std::max(end_s, request.arrival_s + 1e-3 * request.e2e_ms);
  const auto later = requests_of(known(45.0), end_s + 1.0);
  requests.insert(requests.end(), later.begin(), later.end());
  const auto windows = watched(requests);
  ASSERT_GT(windows.size(), 9U);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_FALSE(windows[i].is_drift) << i;
  EXPECT_TRUE(windows[8].is_drift);
  ASSERT_FALSE(windows[8].explanations.empty());
  EXPECT_EQ(windows[8].explanations.front().parameter, "physics.t_layer_us");
  EXPECT_NEAR(windows[8].explanations.front().factor, 45.0 / 25.0, 0.4);
  EXPECT_GT(windows[8].explanations.front().explained, 0.8);
  ASSERT_TRUE(windows[8].telling_run);
  EXPECT_THAT(*windows[8].telling_run, HasSubstr("differs by"));
}

TEST(Watch, OneWindowOutsideIsNoDrift) {
  std::vector<FinishedRequest> requests = requests_of(known(25.0), 0.0);
  for (std::size_t i = 200; i < 290; ++i) requests[i].ttft_ms *= 3.0;
  for (const WatchedWindow& window : watched(requests)) EXPECT_FALSE(window.is_drift) << window.number;
}

constexpr int kLongerThanThePool = 200000;  // tokens

TEST(Watch, ComparesTheRequestsThatTheSimulationServes) {
  std::vector<FinishedRequest> requests = requests_of(known(45.0), 0.0);
  for (std::size_t i = 5; i < requests.size(); i += 50) {
    requests[i].input_tokens = kLongerThanThePool;
    requests[i].ttft_ms = 1e6;
  }
  const auto windows = watched(requests);
  ASSERT_EQ(windows.size(), 5U);
  std::size_t refused = 0;
  for (const WatchedWindow& window : windows) {
    refused += window.refused;
    ASSERT_EQ(window.metrics.size(), 2U);
    for (const WatchedMetric& metric : window.metrics) {
      EXPECT_GT(metric.lower_ms, 0.0);
      EXPECT_LT(metric.measured_ms, 1e4);
    }
  }
  EXPECT_EQ(refused, 10U);
  EXPECT_TRUE(windows[1].is_drift);
  ASSERT_FALSE(windows[1].explanations.empty());
  EXPECT_EQ(windows[1].explanations.front().parameter, "physics.t_layer_us");
}

TEST(Watch, HasNothingToCompareWhereAllAreRefused) {
  std::vector<FinishedRequest> requests = requests_of(known(25.0), 0.0);
  for (FinishedRequest& request : requests) request.input_tokens = kLongerThanThePool;
  const auto windows = watched(requests);
  ASSERT_EQ(windows.size(), 5U);
  for (const WatchedWindow& window : windows) {
    EXPECT_EQ(window.refused, kWindow);
    EXPECT_TRUE(window.metrics.empty());
    EXPECT_FALSE(window.is_drift);
  }
}

TEST(Watch, KnowsHowManyAreNotJudgedYet) {
  const params::Config config = known(25.0);
  const eval::Dataset like = examples::dataset_of(load(), config);
  const eval::Dataset candidates = examples::dataset_of(examples::four_runs(), config);
  Watch watch(like, config, candidates, kWindow);
  const auto requests = requests_of(config, 0.0);
  for (std::size_t i = 0; i < 2 * kWindow; ++i) {
    EXPECT_EQ(watch.not_judged(), i);
    (void)watch.add(requests[i]);
  }
  EXPECT_EQ(watch.not_judged(), kWindow);
}

}  // namespace
}  // namespace rooftune::plan
