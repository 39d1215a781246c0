#include "rooftune/plan/watch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "rooftune/calibrate/prediction_intervals.hpp"
#include "rooftune/core/distributions.hpp"
#include "rooftune/domain/metrics.hpp"
#include "rooftune/eval/noise.hpp"
#include "rooftune/sim/front_end.hpp"

namespace rooftune::plan {
namespace {

using domain::Metric;

constexpr std::array kWatched{Metric::ttft_mean, Metric::e2e_mean};
constexpr std::size_t kExplanations = 3;

/// A parameter that moves by more than this factor explains nothing.
constexpr double kLargestFactor = 4.0;

/// Latencies of every request as its client sees them, in the order of the trace; NaN where it was refused.
class Latencies final : public sim::Observer {
 public:
  Latencies(std::size_t requests, sim::FrontEnd<double> front_end)
      : ttft_ms_(requests, std::nan("")), e2e_ms_(requests, std::nan("")), front_end_(front_end) {}

  void on_finished(const sim::RequestEvent& event) override {
    const auto i = static_cast<std::size_t>(event.index);
    ttft_ms_[i] = 1e-3 * sim::seen_ttft_us(front_end_, event.first_token_us - event.arrival_us, event.prompt_tokens);
    e2e_ms_[i] = 1e-3 * sim::seen_e2e_us(front_end_, event.finished_us - event.arrival_us, event.prompt_tokens, event.output_tokens);
  }

  [[nodiscard]] const std::vector<double>& of(Metric metric) const { return metric == Metric::ttft_mean ? ttft_ms_ : e2e_ms_; }

 private:
  std::vector<double> ttft_ms_;
  std::vector<double> e2e_ms_;
  sim::FrontEnd<double> front_end_;
};

/// The deployment with these requests as its load.
eval::Dataset replay_of(const eval::Dataset& like, const std::vector<FinishedRequest>& requests) {
  eval::Dataset dataset = like.subset({0});
  eval::Case& item = dataset.cases.front();
  domain::Workload workload;
  workload.name = "watched";
  workload.arrival.process = domain::ArrivalProcess::trace;
  for (const FinishedRequest& request : requests) {
    workload.trace.push_back({.stage = 0,
                              .arrival_s = request.arrival_s - requests.front().arrival_s,
                              .input_tokens = request.input_tokens,
                              .output_tokens = request.output_tokens});
  }
  const double duration_s = std::max(1e-3, requests.back().arrival_s - requests.front().arrival_s);
  const auto count = static_cast<int>(requests.size());
  workload.stages = {{.rate = {count / duration_s}, .duration = {duration_s}, .num_requests = count}};
  item.experiment.workload = std::move(workload);
  item.experiment.measured = {};
  item.keep_plans(dataset.seed, 1);
  return dataset;
}

double seen_ms(const FinishedRequest& request, Metric metric) {
  return metric == Metric::ttft_mean ? request.ttft_ms : request.e2e_ms;
}

/// Standard deviation of the logarithm of what one run of a server measures.
double measured_deviation(const std::map<Metric, eval::Repeatability>& repeats, Metric metric) {
  const auto found = repeats.find(metric);
  // The median |difference| of two normal values is 0.95 of the deviation of one.
  return found == repeats.end() ? 0.0 : found->second.percent / 95.0;
}

/// What a prediction is off by beside what its parameters leave open.
std::map<Metric, double> other_deviations(const eval::Dataset& like, const params::Config& config) {
  const auto repeats = eval::repeatability(like.subset({0}));
  const auto& held_out = config.uncertainty->held_out_deviation;
  std::map<Metric, double> deviations;
  for (const Metric metric : kWatched) {
    const auto structure = held_out.find(metric);
    deviations[metric] = std::hypot(structure == held_out.end() ? 0.0 : structure->second, measured_deviation(repeats, metric));
  }
  return deviations;
}

const calibrate::Sensitivity* row_of(const std::vector<calibrate::Sensitivity>& rows, std::size_t case_index, Metric metric) {
  const auto found = std::ranges::find_if(rows, [&](const calibrate::Sensitivity& row) {
    return row.case_index == case_index && row.metric == metric && row.stage == domain::kSummaryStage;
  });
  return found == rows.end() ? nullptr : &*found;
}

}  // namespace

Watch::Watch(const eval::Dataset& like, const params::Config& config, const eval::Dataset& candidates, std::size_t window)
    : like_(like), config_(config), candidates_(candidates), window_(window), other_deviations_(other_deviations(like, config)) {}

std::optional<WatchedWindow> Watch::add(const FinishedRequest& request) {
  pending_.push_back(request);
  // Requests come as they end. With as many ended after a window, those that began in it have ended too, but for very long ones.
  if (pending_.size() < 2 * window_) return std::nullopt;
  std::ranges::stable_sort(pending_, {}, &FinishedRequest::arrival_s);
  std::vector<FinishedRequest> met = before_;
  met.insert(met.end(), pending_.begin(), pending_.end());
  std::ranges::stable_sort(met, {}, &FinishedRequest::arrival_s);
  WatchedWindow window = judge(met, before_.size(), window_);
  const auto end = pending_.begin() + static_cast<std::ptrdiff_t>(window_);
  before_.assign(pending_.begin(), end);
  pending_.erase(pending_.begin(), end);
  return window;
}

WatchedWindow Watch::judge(const std::vector<FinishedRequest>& requests, std::size_t first, std::size_t count) {
  const eval::Dataset replay = replay_of(like_, requests);
  const eval::Case& item = replay.cases.front();
  const params::Resolved<double> parameters = params::resolve(config_, item.experiment.deployment, item.gpu);
  Latencies predicted(requests.size(), sim::front_end_of(parameters));
  (void)sim::simulate<double>(config_.step_time_model, item.scenario(*item.plan(0)), parameters,
                              {.stepping = sim::Stepping::closed_form, .percentiles = sim::Percentiles::skip, .observer = &predicted});
  const opt::GaussianBelief belief = calibrate::belief_of(*config_.uncertainty);
  const auto free = calibrate::free_parameters(config_, *config_.uncertainty);
  const std::vector<calibrate::Sensitivity> rows = calibrate::sensitivities(replay, config_, free, {1});
  WatchedWindow window{.number = ++judged_,
                       .requests = count,
                       .refused = 0,
                       .from_s = requests[first].arrival_s,
                       .to_s = requests[first + count - 1].arrival_s,
                       .metrics = {},
                       .explanations = {},
                       .telling_run = {}};
  const double reach = core::normal_quantile(0.95);
  const std::map<Metric, int> last_sides = std::exchange(last_sides_, {});
  for (const Metric watched : kWatched) {
    WatchedMetric metric{.metric = watched};
    const std::vector<double>& predicted_ms = predicted.of(watched);
    std::size_t compared = 0;
    for (std::size_t k = first; k < first + count; ++k) {
      if (std::isnan(predicted_ms[k])) continue;
      ++compared;
      metric.measured_ms += seen_ms(requests[k], watched);
      metric.predicted_ms += predicted_ms[k];
    }
    window.refused = count - compared;
    if (compared == 0) continue;
    metric.measured_ms /= static_cast<double>(compared);
    metric.predicted_ms /= static_cast<double>(compared);
    const calibrate::Sensitivity* row = row_of(rows, 0, watched);
    const double parameters_part = row == nullptr ? 0.0 : std::sqrt(belief.variance_along(row->row));
    const double factor = std::exp(reach * std::hypot(parameters_part, other_deviations_.at(watched)));
    metric.lower_ms = metric.predicted_ms / factor;
    metric.upper_ms = metric.predicted_ms * factor;
    const auto last = last_sides.find(watched);
    window.is_drift = window.is_drift || (metric.side() != 0 && last != last_sides.end() && metric.side() == last->second);
    last_sides_[watched] = metric.side();
    window.metrics.push_back(metric);
  }
  if (window.is_drift) explain(window, free, rows);
  return window;
}

void Watch::explain(WatchedWindow& window, const std::vector<params::FreeParameter>& free,
                    const std::vector<calibrate::Sensitivity>& rows) const {
  struct Shift {
    std::size_t index;
    double delta;
  };
  std::vector<std::pair<Explanation, Shift>> found;
  for (std::size_t i = 0; i < free.size(); ++i) {
    double products = 0.0;
    double squares = 0.0;
    double all = 0.0;
    for (const WatchedMetric& metric : window.metrics) {
      const calibrate::Sensitivity* row = row_of(rows, 0, metric.metric);
      if (row == nullptr) continue;
      // Beside the structure's error: a change of a server is no uncertainty of the fit.
      const double deviation = std::max(0.005, other_deviations_.at(metric.metric));
      const double error = std::log(metric.measured_ms / metric.predicted_ms) / deviation;
      const double slope = row->row[i] / deviation;
      products += error * slope;
      squares += slope * slope;
      all += error * error;
    }
    if (squares <= 0.0 || all <= 0.0) continue;
    const double most = std::log(kLargestFactor);
    const double delta = std::clamp(products / squares, -most, most);
    const double left = all - 2.0 * delta * products + delta * delta * squares;
    const double before = params::current_value(config_, free[i]);
    const double after = params::from_transformed(free[i], params::to_transformed(free[i], before) + delta);
    if (after < free[i].lower || after > free[i].upper) continue;
    found.push_back(
        {{.parameter = std::string(free[i].id.spec().id), .factor = after / before, .explained = 1.0 - left / all}, {i, delta}});
  }
  // The same share by a smaller change is the likelier.
  std::ranges::stable_sort(found, std::ranges::greater{},
                           [](const auto& one) { return std::round(20.0 * one.first.explained) - std::abs(one.second.delta); });
  if (found.size() > kExplanations) found.resize(kExplanations);
  for (const auto& [explanation, shift] : found) window.explanations.push_back(explanation);
  if (found.size() < 2) return;
  const std::vector<calibrate::Sensitivity> candidates = calibrate::sensitivities(candidates_, config_, free, {1});
  double largest = 0.0;
  for (const calibrate::Sensitivity& row : candidates) {
    if (row.stage != domain::kSummaryStage || std::ranges::find(kWatched, row.metric) == kWatched.end()) continue;
    const double difference =
        std::abs(row.row[found[0].second.index] * found[0].second.delta - row.row[found[1].second.index] * found[1].second.delta);
    // Beyond that the first order says nothing.
    if (difference <= largest || difference > calibrate::kUndetermined) continue;
    largest = difference;
    window.telling_run = fmt::format("{}: {} differs by {:.0f} %", candidates_.cases[row.case_index].experiment.id,
                                     domain::metric_name(row.metric), 100.0 * difference);
  }
}

}  // namespace rooftune::plan
