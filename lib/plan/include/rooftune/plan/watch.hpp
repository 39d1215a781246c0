#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "rooftune/calibrate/posterior.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/plan/next_run.hpp"

namespace rooftune::plan {

/// A request as its client saw it, known when it has ended.
struct FinishedRequest {
  double arrival_s = 0.0;
  int input_tokens = 1;
  int output_tokens = 1;
  double ttft_ms = 0.0;
  double e2e_ms = 0.0;
};

/// One metric of a window: the mean over those of its requests that the simulation serves.
struct WatchedMetric {
  domain::Metric metric = domain::Metric::ttft_mean;
  double measured_ms = 0.0;
  double predicted_ms = 0.0;
  double lower_ms = 0.0;  ///< of the 90 % interval
  double upper_ms = 0.0;
  [[nodiscard]] int side() const { return measured_ms > upper_ms ? 1 : (measured_ms < lower_ms ? -1 : 0); }
};

/// A change of one parameter that would bring the predictions to what was measured.
struct Explanation {
  std::string parameter;
  double factor = 1.0;     ///< of its value
  double explained = 0.0;  ///< share of the squared standardised errors that goes
};

struct WatchedWindow {
  int number = 1;
  std::size_t requests = 0;
  std::size_t refused = 0;  ///< of them, by the simulation: longer than what the config serves
  double from_s = 0.0;      ///< first and last arrival
  double to_s = 0.0;
  std::vector<WatchedMetric> metrics;      ///< none where all were refused
  bool is_drift = false;                   ///< a metric has left its interval to the same side in two windows in turn
  std::vector<Explanation> explanations;   ///< of a drift, the best first
  std::optional<std::string> telling_run;  ///< the candidate whose latencies the first two explanations differ most in
};

/// Compares a running server with a config, window by window. What a window's requests met is simulated with the requests before
/// and after them, at the very arrivals and lengths; every window is judged by itself, and two in a row make a drift: one in ten
/// leaves its interval by chance.
class Watch {
 public:
  /// `like` says model, GPU and engine; its workload is not looked at. `candidates`: runs that could tell explanations apart. All
  /// must outlive this. `config` must know its uncertainty.
  Watch(const eval::Dataset& like, const params::Config& config, const eval::Dataset& candidates, std::size_t window);

  /// A window's judgement when enough requests have ended after it.
  [[nodiscard]] std::optional<WatchedWindow> add(const FinishedRequest& request);

  /// Requests whose window has not been judged yet.
  [[nodiscard]] std::size_t not_judged() const { return pending_.size(); }

 private:
  [[nodiscard]] WatchedWindow judge(const std::vector<FinishedRequest>& requests, std::size_t first, std::size_t count);
  void explain(WatchedWindow& window, const std::vector<params::FreeParameter>& free,
               const std::vector<calibrate::Sensitivity>& rows) const;

  const eval::Dataset& like_;
  const params::Config& config_;
  const eval::Dataset& candidates_;
  std::size_t window_;
  std::vector<FinishedRequest> before_;
  std::vector<FinishedRequest> pending_;
  std::map<domain::Metric, double> other_deviations_;  ///< of logarithms, beside the parameters'
  std::map<domain::Metric, int> last_sides_;
  int judged_ = 0;
};

}  // namespace rooftune::plan
