#include "rooftune/data/ground_truth_writer.hpp"

#include <nlohmann/json.hpp>

#include "ground_truth_words.hpp"
#include "rooftune/text/json_text.hpp"

namespace rooftune::data {
namespace {

using Json = nlohmann::ordered_json;
using domain::ArrivalProcess;
using domain::PromptPattern;

Json settings_json(const domain::EngineSettings& settings) {
  Json json{{"version", settings.version},
            {"max_model_len", settings.max_model_len},
            {"max_num_batched_tokens", settings.max_num_batched_tokens},
            {"max_num_seqs", settings.max_num_seqs},
            {"gpu_mem_util", settings.gpu_mem_util},
            {"cpu_offload", settings.cpu_offload}};
  if (settings.total_kv_blocks) json["total_kv_blocks"] = *settings.total_kv_blocks;
  json["cpu_kv_blocks"] = settings.cpu_kv_blocks;
  json["block_size"] = settings.block_size;
  json["enable_prefix_caching"] = settings.enable_prefix_caching;
  json["enable_chunked_prefill"] = settings.enable_chunked_prefill;
  json["long_prefill_token_threshold"] = settings.long_prefill_token_threshold;
  return json;
}

Json length_json(const domain::LengthDistribution& length) {
  const domain::LengthDistribution defaults;
  Json json{{"mean", length.mean_tokens}};
  if (length.standard_deviation_tokens != defaults.standard_deviation_tokens)
    json["standard_deviation"] = length.standard_deviation_tokens;
  if (length.min_tokens != defaults.min_tokens) json["min"] = length.min_tokens;
  if (length.max_tokens != defaults.max_tokens) json["max"] = length.max_tokens;
  return json;
}

Json arrival_json(const domain::Arrival& arrival, const std::string& table) {
  Json json{{"process", core::word_of(kProcesses, arrival.process)}};
  if (arrival.process == ArrivalProcess::closed_loop) json["concurrency"] = arrival.concurrency;
  if (arrival.process == ArrivalProcess::gamma) json["coefficient_of_variation"] = arrival.gamma_coefficient_of_variation;
  if (arrival.process == ArrivalProcess::trace) json["table"] = table;
  return json;
}

Json effective_json(const domain::Workload& workload) {
  Json json{{"order", workload.pattern == PromptPattern::cycled ? "cycled" : "unique"}};
  if (workload.distinct_prompts > 0) json["distinct_prompts"] = workload.distinct_prompts;
  if (workload.prompt_groups > 0) json["num_groups"] = workload.prompt_groups;
  if (workload.pattern == PromptPattern::conversations) json["multi_turn"] = true;
  if (workload.turns_per_conversation != 1) json["turns_per_conversation"] = workload.turns_per_conversation;
  if (workload.prompt_spread_fraction > 0.0) json["prompt_tokens_range_pct"] = 100.0 * workload.prompt_spread_fraction;
  return json;
}

Json workload_json(const domain::Workload& workload, const std::string& table) {
  Json json{{"name", workload.name}};
  if (!workload.type.empty()) json["type"] = workload.type;
  if (workload.system_prompt_tokens > 0) json["system_prompt_len"] = workload.system_prompt_tokens;
  json["prompt_length"] = length_json(workload.prompt);
  json["output_length"] = length_json(workload.output);
  json["stages"] = Json::array();
  for (const domain::Stage& stage : workload.stages) {
    Json entry = Json::object();
    if (stage.rate.value > 0.0) entry["rate"] = stage.rate.value;
    if (stage.duration.value > 0.0) entry["duration"] = stage.duration.value;
    entry["num_requests"] = stage.num_requests;
    json["stages"].push_back(std::move(entry));
  }
  json["arrival"] = arrival_json(workload.arrival, table);
  json["effective"] = effective_json(workload);
  return json;
}

void add_latencies(Json& row, const domain::Latencies& latencies, const std::optional<double>& output_tokens) {
  for (const auto& [field, metric] : kMetricFields) {
    if (const auto value = latencies[metric]) row[std::string(field)] = *value;
  }
  if (latencies.itl_mean_ms) row["itl_mean"] = *latencies.itl_mean_ms;
  if (output_tokens) row["output_tokens_mean"] = *output_tokens;
  if (latencies.succeeded) row["num_success"] = *latencies.succeeded;
  if (latencies.failed) row["num_failure"] = *latencies.failed;
}

Json measured_json(const WrittenExperiment& written) {
  const domain::Measurement& measured = written.experiment.measured;
  Json json{{"measured_at", core::word_of(kMeasuredAt, measured.measured_at)}, {"summary", Json::object()}, {"stages", Json::array()}};
  add_latencies(json["summary"], measured.summary, written.summary_output_tokens);
  for (std::size_t i = 0; i < measured.stages.size(); ++i) {
    Json row{{"stage", i}};
    add_latencies(row, measured.stages[i], i < written.output_tokens.size() ? written.output_tokens[i] : std::nullopt);
    json["stages"].push_back(std::move(row));
  }
  return json;
}

Json experiment_json(const WrittenExperiment& written) {
  const domain::Experiment& experiment = written.experiment;
  const domain::Deployment& deployment = experiment.deployment;
  Json json{{"id", experiment.id},       {"role", domain::role_name(experiment.role)},
            {"model", deployment.model}, {"hardware", deployment.hardware},
            {"tp", deployment.tp},       {"dp", deployment.dp},
            {"pp", deployment.pp}};
  if (!deployment.precision.empty()) json["precision"] = deployment.precision;
  json["engine"] = deployment.engine;
  json["vllm"] = settings_json(deployment.settings);
  json["workload"] = workload_json(experiment.workload, written.table);
  json["measured"] = measured_json(written);
  json["flags"] = experiment.flags;
  if (!written.inferred.empty()) json["inferred"] = written.inferred;
  return json;
}

}  // namespace

std::string ground_truth_text(std::span<const WrittenExperiment> experiments) {
  Json json = Json::array();
  for (const WrittenExperiment& experiment : experiments) json.push_back(experiment_json(experiment));
  return text::json_text(json);
}

}  // namespace rooftune::data
