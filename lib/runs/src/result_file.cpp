#include "rooftune/runs/result_file.hpp"

#include <array>
#include <cmath>
#include <optional>
#include <string_view>

#include "metric_errors_json.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/text/json_pieces.hpp"
#include "rooftune/text/json_text.hpp"
#include "speculation_json.hpp"

namespace rooftune::runs {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<core::Word<opt::BoundState>, 4> kBoundStates{{
    {"free", opt::BoundState::free},
    {"at_lower", opt::BoundState::at_lower},
    {"at_upper", opt::BoundState::at_upper},
    {"held", opt::BoundState::held},
}};

Json termination_json(const opt::Termination& termination) {
  return {{"reason", opt::name(termination.reason)},
          {"limit", termination.limit},
          {"detail", termination.detail},
          {"text", opt::format(termination)}};
}

Json aggregates_json(const eval::Evaluation& evaluation) {
  Json json = metric_errors_json(evaluation.overall);
  json["loss_percent"] = evaluation.loss_percent;
  return json;
}

Json bounds_json(const std::optional<calibrate::Estimate::Interval>& interval) {
  return interval ? Json::array({interval->lower, interval->upper}) : Json(nullptr);
}

Json group_errors_json(const calibrate::GroupErrors& errors) {
  Json json{{"all", errors.all_percent}};
  for (const auto& [field, groups] : errors.by) json["by"][field] = groups;
  return json;
}

Json trace_json(const std::vector<calibrate::TracePoint>& trace) {
  Json json = Json::array();
  for (const calibrate::TracePoint& point : trace) {
    json.push_back({{"iteration", point.iteration},
                    {"evaluations", point.evaluations},
                    {"objective", point.objective},
                    {"error_percent", group_errors_json(point.training)},
                    {"held_out_error_percent", point.held_out ? group_errors_json(*point.held_out) : Json(nullptr)}});
  }
  return json;
}

constexpr std::array<core::Word<opt::Direction::State>, 3> kDirectionStates{{
    {"identified", opt::Direction::State::identified},
    {"weak", opt::Direction::State::weak},
    {"unidentifiable", opt::Direction::State::unidentifiable},
}};

/// JSON has no infinity.
Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json directions_json(const calibrate::FitResult& result) {
  Json json = Json::array();
  for (const opt::Direction& direction : result.uncertainty.directions) {
    Json parts = Json::object();
    for (const std::size_t index : direction.participants) parts[result.estimates[index].parameter.label()] = direction.vector[index];
    json.push_back({{"singular_value", direction.singular_value},
                    {"standard_error", finite_or_null(direction.standard_error)},
                    {"state", core::word_of(kDirectionStates, direction.state)},
                    {"parameters", std::move(parts)}});
  }
  return json;
}

Json metric_pulls_json(const std::map<domain::Metric, double>& pulls) {
  Json json = Json::object();
  for (const auto& [metric, pull] : pulls) json[std::string(domain::metric_name(metric))] = pull;
  return json;
}

Json pulls_json(const calibrate::FitResult& result) {
  Json json = Json::array();
  for (const calibrate::ParameterPulls& pulls : result.pulls) {
    Json models = Json::object();
    for (const auto& [model, by_metric] : pulls.by_model) models[model] = metric_pulls_json(by_metric);
    Json strongest = Json::array();
    for (const calibrate::RowPull& row : pulls.strongest) {
      strongest.push_back({{"experiment", row.experiment},
                           {"stage", row.stage == domain::kSummaryStage ? Json("summary") : Json(row.stage)},
                           {"metric", domain::metric_name(row.metric)},
                           {"pull", row.pull}});
    }
    json.push_back({{"parameter", result.estimates[pulls.parameter].parameter.label()},
                    {"disagreement", pulls.disagreement()},
                    {"by_metric", metric_pulls_json(pulls.by_metric)},
                    {"by_model", std::move(models)},
                    {"prior", pulls.prior},
                    {"strongest", std::move(strongest)}});
  }
  return json;
}

Json profiles_json(const calibrate::FitResult& result) {
  Json json = Json::array();
  for (const calibrate::Profile& profile : result.profiles) {
    Json points = Json::array();
    for (const calibrate::ProfilePoint& point : profile.points)
      points.push_back({{"value", point.value}, {"objective", point.objective}});
    json.push_back({{"parameter", result.estimates[profile.parameter].parameter.label()},
                    {"threshold", finite_or_null(profile.threshold)},
                    {"lower_95", text::or_null(profile.lower_95)},
                    {"upper_95", text::or_null(profile.upper_95)},
                    {"points", std::move(points)}});
  }
  return json;
}

Json bootstrap_json(const calibrate::FitResult& result) {
  if (!result.bootstrap) return nullptr;
  Json parameters = Json::array();
  for (std::size_t i = 0; i < result.bootstrap->parameters.size(); ++i) {
    const calibrate::BootstrapSpread& spread = result.bootstrap->parameters[i];
    parameters.push_back({{"parameter", result.estimates[i].parameter.label()},
                          {"standard_deviation", spread.standard_deviation},
                          {"lower_95", spread.lower_95},
                          {"upper_95", spread.upper_95}});
  }
  return {{"refits", result.bootstrap->refits}, {"failed", result.bootstrap->failed}, {"parameters", std::move(parameters)}};
}

Json held_out_json(const calibrate::FitResult& result) {
  if (!result.held_out_after) return nullptr;
  return {{"before", aggregates_json(*result.held_out_before)}, {"after", aggregates_json(*result.held_out_after)}};
}

Json estimate_json(const calibrate::Estimate& estimate) {
  const params::FreeParameter& parameter = estimate.parameter;
  return {
      {"parameter", parameter.label()},
      {"unit", parameter.id.spec().unit},
      {"start", estimate.start},
      {"value", estimate.value},
      {"standard_error", text::or_null(estimate.standard_error)},
      {"relative_standard_error", text::or_null(estimate.relative_standard_error)},
      {"interval_95", bounds_json(estimate.interval)},
      {"prior_share", text::or_null(estimate.prior_share)},
      {"lower", parameter.lower},
      {"upper", parameter.upper},
      {"bound", core::word_of(kBoundStates, estimate.bound)},
      {"without_effect", estimate.without_effect},
      {"at_start", estimate.at_start},
      {"verdict", calibrate::verdict(estimate)},
  };
}

Json start_json(const opt::StartOutcome& start) {
  return {
      {"start", start.index},
      {"initial_objective", start.solution.initial_value},
      {"objective", start.solution.value},
      {"evaluations", start.counts.total()},
      {"refusals", start.counts.refusals},
      {"given_up", start.counts.hopeless},
      {"pruned", start.fate == opt::StartFate::pruned},
      {"termination", termination_json(start.solution.termination)},
  };
}

Json fold_json(const calibrate::FoldResult& fold, const std::vector<params::FreeParameter>& free) {
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

Json variant_json(const calibrate::VariantResult& variant) {
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
            {"warm_up", stage.warm_up},
            {"output_tokens_per_s", stage.output_tokens_per_s},
            {"longest_queue", stage.longest_queue}};
  for (const domain::Metric metric : domain::kMetrics) {
    if (const auto value = stage.latencies[metric]) json[std::string(domain::metric_name(metric))] = *value;
  }
  return json;
}

Json histogram_json(const std::vector<calibrate::HistogramBin>& bins) {
  Json json = Json::array();
  for (const calibrate::HistogramBin& bin : bins) json.push_back({{"up_to", bin.upper}, {"time_us", bin.time_us}});
  return json;
}

}  // namespace

std::string fit_json(const calibrate::FitResult& result) {
  Json estimates = Json::array();
  for (const calibrate::Estimate& estimate : result.estimates) estimates.push_back(estimate_json(estimate));
  Json correlations = Json::array();
  for (const calibrate::Correlation& correlation : result.correlations) {
    correlations.push_back({{"first", result.estimates[correlation.first].parameter.label()},
                            {"second", result.estimates[correlation.second].parameter.label()},
                            {"correlation", correlation.value}});
  }
  Json intervals = Json::array();
  for (const calibrate::PredictionInterval& interval : result.intervals) intervals.push_back(interval_json(interval));
  Json starts = Json::array();
  for (const opt::StartOutcome& start : result.search.starts) starts.push_back(start_json(start));
  // Wall time is left out: the same run gives the same bytes.
  return text::json_text({
      {"schema", "rooftune/fit/1"},
      {"usable", result.usable},
      {"interrupted", result.interrupted},
      {"failed_evaluations", {{"count", result.failures}, {"first", result.first_failure}}},
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
      {"pulls", pulls_json(result)},
      {"noise",
       {{"residual", finite_or_null(result.uncertainty.residual_standard_deviation)},
        {"beyond_arrivals", finite_or_null(result.uncertainty.noise_standard_deviation)},
        {"degrees_of_freedom", result.uncertainty.degrees_of_freedom}}},
      {"directions", directions_json(result)},
      {"held_out", held_out_json(result)},
      {"trace", trace_json(result.trace)},
      {"profiles", profiles_json(result)},
      {"bootstrap", bootstrap_json(result)},
      {"prediction_intervals", {{"level", result.interval_level}, {"intervals", std::move(intervals)}}},
      {"starts", std::move(starts)},
      {"waterfall", result.search.waterfall()},
  });
}

std::string crossval_json(const calibrate::CrossValidation& result, const std::vector<eval::PeerComparison>& peers) {
  Json folds = Json::array();
  for (const calibrate::FoldResult& fold : result.folds) folds.push_back(fold_json(fold, result.free));
  Json noise = Json::array();
  for (const calibrate::SeedNoise& one : result.noise) {
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
  Json json{
      {"schema", "rooftune/crossval/1"},
      {"usable", result.usable()},
      {"failures", result.failures},
      {"repeats", result.repeats},
      {"held_out", result.usable() ? aggregates_json(result.pooled) : Json(nullptr)},
      {"intervals", {{"level", calibrate::kIntervalLevel}, {"by_metric", std::move(intervals)}}},
      {"folds", std::move(folds)},
      {"seed_noise", std::move(noise)},
  };
  if (!peers.empty()) json["peers"] = peers_json(peers);
  return text::json_text(json);
}

std::string comparison_json(const calibrate::Comparison& comparison) {
  Json variants = Json::array();
  for (const calibrate::VariantResult& variant : comparison.variants) variants.push_back(variant_json(variant));
  Json json{{"schema", "rooftune/comparison/1"}, {"interrupted", comparison.interrupted()}, {"variants", std::move(variants)}};
  if (comparison.one_by_one) {
    Json reverted = Json::array();
    for (const calibrate::VariantResult& variant : comparison.reverted) reverted.push_back(variant_json(variant));
    json["one_by_one"] = {{"from", comparison.one_by_one->from}, {"to", comparison.one_by_one->to}, {"reverted", std::move(reverted)}};
  }
  return text::json_text(json);
}

std::string solver_table_json(const calibrate::SolverTable& table) {
  Json json = Json::array();
  for (const calibrate::SolverRow& row : table.rows) {
    json.push_back({{"solver", opt::name(row.algorithm)},
                    {"derivatives", row.by_differences ? "differences" : "own"},
                    {"evaluations", row.counts.total()},
                    {"objective", finite_or_null(row.objective)},
                    {"loss_percent", finite_or_null(row.loss_percent)},
                    {"termination", termination_json(row.termination)}});
  }
  return text::json_text({{"schema", "rooftune/solvers/1"}, {"interrupted", table.interrupted()}, {"rows", std::move(json)}});
}

std::string recovery_json(const calibrate::Recovery& recovery) {
  Json parameters = Json::array();
  for (const calibrate::ParameterRecovery& one : recovery.parameters) {
    parameters.push_back({{"parameter", one.parameter.label()},
                          {"truth", one.truth},
                          {"identified", one.identified},
                          {"covered", one.covered},
                          {"bias", one.bias},
                          {"spread", one.spread},
                          {"mean_standard_error", one.mean_standard_error}});
  }
  return text::json_text({{"schema", "rooftune/recovery/1"},
                          {"repeats", recovery.repeats},
                          {"finished", recovery.finished},
                          {"interrupted", recovery.interrupted()},
                          {"failed", recovery.failed},
                          {"noise_fraction", recovery.noise_fraction},
                          {"counted", recovery.counted},
                          {"covered", recovery.covered},
                          {"coverage_percent", recovery.coverage_percent()},
                          {"parameters", std::move(parameters)}});
}

std::string resolved_json(const calibrate::PreparedStudy& study) {
  Json experiments = Json::array();
  Json models = Json::object();
  Json gpus = Json::object();
  for (const eval::Case& item : study.dataset.cases) {
    const domain::Experiment& experiment = item.experiment;
    const domain::Deployment& deployment = experiment.deployment;
    Json rates = Json::array();
    for (const domain::Stage& stage : experiment.workload.stages) rates.push_back(stage.rate.value);
    experiments.push_back(
        {{"id", experiment.id},
         {"role", domain::role_name(experiment.role)},
         {"model", item.model.name},
         {"gpu", item.gpu.name},
         {"tp", deployment.tp},
         {"dp", deployment.dp},
         {"workload", experiment.workload.name},
         {"rates_per_s", std::move(rates)},
         {"requests", calibrate::planned_requests(item)},
         {"kv_blocks", deployment.settings.total_kv_blocks ? Json(*deployment.settings.total_kv_blocks) : Json(nullptr)},
         {"engine", deployment.engine},
         {"engine_version", deployment.settings.version}});
    const domain::Mixer* attention = item.model.attention();
    const domain::Experts* experts = item.model.experts();
    models[item.model.name] = {{"layers", item.model.layers()},
                               {"hidden", item.model.hidden},
                               {"heads", attention != nullptr ? Json(attention->heads) : Json(nullptr)},
                               {"kv_heads", attention != nullptr ? Json(attention->kv_heads) : Json(nullptr)},
                               {"experts", experts != nullptr ? Json(experts->count) : Json(nullptr)},
                               {"weight_bytes", domain::resident_weight_bytes(item.model)},
                               {"sampling_truncates", item.model.sampling ? Json(item.model.sampling->truncates()) : Json(nullptr)}};
    gpus[item.gpu.name] = {{"peak_bf16_tflops", item.gpu.peak_bf16.value},
                           {"peak_fp8_tflops", item.gpu.peak_fp8 ? Json(item.gpu.peak_fp8->value) : Json(nullptr)},
                           {"hbm_bandwidth_tbs", item.gpu.hbm_bandwidth.value},
                           {"link_bandwidth_gbs", item.gpu.link_bandwidth.value},
                           {"memory_gib", item.gpu.memory.value}};
  }
  Json free = Json::array();
  for (const params::FreeParameter& parameter : study.spec.free) {
    free.push_back({{"parameter", parameter.label()},
                    {"unit", parameter.id.spec().unit},
                    {"lower", parameter.lower},
                    {"start", parameter.initial},
                    {"upper", parameter.upper},
                    {"transform", params::transform_name(parameter.transform)}});
  }
  return text::json_text({{"schema", "rooftune/resolved/1"},
                          {"name", study.spec.name},
                          {"description", study.spec.description},
                          {"step_time_model", study.start.step_time_model},
                          {"seed", study.spec.seed},
                          {"replicates", study.spec.replicates},
                          {"experiments", std::move(experiments)},
                          {"models", std::move(models)},
                          {"gpus", std::move(gpus)},
                          {"free", std::move(free)},
                          {"warnings", text::texts_of(study.dataset.warnings)}});
}

std::string inspection_json(const calibrate::Inspection& inspection, const std::optional<plan::SpeculationGain>& speculation) {
  const sim::EngineCounters& counters = inspection.prediction.counters;
  Json stages = Json::array();
  for (const auto& stage : inspection.prediction.stages) stages.push_back(latencies_json(stage));
  Json terms = Json::object();
  for (const calibrate::TermTime& term : inspection.terms) terms[term.name] = term.total_us;
  return text::json_text({
      {"schema", "rooftune/simulation/1"},
      {"summary", latencies_json(inspection.prediction.summary)},
      {"stages", std::move(stages)},
      {"counters",
       {{"steps", counters.steps},
        {"preemptions", counters.preemptions},
        {"rejected", counters.rejected},
        {"rejected_by_length", counters.rejected_by_length},
        {"prompt_tokens", counters.prompt_tokens},
        {"cached_tokens", counters.cached_tokens},
        {"loaded_tokens", counters.loaded_tokens},
        {"generated_tokens", counters.generated_tokens},
        {"largest_batch", counters.largest_batch},
        {"kv_blocks", inspection.setup.kv_blocks}}},
      {"busy_us", inspection.busy_us},
      {"terms_us", std::move(terms)},
      {"bound_us", inspection.bound_us},
      {"batch_requests", histogram_json(inspection.batch_requests)},
      {"kv_use_fraction", histogram_json(inspection.kv_use_fraction)},
      {"speculation", speculation_json(speculation)},
      {"outside_domain", domain_exits_json(inspection.domain_exits)},
  });
}

std::string sweep_json(const std::vector<calibrate::SweepPoint>& points) {
  Json list = Json::array();
  for (const calibrate::SweepPoint& point : points) {
    const sim::EngineCounters& counters = point.prediction.counters;
    Json json = latencies_json(point.prediction.summary);
    json["rate_per_s"] = point.concurrency > 0 ? Json(nullptr) : Json(point.rate_per_s);
    json["concurrency"] = point.concurrency > 0 ? Json(point.concurrency) : Json(nullptr);
    json["gpus"] = point.gpus;
    json["output_tokens_per_s_per_gpu"] = point.output_tokens_per_s_per_gpu();
    json["output_tokens_per_s_per_user"] = text::or_null(point.output_tokens_per_s_per_user());
    json["mean_batch"] = counters.busy_us > 0.0 ? counters.batch_time_us / counters.busy_us : 0.0;
    json["kv_use_at_most"] = 1.0 - static_cast<double>(counters.least_free_blocks) / static_cast<double>(counters.kv_blocks);
    json["prefix_hit_fraction"] = point.prefix_hit_fraction();
    json["preemptions"] = counters.preemptions;
    json["warnings"] = Json::array();
    for (const eval::QualityFinding& finding : point.findings) json["warnings"].push_back(eval::format(finding));
    list.push_back(std::move(json));
  }
  return text::json_text({{"schema", "rooftune/sweep/1"}, {"points", std::move(list)}});
}

}  // namespace rooftune::runs
