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
  Json json{{"version", settings.version}};
  // 0 and empty: not recorded.
  if (settings.max_model_len > 0) json["max_model_len"] = settings.max_model_len;
  if (settings.max_num_batched_tokens > 0) json["max_num_batched_tokens"] = settings.max_num_batched_tokens;
  if (settings.max_num_seqs > 0) json["max_num_seqs"] = settings.max_num_seqs;
  json["gpu_mem_util"] = settings.gpu_mem_util;
  json["cpu_offload"] = settings.cpu_offload;
  if (settings.total_kv_blocks) json["total_kv_blocks"] = *settings.total_kv_blocks;
  json["cpu_kv_blocks"] = settings.cpu_kv_blocks;
  json["block_size"] = settings.block_size;
  json["enable_prefix_caching"] = settings.enable_prefix_caching;
  json["enable_chunked_prefill"] = settings.enable_chunked_prefill;
  json["long_prefill_token_threshold"] = settings.long_prefill_token_threshold;
  if (settings.async_scheduling) json["async_scheduling"] = *settings.async_scheduling;
  if (settings.scheduler_reserve_full_isl) json["scheduler_reserve_full_isl"] = *settings.scheduler_reserve_full_isl;
  if (settings.watermark) json["watermark"] = *settings.watermark;
  if (!settings.kv_cache_dtype.empty()) json["kv_cache_dtype"] = settings.kv_cache_dtype;
  if (!settings.quantization.empty()) json["quantization"] = settings.quantization;
  if (!settings.cudagraph_mode.empty()) json["cudagraph_mode"] = settings.cudagraph_mode;
  if (!settings.cudagraph_capture_sizes.empty()) json["cudagraph_capture_sizes"] = settings.cudagraph_capture_sizes;
  if (settings.max_cudagraph_capture_size > 0) json["max_cudagraph_capture_size"] = settings.max_cudagraph_capture_size;
  if (settings.enable_expert_parallel) json["enable_expert_parallel"] = true;
  if (settings.data_parallel_size > 1) json["data_parallel_size"] = settings.data_parallel_size;
  if (settings.all2all_backend) json["all2all_backend"] = domain::all2all_backend_name(*settings.all2all_backend);
  if (settings.fuse_allreduce_rms) json["fuse_allreduce_rms"] = *settings.fuse_allreduce_rms;
  if (settings.speculative) {
    json["speculative"] = {{"method", settings.speculative->method}};
    if (settings.speculative->num_speculative_tokens > 0)
      json["speculative"]["num_speculative_tokens"] = settings.speculative->num_speculative_tokens;
    if (settings.speculative->mean_accepted_length)
      json["speculative"]["mean_accepted_length"] = *settings.speculative->mean_accepted_length;
    if (!settings.speculative->acceptance_per_position.empty())
      json["speculative"]["acceptance_per_position"] = settings.speculative->acceptance_per_position;
    if (!settings.speculative->draft_model.empty()) json["speculative"]["draft_model"] = settings.speculative->draft_model;
    if (settings.speculative->draft_layers != 1) json["speculative"]["draft_layers"] = settings.speculative->draft_layers;
  }
  return json;
}

Json length_json(const domain::LengthDistribution& length) {
  const domain::LengthDistribution defaults;
  if (length.shape == domain::LengthShape::uniform) {
    return {{"distribution", "uniform"}, {"min", length.min_tokens}, {"max", length.max_tokens}};
  }
  Json json{{"mean", length.mean_tokens}};
  if (length.standard_deviation_tokens != defaults.standard_deviation_tokens)
    json["standard_deviation"] = length.standard_deviation_tokens;
  if (length.min_tokens != defaults.min_tokens) json["min"] = length.min_tokens;
  if (length.max_tokens != defaults.max_tokens) json["max"] = length.max_tokens;
  return json;
}

Json arrival_json(const domain::Arrival& arrival, const std::string& table) {
  Json json{{"process", core::word_of(kProcesses, arrival.process)}};
  if (arrival.process == ArrivalProcess::closed_loop) {
    json["concurrency"] = arrival.concurrency;
    if (arrival.start == domain::ClientStart::ramp) {
      json["start"] = "ramp";
      json["ramp_duration"] = arrival.ramp.value;
    }
    if (arrival.turnaround_us) json["turnaround_us"] = *arrival.turnaround_us;
  }
  if (arrival.process == ArrivalProcess::gamma) json["coefficient_of_variation"] = arrival.gamma_coefficient_of_variation;
  if (arrival.rate_ramp != domain::RateRamp::none) {
    json["ramp_up"] = {{"strategy", core::word_of(kRateRamps, arrival.rate_ramp)},
                       {"start_rps", arrival.first_rate.value},
                       {"end_rps", arrival.last_rate.value}};
  }
  if (!table.empty()) json["table"] = table;
  return json;
}

Json sessions_json(const domain::Workload& workload) {
  Json json = Json::object();
  if (workload.turns) json["turns"] = length_json(*workload.turns);
  if (workload.think_time.mean.value > 0.0) {
    json["think_time"] = {{"mean", workload.think_time.mean.value},
                          {"distribution", core::word_of(kThinkTimes, workload.think_time.shape)}};
  }
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
    if (stage.rate.value > 0.0 && workload.arrival.rate_ramp == domain::RateRamp::none) entry["rate"] = stage.rate.value;
    if (stage.duration.value > 0.0) entry["duration"] = stage.duration.value;
    if (stage.num_requests > 0) entry["num_requests"] = stage.num_requests;
    if (stage.concurrency > 0) entry["concurrency"] = stage.concurrency;
    json["stages"].push_back(std::move(entry));
  }
  json["arrival"] = arrival_json(workload.arrival, table);
  json["effective"] = effective_json(workload);
  if (workload.numpy_seed) json["numpy_seed"] = *workload.numpy_seed;
  if (workload.temperature) json["temperature"] = *workload.temperature;
  if (Json sessions = sessions_json(workload); !sessions.empty()) json["sessions"] = std::move(sessions);
  if (workload.warm_up) {
    json["warm_up"] = {{"requests", workload.warm_up->requests},
                       {"concurrency", workload.warm_up->concurrency},
                       {"prompt", core::word_of(kWarmUpPrompts, workload.warm_up->prompt)}};
  }
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
  Json json{{"measured_at", core::word_of(kMeasuredAt, measured.measured_at)}};
  for (const domain::Metric metric : measured.unknown_statistic) {
    const std::string_view name = domain::metric_name(metric);
    json["statistic"][std::string(name.substr(0, name.find('_')))] = "unknown";
  }
  json["summary"] = Json::object();
  json["stages"] = Json::array();
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
  Json json{{"id", experiment.id}};
  if (!experiment.sweep.empty()) json["sweep"] = experiment.sweep;
  json["role"] = domain::role_name(experiment.role);
  json["model"] = deployment.model;
  json["hardware"] = deployment.hardware;
  json["tp"] = deployment.tp;
  json["dp"] = deployment.dp;
  json["pp"] = deployment.pp;
  if (const auto& apart = deployment.prefill_decode) {
    const auto pool = [](const domain::EnginePool& own) {
      Json pool_json{{"engines", own.engines}};
      if (own.tp > 0) pool_json["tp"] = own.tp;
      return pool_json;
    };
    json["prefill_decode"] = {{"prefill", pool(apart->prefill)}, {"decode", pool(apart->decode)}};
  }
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
