#include "rooftune/plan/capacity.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <ranges>
#include <set>

#include "rooftune/calibrate/prediction_intervals.hpp"
#include "rooftune/core/statistics.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/sim/front_end.hpp"
#include "rooftune/sim/simulate.hpp"

namespace rooftune::plan {
namespace {

constexpr std::array<core::Word<LatencyKind>, 3> kKindWords{
    {{"ttft", LatencyKind::ttft}, {"tpot", LatencyKind::tpot}, {"e2e", LatencyKind::e2e}}};
constexpr std::array<core::Word<LatencyStatistic>, 3> kStatisticWords{
    {{"mean", LatencyStatistic::mean}, {"p90", LatencyStatistic::p90}, {"p99", LatencyStatistic::p99}}};

/// Requests that fill the engine before it is in its steady state.
constexpr double kWarmUpFraction = 0.2;
/// Of a closed loop, every client sends this many requests.
constexpr int kRequestsPerClient = 10;
/// The queue grows where the mean TTFT of the later half of the counted requests is longer by this share of the mean E2E, and by
/// this factor than that of the earlier half. A queue that grows from the start makes the later half twice as long: its middle
/// lies at 0.8 of the load, that of the earlier half at 0.4.
constexpr double kGrowthOfE2e = 0.1;
constexpr double kGrowthOfTtft = 1.5;
/// Fleets that are tried above what the capacity of one engine suggests.
constexpr int kMoreReplicas = 4;

/// Formats of a smaller share of the layers' weights are not named.
constexpr double kNamedShare = 0.01;

/// One finished request as its client saw it.
struct SeenRequest {
  double arrival_us = 0.0;
  double ttft_us = 0.0;
  double e2e_us = 0.0;
  double tpot_us = 0.0;
  int output_tokens = 0;
};

/// Collects requests; what the client adds is the front end's part.
class Collector final : public sim::Observer {
 public:
  explicit Collector(const params::Resolved<double>& parameters) : front_end_(sim::front_end_of(parameters)) {}

  void on_finished(const sim::RequestEvent& event) override {
    SeenRequest& request = requests.emplace_back();
    request.arrival_us = event.arrival_us;
    request.ttft_us = sim::seen_ttft_us(front_end_, event.first_token_us - event.arrival_us, event.prompt_tokens);
    request.e2e_us = sim::seen_e2e_us(front_end_, event.finished_us - event.arrival_us, event.prompt_tokens, event.output_tokens);
    request.output_tokens = event.output_tokens;
    if (event.output_tokens > 1) request.tpot_us = (request.e2e_us - request.ttft_us) / (event.output_tokens - 1);
  }

  std::vector<SeenRequest> requests;

 private:
  sim::FrontEnd<double> front_end_;
};

double mean_of(std::span<const SeenRequest> requests, double SeenRequest::*value) {
  double sum = 0.0;
  for (const SeenRequest& request : requests) sum += request.*value;
  return requests.empty() ? 0.0 : sum / static_cast<double>(requests.size());
}

void set_latencies(LatencyTable& table, LatencyKind kind, std::vector<double> values_us) {
  auto& row = table[static_cast<std::size_t>(kind)];
  if (values_us.empty()) return;
  row[static_cast<std::size_t>(LatencyStatistic::mean)] = core::mean(values_us) * 1e-3;
  const std::vector<double> quantiles_us = core::quantiles_in_place(values_us, {0.90, 0.99});
  row[static_cast<std::size_t>(LatencyStatistic::p90)] = quantiles_us[0] * 1e-3;
  row[static_cast<std::size_t>(LatencyStatistic::p99)] = quantiles_us[1] * 1e-3;
}

bool queue_grows(std::span<const SeenRequest> steady) {
  const std::size_t half = steady.size() / 2;
  const double early_us = mean_of(steady.first(half), &SeenRequest::ttft_us);
  const double late_us = mean_of(steady.last(half), &SeenRequest::ttft_us);
  return late_us > kGrowthOfTtft * early_us && late_us - early_us > kGrowthOfE2e * mean_of(steady, &SeenRequest::e2e_us);
}

/// One simulation of the case, whose workload has its single stage.
LoadPoint simulate_once(const eval::Case& item, std::size_t replicate, const params::Config& config) {
  const params::Resolved<double> parameters = params::resolve(config, item.experiment.deployment, item.gpu);
  Collector collector(parameters);
  const auto prediction =
      sim::simulate<double>(config.step_time_model, item.scenario(*item.plan(replicate)), parameters,
                            {.stepping = sim::Stepping::closed_form, .percentiles = sim::Percentiles::skip, .observer = &collector});
  std::vector<SeenRequest>& requests = collector.requests;
  std::ranges::stable_sort(requests, {}, &SeenRequest::arrival_us);
  LoadPoint point;
  point.rejected = prediction.counters.rejected;
  point.rejected_by_length = prediction.counters.rejected_by_length;
  const auto warm_up = static_cast<std::size_t>(kWarmUpFraction * static_cast<double>(requests.size()));
  const std::span<const SeenRequest> steady = std::span(requests).subspan(warm_up);
  if (steady.empty()) return point;
  std::vector<double> ttft_us;
  std::vector<double> tpot_us;
  std::vector<double> e2e_us;
  double tokens = 0.0;
  for (const SeenRequest& request : steady) {
    ttft_us.push_back(request.ttft_us);
    e2e_us.push_back(request.e2e_us);
    tokens += request.output_tokens;
    if (request.output_tokens > 1) tpot_us.push_back(request.tpot_us);
  }
  set_latencies(point.latency_ms, LatencyKind::ttft, std::move(ttft_us));
  set_latencies(point.latency_ms, LatencyKind::tpot, std::move(tpot_us));
  set_latencies(point.latency_ms, LatencyKind::e2e, std::move(e2e_us));
  const double span_us = steady.back().arrival_us - steady.front().arrival_us;
  if (span_us > 0.0) {
    point.output_tokens_per_s = tokens / span_us * 1e6;
    point.rate_per_s = static_cast<double>(steady.size()) / span_us * 1e6;
  }
  const sim::EngineCounters& counters = prediction.counters;
  if (counters.busy_us > 0.0) point.mean_batch = counters.batch_time_us / counters.busy_us;
  if (counters.kv_blocks > 0) {
    point.kv_use_fraction = 1.0 - static_cast<double>(counters.least_free_blocks) / static_cast<double>(counters.kv_blocks);
  }
  point.preempted_fraction = static_cast<double>(counters.preemptions) / static_cast<double>(requests.size());
  point.keeps_up = !queue_grows(steady);
  return point;
}

void judge(LoadPoint& point, const std::vector<LatencyObjective>& objectives) {
  for (const LatencyObjective& objective : objectives) {
    if (at(point.latency_ms, objective.kind, objective.statistic) <= objective.limit.value) continue;
    point.missed.push_back(latency_name(objective.kind, objective.statistic));
  }
  if (!point.keeps_up) point.missed.emplace_back("throughput");
  if (point.rejected > point.rejected_by_length) point.missed.emplace_back("KV pool");
}

/// Means and deviations of the replicates.
LoadPoint combine(const std::vector<LoadPoint>& replicates) {
  const auto mean = [&](auto value_of) {
    double sum = 0.0;
    for (const LoadPoint& point : replicates) sum += value_of(point);
    return sum / static_cast<double>(replicates.size());
  };
  LoadPoint all;
  for (std::size_t kind = 0; kind < kLatencyKinds.size(); ++kind) {
    for (std::size_t statistic = 0; statistic < kLatencyStatistics.size(); ++statistic) {
      std::vector<double> values;
      for (const LoadPoint& point : replicates) values.push_back(point.latency_ms[kind][statistic]);
      all.latency_ms[kind][statistic] = core::mean(values);
      all.deviation_ms[kind][statistic] = core::standard_deviation(values);
    }
  }
  all.rate_per_s = mean([](const LoadPoint& point) { return point.rate_per_s; });
  all.output_tokens_per_s = mean([](const LoadPoint& point) { return point.output_tokens_per_s; });
  all.mean_batch = mean([](const LoadPoint& point) { return point.mean_batch; });
  all.preempted_fraction = mean([](const LoadPoint& point) { return point.preempted_fraction; });
  std::size_t keeping_up = 0;
  for (const LoadPoint& point : replicates) {
    all.kv_use_fraction = std::max(all.kv_use_fraction, point.kv_use_fraction);
    all.rejected += point.rejected;
    all.rejected_by_length += point.rejected_by_length;
    keeping_up += point.keeps_up ? 1 : 0;
  }
  // One draw of arrivals may end in a burst.
  all.keeps_up = 2 * keeping_up > replicates.size();
  return all;
}

domain::Stage stage_of(double rate_per_s, int replicas, const CapacityOptions& options) {
  const double requests = std::max(rate_per_s * options.duration.value, static_cast<double>(options.min_requests) * replicas);
  return {.rate = {rate_per_s}, .duration = {requests / rate_per_s}, .num_requests = static_cast<int>(std::ceil(requests))};
}

/// Requests of the workload by conversation; 1 where they come one by one.
double requests_by_arrival(const domain::Workload& workload) {
  if (workload.trace.empty()) {
    if (workload.pattern != domain::PromptPattern::conversations) return 1.0;
    if (workload.turns) return std::max(1.0, workload.turns->mean_tokens);
    return workload.think_time.mean.value > 0.0 ? std::max(1, workload.turns_per_conversation) : 1.0;
  }
  std::set<std::int64_t> conversations;
  std::size_t single = 0;
  for (const domain::TracedRequest& row : workload.trace) {
    if (row.conversation < 0) {
      ++single;
    } else {
      conversations.insert(row.conversation);
    }
  }
  return static_cast<double>(workload.trace.size()) / static_cast<double>(conversations.size() + single);
}

/// So many rows of the table, from its start again as often as it takes; every repetition has conversations of its own.
std::vector<domain::TracedRequest> repeated(const std::vector<domain::TracedRequest>& table, std::size_t count) {
  std::int64_t conversations = 0;
  for (const domain::TracedRequest& row : table) conversations = std::max(conversations, row.conversation + 1);
  std::vector<domain::TracedRequest> rows;
  rows.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    domain::TracedRequest& row = rows.emplace_back(table[i % table.size()]);
    row.stage = 0;
    if (row.conversation >= 0) row.conversation += conversations * static_cast<std::int64_t>(i / table.size());
  }
  return rows;
}

/// Arrivals at a rate: the gaps of an open loop stay what they are, any other load comes as Poisson arrivals.
domain::Arrival open_loop(const domain::Arrival& arrival) {
  const auto keeps = {domain::ArrivalProcess::conditioned_poisson, domain::ArrivalProcess::gamma, domain::ArrivalProcess::constant};
  if (std::ranges::find(keeps, arrival.process) == keeps.end()) return {.process = domain::ArrivalProcess::poisson};
  return {.process = arrival.process, .gamma_coefficient_of_variation = arrival.gamma_coefficient_of_variation};
}

/// The experiment that a load stands for.
eval::Case case_of(const CapacityCase& subject, const LoadPoint& point, const CapacityOptions& options) {
  eval::Case item = subject.base;
  item.experiment.deployment.dp = point.replicas;
  domain::Workload& workload = item.experiment.workload;
  if (point.concurrency > 0) {
    workload.arrival = {.process = domain::ArrivalProcess::closed_loop,
                        .concurrency = point.concurrency,
                        .turnaround_us = workload.arrival.turnaround_us};
    domain::Stage stage;
    stage.num_requests = std::max(options.min_requests, kRequestsPerClient * point.concurrency);
    workload.stages = {stage};
  } else {
    workload.arrival = open_loop(workload.arrival);
    workload.stages = {stage_of(point.rate_per_s, point.replicas, options)};
    workload.stages.front().rate.value /= requests_by_arrival(workload);
  }
  workload.warm_up.reset();  // the first fifth of the requests fills the engine
  if (!workload.trace.empty()) {
    workload.trace = repeated(workload.trace, static_cast<std::size_t>(workload.stages.front().num_requests));
  }
  item.keep_plans(options.seed, options.replicates);
  return item;
}

LoadPoint predict(const CapacityCase& subject, const LoadPoint& load, const CapacityOptions& options) {
  const eval::Case item = case_of(subject, load, options);
  const auto replicates = core::parallel_map<LoadPoint>(item.plans.size(), options.threads,
                                                        [&](std::size_t i) { return simulate_once(item, i, subject.config); });
  LoadPoint point = combine(replicates);
  if (load.concurrency == 0) point.rate_per_s = load.rate_per_s;
  point.concurrency = load.concurrency;
  point.replicas = load.replicas;
  // A closed loop cannot run away: its clients wait.
  if (load.concurrency > 0) point.keeps_up = true;
  judge(point, options.objectives);
  return point;
}

}  // namespace

std::string latency_name(LatencyKind kind, LatencyStatistic statistic) {
  return fmt::format("{}_{}", core::word_of(kKindWords, kind), core::word_of(kStatisticWords, statistic));
}

core::Result<LatencyObjective> parse_objective(std::string_view text) {
  const std::size_t equals = std::min(text.find('='), text.size());
  const std::string_view name = text.substr(0, equals);
  const std::string_view limit = text.substr(std::min(equals + 1, text.size()));
  std::vector<std::string> names;
  std::optional<LatencyObjective> objective;
  for (const LatencyKind kind : kLatencyKinds) {
    for (const LatencyStatistic statistic : kLatencyStatistics) {
      names.push_back(latency_name(kind, statistic));
      if (names.back() == name) objective = LatencyObjective{.kind = kind, .statistic = statistic, .limit = {}};
    }
  }
  if (!objective) {
    return core::fail({}, fmt::format("unknown latency '{}'", name), core::suggest(name, {names.begin(), names.end()}));
  }
  double value = 0.0;
  const auto parsed = std::from_chars(limit.data(), limit.data() + limit.size(), value);
  if (parsed.ec != std::errc() || parsed.ptr != limit.data() + limit.size() || !std::isfinite(value) || value <= 0.0) {
    return core::fail({}, fmt::format("'{}' sets no limit", text), "write it in milliseconds, e.g. ttft_p90=500");
  }
  objective->limit = {value};
  return *objective;
}

std::string prompts_text(const domain::Workload& workload) {
  const auto shared = [&](std::string_view of) {
    const int groups = std::max(1, workload.prompt_groups);
    return workload.system_prompt_tokens == 0 ? std::string()
           : groups == 1                      ? fmt::format("{} share {} leading tokens", of, workload.system_prompt_tokens)
                         : fmt::format("{} of {} groups share {} leading tokens", of, groups, workload.system_prompt_tokens);
  };
  if (!workload.trace.empty()) {
    const auto in_groups = std::ranges::count_if(workload.trace, [](const auto& row) { return row.prefix_group >= 0; });
    std::string text = fmt::format("{} requests of a table in turn", workload.trace.size());
    if (in_groups > 0) text += fmt::format(", {} of them with a shared prefix", in_groups);
    if (const double turns = requests_by_arrival(workload); turns > 1.0) text += fmt::format(", conversations of {:.3g} turns", turns);
    return text;
  }
  switch (workload.pattern) {
    case domain::PromptPattern::conversations: {
      const double turns = workload.turns ? workload.turns->mean_tokens : workload.turns_per_conversation;
      const std::string prefix = shared("conversations");
      return fmt::format("conversations of {:g} turn{}{}", turns, turns == 1.0 ? "" : "s", prefix.empty() ? "" : ", " + prefix);
    }
    case domain::PromptPattern::cycled: {
      const std::string prefix = shared("prompts");
      return fmt::format("{} distinct prompts in turn{}", workload.distinct_prompts, prefix.empty() ? "" : ", " + prefix);
    }
    case domain::PromptPattern::unique: break;
  }
  const std::string prefix = shared("prompts");
  return prefix.empty() ? "every prompt differs: no prefix is reused" : prefix;
}

double refused_share(const eval::Case& item) {
  const auto plan = item.plan(0);
  std::size_t requests = 0;
  std::size_t refused = 0;
  for (const sim::StagePlan& stage : plan->stages) {
    requests += stage.requests.size();
    for (const sim::PlannedRequest& request : stage.requests) {
      const std::int64_t tokens = std::int64_t{request.prompt_tokens} + request.output_tokens;
      refused += tokens > item.experiment.deployment.settings.max_model_len ? 1 : 0;
    }
  }
  return requests == 0 ? 0.0 : static_cast<double>(refused) / static_cast<double>(requests);
}

LoadPoint predict_rate(const CapacityCase& subject, double rate_per_s, int replicas, const CapacityOptions& options) {
  LoadPoint load;
  load.rate_per_s = rate_per_s;
  load.replicas = replicas;
  return predict(subject, load, options);
}

LoadPoint predict_concurrency(const CapacityCase& subject, int concurrency, const CapacityOptions& options) {
  LoadPoint load;
  load.concurrency = concurrency;
  return predict(subject, load, options);
}

Capacity find_capacity(const CapacityCase& subject, const CapacityOptions& options, int replicas) {
  Capacity capacity;
  const auto try_rate = [&](double rate_per_s) {
    LoadPoint point = predict_rate(subject, rate_per_s, replicas, options);
    const bool is_good = point.is_good();
    (is_good ? capacity.best : capacity.beyond) = std::move(point);
    return is_good;
  };
  double rate = kIdleRate;
  while (try_rate(rate) && rate < kMaxCapacityRate) rate = std::min(2.0 * rate, kMaxCapacityRate);
  if (!capacity.best || !capacity.beyond) return capacity;
  while (capacity.beyond->rate_per_s > (1.0 + options.rate_tolerance) * capacity.best->rate_per_s) {
    static_cast<void>(try_rate(std::sqrt(capacity.best->rate_per_s * capacity.beyond->rate_per_s)));
  }
  return capacity;
}

double tokens_per_user(const LoadPoint& point) { return 1e3 / at(point.latency_ms, LatencyKind::tpot, LatencyStatistic::mean); }

std::optional<LoadPoint> find_most_clients(const CapacityCase& subject, double tokens_per_s, const CapacityOptions& options) {
  std::optional<LoadPoint> best;
  const auto serves = [&](int clients) {
    LoadPoint point = predict_concurrency(subject, clients, options);
    const bool is_fast = point.rejected == point.rejected_by_length && tokens_per_user(point) >= tokens_per_s;
    if (is_fast) best = std::move(point);
    return is_fast;
  };
  // More clients than the engine runs requests only wait, which no TPOT tells.
  const domain::Deployment& deployment = subject.base.experiment.deployment;
  const int most = std::clamp(deployment.settings.max_num_seqs * domain::schedulers(deployment), 1, kMostClients);
  int served = 0;
  int refused = 1;
  while (refused > served && serves(refused)) {
    served = refused;
    refused = std::min(2 * refused, most);
  }
  while (refused - served > 1) {
    const int middle = served + (refused - served) / 2;
    (serves(middle) ? served : refused) = middle;
  }
  return best;
}

std::optional<Fleet> size_fleet(const CapacityCase& subject, const Capacity& capacity, double rate_per_s,
                                const CapacityOptions& options) {
  if (!capacity.best) return std::nullopt;
  // Arrivals that a router deals in turn are more even than Poisson ones: a fleet may carry a little more than its parts.
  const int fewest = std::max(1, static_cast<int>(rate_per_s / (1.1 * capacity.best->rate_per_s)));
  const int enough = std::max(fewest, static_cast<int>(std::ceil(rate_per_s / capacity.best->rate_per_s)));
  for (int replicas = fewest; replicas <= enough + kMoreReplicas; ++replicas) {
    LoadPoint point = predict_rate(subject, rate_per_s, replicas, options);
    if (!point.is_good()) continue;
    return Fleet{.replicas = replicas,
                 .gpus = replicas * domain::gpus_of_engine(subject.base.experiment.deployment),
                 .point = std::move(point)};
  }
  return std::nullopt;
}

void qualify(const CapacityCase& subject, LoadPoint& point, const CapacityOptions& options) {
  eval::Dataset dataset;
  dataset.replicates = options.replicates;
  dataset.seed = options.seed;
  dataset.cases.push_back(case_of(subject, point, options));
  domain::Latencies means;
  constexpr std::array kMeans{domain::Metric::ttft_mean, domain::Metric::tpot_mean, domain::Metric::e2e_mean};
  for (std::size_t kind = 0; kind < kMeans.size(); ++kind) means[kMeans[kind]] = point.latency_ms[kind][0];
  // The calibrated concurrency is that of one engine.
  LoadPoint share = point;
  share.replicas = 1;
  share.rate_per_s = point.rate_per_s / point.replicas;
  point.domain_exits = eval::domain_exits(subject.config.domain, case_of(subject, share, options), {means});
  for (const calibrate::PredictionInterval& interval :
       calibrate::prediction_intervals(dataset, subject.config, {.threads = options.threads})) {
    const auto kind = std::ranges::find(kMeans, interval.metric);
    if (kind == kMeans.end() || interval.stage != domain::kSummaryStage || interval.predicted_ms <= 0.0) continue;
    // The interval is around all requests of the run, ours around those of its steady part: the relative width carries over.
    const auto index = static_cast<std::size_t>(kind - kMeans.begin());
    const double scale = point.latency_ms[index][0] / interval.predicted_ms;
    point.mean_interval[index] = LatencyInterval{
        .lower_ms = scale * interval.lower_ms, .upper_ms = scale * interval.upper_ms, .is_determined = interval.is_determined()};
  }
}

std::string weights_text(const domain::ModelSpec& model) {
  std::map<domain::WeightFormat, double> elements;
  double sum = 0.0;
  const auto add = [&](const domain::Stored& stored, double count) {
    elements[stored.format] += count;
    sum += count;
  };
  for (const auto& [count, layer] : model.groups) {
    for (const domain::Linear& linear : layer.mixer.linears) add(linear.stored, count * domain::elements(linear));
    for (const domain::Linear& linear : layer.ffn.linears) add(linear.stored, count * domain::elements(linear));
    if (const auto& experts = layer.ffn.experts) add(experts->stored, count * experts->count * domain::elements(*experts));
  }
  std::vector<std::pair<double, std::string_view>> shares;
  for (const auto& [format, count] : elements) {
    if (count >= kNamedShare * sum) shares.emplace_back(-count, domain::weight_format_name(format));
  }
  std::ranges::sort(shares);
  std::vector<std::string_view> names;
  for (const auto& [share, name] : shares) names.push_back(name);
  return fmt::format("{}", fmt::join(names, ", "));
}

double interactive_tokens_per_gpu(const CapacityAnswer& answer) {
  return answer.most_clients->output_tokens_per_s / answer.gpus_of_engine;
}

const CapacityAnswer* best_interactive(const CapacityReport& report) {
  const CapacityAnswer* best = nullptr;
  for (const CapacityAnswer& answer : report.answers) {
    if (!answer.most_clients) continue;
    if (best == nullptr || interactive_tokens_per_gpu(answer) > interactive_tokens_per_gpu(*best)) best = &answer;
  }
  return best;
}

const CapacityAnswer* smallest_fleet(const CapacityReport& report) {
  const CapacityAnswer* smallest = nullptr;
  for (const CapacityAnswer& answer : report.answers) {
    if (answer.fleet && (smallest == nullptr || answer.fleet->gpus < smallest->fleet->gpus)) smallest = &answer;
  }
  return smallest;
}

CapacityAnswer answer(const CapacityCase& subject, const CapacityQuestions& questions, const CapacityOptions& options) {
  CapacityAnswer answer;
  answer.model = subject.base.model.name;
  answer.weights = weights_text(subject.base.model);
  answer.tp = subject.base.experiment.deployment.tp;
  answer.expert_parallel = subject.base.experiment.deployment.settings.enable_expert_parallel;
  answer.speculation = speculation_gain(subject.base, subject.config);
  answer.data_parallel = subject.base.experiment.deployment.settings.data_parallel_size;
  answer.gpus_of_engine = domain::gpus_of_engine(subject.base.experiment.deployment);
  answer.capacity = find_capacity(subject, options);
  if (questions.load_per_s) answer.fleet = size_fleet(subject, answer.capacity, *questions.load_per_s, options);
  for (const double rate : questions.rates) answer.rates.push_back(predict_rate(subject, rate, 1, options));
  for (const int clients : questions.concurrencies) answer.concurrencies.push_back(predict_concurrency(subject, clients, options));
  if (questions.tokens_per_user) answer.most_clients = find_most_clients(subject, *questions.tokens_per_user, options);
  if (answer.capacity.best) qualify(subject, *answer.capacity.best, options);
  if (answer.most_clients) qualify(subject, *answer.most_clients, options);
  if (answer.fleet) qualify(subject, answer.fleet->point, options);
  for (std::vector<LoadPoint>* points : {&answer.rates, &answer.concurrencies}) {
    for (LoadPoint& point : *points) qualify(subject, point, options);
  }
  return answer;
}

}  // namespace rooftune::plan
