#include "rooftune/runs/capacity_file.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <string_view>

#include "metric_errors_json.hpp"
#include "rooftune/text/csv_text.hpp"
#include "rooftune/text/json_text.hpp"
#include "speculation_json.hpp"

namespace rooftune::runs {
namespace {

using Json = nlohmann::ordered_json;
using plan::LoadPoint;

Json point_json(const LoadPoint& point) {
  Json latencies = Json::object();
  for (const plan::LatencyKind kind : plan::kLatencyKinds) {
    for (const plan::LatencyStatistic statistic : plan::kLatencyStatistics) {
      latencies[plan::latency_name(kind, statistic) + "_ms"] = plan::at(point.latency_ms, kind, statistic);
    }
  }
  Json deviations = Json::object();
  Json intervals = Json::object();
  for (const plan::LatencyKind kind : plan::kLatencyKinds) {
    const std::string name = plan::latency_name(kind, plan::LatencyStatistic::mean) + "_ms";
    deviations[name] = plan::at(point.deviation_ms, kind, plan::LatencyStatistic::mean);
    if (const auto& interval = point.mean_interval[static_cast<std::size_t>(kind)]) {
      intervals[name] = {{"lower", interval->lower_ms}, {"upper", interval->upper_ms}, {"determined", interval->is_determined}};
    }
  }
  return {{"rate_per_s", point.rate_per_s},
          {"concurrency", point.concurrency == 0 ? Json(nullptr) : Json(point.concurrency)},
          {"replicas", point.replicas},
          {"latencies", std::move(latencies)},
          {"replicate_deviation", std::move(deviations)},
          {"intervals_90", std::move(intervals)},
          {"output_tokens_per_s", point.output_tokens_per_s},
          {"output_tokens_per_s_per_user", plan::tokens_per_user(point)},
          {"mean_batch", point.mean_batch},
          {"kv_use_fraction", point.kv_use_fraction},
          {"preempted_fraction", point.preempted_fraction},
          {"rejected", point.rejected},
          {"rejected_by_length", point.rejected_by_length},
          {"keeps_up", point.keeps_up},
          {"missed", point.missed},
          {"outside_domain", domain_exits_json(point.domain_exits)}};
}

/// What says most tokens/s per GPU at the asked interactivity: its place among the answers.
Json best_json(const plan::CapacityReport& report) {
  const plan::CapacityAnswer* best = plan::best_interactive(report);
  if (best == nullptr) return nullptr;
  return {{"answer", best - report.answers.data()}, {"output_tokens_per_s_per_gpu", plan::interactive_tokens_per_gpu(*best)}};
}

Json points_json(const std::vector<LoadPoint>& points) {
  Json json = Json::array();
  for (const LoadPoint& point : points) json.push_back(point_json(point));
  return json;
}

Json apart_json(const plan::ApartAnswer& answer) {
  const auto pool = [](const domain::EnginePool& own) { return Json{{"engines", own.engines}, {"tp", own.tp}}; };
  const auto point = [](const plan::Capacity& capacity) { return capacity.best ? point_json(*capacity.best) : Json(nullptr); };
  Json gain = nullptr;
  if (answer.gain) gain = {{"mean", *answer.gain}, {"lower", answer.gain_lower}, {"upper", answer.gain_upper}};
  return {{"gpus", answer.gpus},
          {"prefill", pool(answer.pools.prefill)},
          {"decode", pool(answer.pools.decode)},
          {"capacity", point(answer.apart)},
          {"together_replicas", answer.replicas_together},
          {"together_capacity", point(answer.together)},
          {"gain", std::move(gain)}};
}

Json answer_json(const plan::CapacityAnswer& answer) {
  Json json{{"model", answer.model},
            {"tp", answer.tp},
            {"expert_parallel", answer.expert_parallel},
            {"data_parallel", answer.data_parallel}};
  if (!answer.refusal.empty()) {
    json["refusal"] = answer.refusal;
    return json;
  }
  json["weights"] = answer.weights;
  json["capacity"] = answer.capacity.best ? point_json(*answer.capacity.best) : Json(nullptr);
  json["limited_by"] = answer.capacity.beyond ? Json(answer.capacity.beyond->missed) : Json(nullptr);
  json["fleet"] = nullptr;
  if (answer.fleet) {
    json["fleet"] = {{"replicas", answer.fleet->replicas}, {"gpus", answer.fleet->gpus}, {"point", point_json(answer.fleet->point)}};
  }
  json["most_clients"] = answer.most_clients ? point_json(*answer.most_clients) : Json(nullptr);
  json["speculation"] = speculation_json(answer.speculation);
  json["prefill_decode"] = answer.apart ? apart_json(*answer.apart) : Json(nullptr);
  json["rates"] = points_json(answer.rates);
  json["concurrencies"] = points_json(answer.concurrencies);
  return json;
}

std::string csv_row(const plan::CapacityAnswer& answer, std::string_view what, const LoadPoint& point) {
  std::string row = fmt::format("{},{},{},{},{},{},{},{},{},{}", text::csv_cell(answer.model), text::csv_cell(answer.weights),
                                answer.tp, answer.expert_parallel, answer.data_parallel, what, point.rate_per_s, point.concurrency,
                                point.replicas, point.replicas * answer.gpus_of_engine);
  for (const auto& statistics : point.latency_ms) row += fmt::format(",{}", fmt::join(statistics, ","));
  for (const auto& interval : point.mean_interval) {
    row += interval ? fmt::format(",{},{}", interval->lower_ms, interval->upper_ms) : ",,";
  }
  return row + fmt::format(",{},{},{},{}\n", point.output_tokens_per_s, point.mean_batch, point.kv_use_fraction,
                           fmt::join(point.missed, " "));
}

}  // namespace

std::string capacity_json(const plan::CapacityReport& report) {
  Json objectives = Json::object();
  for (const plan::LatencyObjective& objective : report.objectives) {
    objectives[plan::latency_name(objective.kind, objective.statistic) + "_ms"] = objective.limit.value;
  }
  Json answers = Json::array();
  for (const plan::CapacityAnswer& answer : report.answers) answers.push_back(answer_json(answer));
  return text::json_text({{"schema", "rooftune/capacity/1"},
                          {"gpu", report.gpu},
                          {"step_time_model", report.step_time_model},
                          {"like", report.like.empty() ? Json(nullptr) : Json(report.like)},
                          {"prompts", report.prompts},
                          {"prompt_tokens", report.prompt_tokens},
                          {"output_tokens", report.output_tokens},
                          {"objectives", std::move(objectives)},
                          {"replicates", report.replicates},
                          {"load_per_s", report.load_per_s ? Json(*report.load_per_s) : Json(nullptr)},
                          {"tokens_per_user", report.tokens_per_user ? Json(*report.tokens_per_user) : Json(nullptr)},
                          {"most_tokens_per_gpu", best_json(report)},
                          {"answers", std::move(answers)}});
}

std::string capacity_csv(const plan::CapacityReport& report) {
  std::string text = "model,weights,tp,expert_parallel,data_parallel,what,rate_per_s,concurrency,replicas,gpus";
  for (const plan::LatencyKind kind : plan::kLatencyKinds) {
    for (const plan::LatencyStatistic statistic : plan::kLatencyStatistics) text += "," + plan::latency_name(kind, statistic) + "_ms";
  }
  for (const plan::LatencyKind kind : plan::kLatencyKinds) {
    const std::string name = plan::latency_name(kind, plan::LatencyStatistic::mean);
    text += fmt::format(",{0}_lower_ms,{0}_upper_ms", name);
  }
  text += ",output_tokens_per_s,mean_batch,kv_use_fraction,missed\n";
  for (const plan::CapacityAnswer& answer : report.answers) {
    if (answer.capacity.best) text += csv_row(answer, "capacity", *answer.capacity.best);
    if (answer.fleet) text += csv_row(answer, "fleet", answer.fleet->point);
    if (answer.most_clients) text += csv_row(answer, "most_clients", *answer.most_clients);
    for (const LoadPoint& point : answer.rates) text += csv_row(answer, "rate", point);
    for (const LoadPoint& point : answer.concurrencies) text += csv_row(answer, "concurrency", point);
  }
  return text;
}

}  // namespace rooftune::runs
