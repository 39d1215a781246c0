#include "rooftune/io/result_file.hpp"

#include <array>
#include <optional>
#include <string_view>

#include "json_text.hpp"
#include "metric_errors_json.hpp"
#include "rooftune/core/word.hpp"

namespace rooftune::io {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<core::Word<opt::BoundState>, 4> kBoundStates{{
    {"free", opt::BoundState::free},
    {"at_lower", opt::BoundState::at_lower},
    {"at_upper", opt::BoundState::at_upper},
    {"held", opt::BoundState::held},
}};

Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

Json termination_json(const opt::Termination& termination) {
  return {{"reason", opt::name(termination.reason)}, {"limit", termination.limit}, {"detail", termination.detail}};
}

Json aggregates_json(const eval::Evaluation& evaluation) {
  Json json = metric_errors_json(evaluation.overall);
  json["loss_percent"] = evaluation.loss_percent;
  return json;
}

Json estimate_json(const study::Estimate& estimate) {
  const params::FreeParameter& parameter = estimate.parameter;
  return {
      {"parameter", parameter.label()},
      {"unit", parameter.id.spec().unit},
      {"start", estimate.start},
      {"value", estimate.value},
      {"standard_error", or_null(estimate.standard_error)},
      {"relative_standard_error", or_null(estimate.relative_standard_error)},
      {"lower", parameter.lower},
      {"upper", parameter.upper},
      {"bound", core::word_of(kBoundStates, estimate.bound)},
      {"without_effect", estimate.without_effect},
  };
}

Json start_json(const opt::StartOutcome& start) {
  return {
      {"start", start.index},
      {"initial_objective", start.solution.initial_value},
      {"objective", start.solution.value},
      {"evaluations", start.counts.total()},
      {"refusals", start.counts.refusals},
      {"pruned", start.fate == opt::StartFate::pruned},
      {"termination", termination_json(start.solution.termination)},
  };
}

Json fold_json(const study::FoldResult& fold, const std::vector<params::FreeParameter>& free) {
  Json parameters = Json::object();
  for (std::size_t i = 0; i < fold.values.size(); ++i) parameters[free[i].label()] = fold.values[i];
  return {
      {"fold", fold.name},
      {"training_experiments", fold.training_experiments},
      {"held_out_experiments", fold.held_out_experiments},
      {"lost_coverage", fold.lost_coverage},
      {"failure", fold.failure ? Json(*fold.failure) : Json(nullptr)},
      {"termination", termination_json(fold.termination)},
      {"objective", fold.objective},
      {"parameters", std::move(parameters)},
      {"training", fold.failure ? Json(nullptr) : aggregates_json(fold.training)},
      {"held_out", fold.failure ? Json(nullptr) : aggregates_json(fold.held_out)},
  };
}

Json variant_json(const study::VariantResult& variant) {
  return {
      {"name", variant.name},
      {"step_time_model", variant.step_time_model},
      {"failure", variant.failure ? Json(*variant.failure) : Json(nullptr)},
      {"free_parameters", variant.free_parameters},
      {"without_effect", variant.without_effect},
      {"evaluations", variant.counts.total()},
      {"termination", termination_json(variant.termination)},
      {"training", variant.failure ? Json(nullptr) : aggregates_json(variant.training)},
      {"held_out", variant.held_out ? aggregates_json(*variant.held_out) : Json(nullptr)},
      {"no_held_out", variant.no_held_out.empty() ? Json(nullptr) : Json(variant.no_held_out)},
  };
}

Json latencies_json(const sim::StagePrediction<double>& stage) {
  Json json{{"finished", stage.finished},
            {"rejected", stage.rejected},
            {"output_tokens_per_s", stage.output_tokens_per_s},
            {"longest_queue", stage.longest_queue}};
  for (const domain::Metric metric : domain::kMetrics) {
    if (const auto value = stage.latencies[metric]) json[std::string(domain::metric_name(metric))] = *value;
  }
  return json;
}

Json histogram_json(const std::vector<study::HistogramBin>& bins) {
  Json json = Json::array();
  for (const study::HistogramBin& bin : bins) json.push_back({{"up_to", bin.upper}, {"time_us", bin.time_us}});
  return json;
}

}  // namespace

std::string fit_json(const study::FitResult& result) {
  Json estimates = Json::array();
  for (const study::Estimate& estimate : result.estimates) estimates.push_back(estimate_json(estimate));
  Json correlations = Json::array();
  for (const study::Correlation& correlation : result.correlations) {
    correlations.push_back({{"first", result.estimates[correlation.first].parameter.label()},
                            {"second", result.estimates[correlation.second].parameter.label()},
                            {"correlation", correlation.value}});
  }
  Json starts = Json::array();
  for (const opt::StartOutcome& start : result.search.starts) starts.push_back(start_json(start));
  // Wall time is left out: the same run gives the same bytes.
  return json_text({
      {"schema", "rooftune/fit/1"},
      {"usable", result.usable},
      {"interrupted", result.interrupted},
      {"termination", termination_json(result.termination)},
      {"machine_dependent", result.machine_dependent},
      {"objective", {{"before", result.objective_before}, {"after", result.objective_after}}},
      {"evaluations",
       {{"values", result.counts.values}, {"derivatives", result.counts.derivatives}, {"refusals", result.counts.refusals}}},
      {"before", aggregates_json(result.before)},
      {"after", aggregates_json(result.after)},
      {"parameters", std::move(estimates)},
      {"correlations", std::move(correlations)},
      {"unidentified", result.unidentified},
      {"starts", std::move(starts)},
  });
}

std::string crossval_json(const study::CrossValidation& result) {
  Json folds = Json::array();
  for (const study::FoldResult& fold : result.folds) folds.push_back(fold_json(fold, result.free));
  Json noise = Json::array();
  for (const study::SeedNoise& one : result.noise) {
    noise.push_back({{"fold", one.fold},
                     {"metric", domain::metric_name(one.metric)},
                     {"training_deviation_percent", one.training_deviation_percent},
                     {"held_out_deviation_percent", one.held_out_deviation_percent}});
  }
  Json intervals = Json::object();
  for (const auto& [metric, counts] : result.coverage) {
    const auto structural = result.structural_deviation.find(metric);
    intervals[std::string(domain::metric_name(metric))] = {
        {"inside", counts.inside},
        {"measurements", counts.measurements},
        {"structural_deviation", structural == result.structural_deviation.end() ? Json(nullptr) : Json(structural->second)}};
  }
  return json_text({
      {"schema", "rooftune/crossval/1"},
      {"usable", result.usable()},
      {"failures", result.failures},
      {"repeats", result.repeats},
      {"held_out", result.usable() ? aggregates_json(result.pooled) : Json(nullptr)},
      {"intervals", {{"level", study::kIntervalLevel}, {"by_metric", std::move(intervals)}}},
      {"folds", std::move(folds)},
      {"seed_noise", std::move(noise)},
  });
}

std::string comparison_json(const study::Comparison& comparison) {
  Json variants = Json::array();
  for (const study::VariantResult& variant : comparison.variants) variants.push_back(variant_json(variant));
  Json json{{"schema", "rooftune/comparison/1"}, {"variants", std::move(variants)}};
  if (comparison.one_by_one) {
    Json reverted = Json::array();
    for (const study::VariantResult& variant : comparison.reverted) reverted.push_back(variant_json(variant));
    json["one_by_one"] = {{"from", comparison.one_by_one->from}, {"to", comparison.one_by_one->to}, {"reverted", std::move(reverted)}};
  }
  return json_text(json);
}

std::string inspection_json(const study::Inspection& inspection) {
  const sim::EngineCounters& counters = inspection.prediction.counters;
  Json stages = Json::array();
  for (const auto& stage : inspection.prediction.stages) stages.push_back(latencies_json(stage));
  Json terms = Json::object();
  for (const study::TermTime& term : inspection.terms) terms[term.name] = term.total_us;
  return json_text({
      {"schema", "rooftune/simulation/1"},
      {"summary", latencies_json(inspection.prediction.summary)},
      {"stages", std::move(stages)},
      {"counters",
       {{"steps", counters.steps},
        {"preemptions", counters.preemptions},
        {"rejected", counters.rejected},
        {"prompt_tokens", counters.prompt_tokens},
        {"cached_tokens", counters.cached_tokens},
        {"generated_tokens", counters.generated_tokens},
        {"largest_batch", counters.largest_batch},
        {"kv_blocks", inspection.setup.kv_blocks}}},
      {"busy_us", inspection.busy_us},
      {"terms_us", std::move(terms)},
      {"bound_us", inspection.bound_us},
      {"batch_requests", histogram_json(inspection.batch_requests)},
      {"kv_use_fraction", histogram_json(inspection.kv_use_fraction)},
      {"outside_domain", domain_exits_json(inspection.domain_exits)},
  });
}

}  // namespace rooftune::io
