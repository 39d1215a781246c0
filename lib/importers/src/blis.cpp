#include <fmt/format.h>

#include "recorded_run.hpp"
#include "server_arguments.hpp"

namespace rooftune::importers {
namespace {

// Combined ground truth of the Go simulator family: {"experiments": [...]} or the bare list. An experiment has the model, GPU and
// TP, vllm_config, workload_config (GuideLLM's arguments), total_kv_blocks, and qps_sweeps: a rate with its mean and p90 latencies.

using domain::Metric;

class ExperimentReader {
 public:
  ExperimentReader(const text::Node& node, RecordedRun& run, text::Problems& problems) : node_(node), run_(run), problems_(problems) {}

  void read() {
    run_.model = text_at(node_, {"model", "vllm_config.model", "vllm.model"}, problems_);
    if (const text::Node* model = find_any(node_, {"model", "vllm_config.model", "vllm.model"})) run_.places["model"] = model->place;
    run_.gpu = text_at(node_, {"hardware", "gpu", "gpu_type", "vllm_config.hardware"}, problems_);
    run_.precision = text_at(node_, {"precision"}, problems_);
    run_.tp =
        count_at(node_, {"tp", "vllm_config.tensor_parallelism", "vllm_config.tensor_parallel_size", "vllm_config.tp"}, problems_);
    read_settings();
    read_workload();
    const text::Node* sweeps = find_any(node_, {"qps_sweeps"});
    if (!text::is_list(*sweeps, "'qps_sweeps'", problems_)) return;
    for (const text::Node& sweep : sweeps->items) read_sweep(sweep);
  }

 private:
  void read_settings() {
    if (const text::Node* settings = find_any(node_, {"vllm_config", "vllm"})) read_arguments(*settings, run_);
    if (const text::Node* blocks = find_any(node_, {"total_kv_blocks", "vllm_config.total_kv_blocks", "vllm.total_kv_blocks"})) {
      set("total_kv_blocks", *blocks);
    }
  }

  void set(std::string name, const text::Node& value) {
    run_.places[name] = value.place;
    run_.settings[std::move(name)] = value.text;
  }

  /// GuideLLM's synthetic data: prompt_tokens follow prefix_tokens that all prompts share.
  void read_workload() {
    domain::Workload& workload = run_.workload;
    workload.name = text_at(node_, {"app", "workload_name"}, problems_).value_or("blis");
    workload.type = "guidellm_synthetic";
    workload.arrival.process = domain::ArrivalProcess::constant;
    run_.measured_at = domain::MeasuredAt::server;
    run_.assumptions.emplace_back(
        "latencies are those of the server's spans, as the family aggregates them (else --measured-at client)");
    run_.assumptions.emplace_back("requests come at constant gaps, as GuideLLM's constant rate sends them");
    const text::Node* data = find_any(node_, {"workload_config.data", "workload.data", "workload_config", "workload"});
    if (data == nullptr) {
      problems_.error(node_.place, "the experiment has no 'workload_config'", "without the lengths it cannot be replayed");
      return;
    }
    const double prefix = number_at(*data, {"prefix_tokens"}, problems_, text::at_least(0)).value_or(0.0);
    workload.system_prompt_tokens = static_cast<int>(prefix);
    workload.prompt = lengths(*data, "prompt_tokens");
    workload.output = lengths(*data, "output_tokens");
    for (double* tokens : {&workload.prompt.mean_tokens, &workload.prompt.min_tokens}) *tokens += prefix;
    if (workload.prompt.max_tokens < domain::LengthDistribution{}.max_tokens) workload.prompt.max_tokens += prefix;
    requests_ = count_at(node_, {"workload_config.max-requests", "workload_config.max_requests", "workload.max-requests"}, problems_);
    seconds_ = number_at(node_, {"workload_config.max-seconds", "workload_config.max_seconds", "workload.max-seconds"}, problems_,
                         text::above(0));
  }

  domain::LengthDistribution lengths(const text::Node& data, const std::string& name) {
    domain::LengthDistribution result;
    const auto mean = number_at(data, {name}, problems_, text::at_least(1));
    if (!mean) {
      if (find_any(data, {name}) == nullptr) problems_.error(data.place, fmt::format("the workload lacks '{}'", name), "add it");
      return result;
    }
    result.mean_tokens = *mean;
    result.standard_deviation_tokens = number_at(data, {name + "_stdev", name + "_std"}, problems_, text::at_least(0)).value_or(0.0);
    result.min_tokens = number_at(data, {name + "_min"}, problems_, text::at_least(1)).value_or(result.min_tokens);
    result.max_tokens = number_at(data, {name + "_max"}, problems_, text::at_least(1)).value_or(result.max_tokens);
    return result;
  }

  void read_sweep(const text::Node& sweep) {
    RecordedStage stage;
    domain::Latencies& row = stage.row.latencies;
    const auto set = [&](Metric metric, std::string_view key) {
      if (const auto value = number_at(sweep, {key}, problems_, text::above(0))) row[metric] = *value;
    };
    set(Metric::ttft_mean, "ttft_mean_ms");
    set(Metric::ttft_p90, "ttft_p90_ms");
    set(Metric::e2e_mean, "e2e_mean_ms");
    set(Metric::e2e_p90, "e2e_p90_ms");
    row.itl_mean_ms = number_at(sweep, {"itl_mean_ms"}, problems_, text::above(0));
    stage.rate_per_s = number_at(sweep, {"qps"}, problems_, text::above(0));
    stage.row.output_tokens = number_at(sweep, {"output_tokens_mean"}, problems_, text::at_least(1));
    stage.num_requests = count_at(sweep, {"n", "num_requests"}, problems_);
    if (!stage.num_requests) stage.num_requests = requests_;
    if (!stage.num_requests) stage.duration_s = seconds_;
    row.succeeded = count_at(sweep, {"n_client_success"}, problems_);
    if (!row[Metric::ttft_mean] || !row[Metric::e2e_mean] || !stage.rate_per_s) {
      problems_.error(sweep.place, "a sweep lacks 'qps', 'ttft_mean_ms' or 'e2e_mean_ms'", "add them, in requests a second and ms");
      return;
    }
    if (*row[Metric::ttft_mean] > *row[Metric::e2e_mean]) {
      problems_.error(sweep.place, "the mean TTFT is longer than the mean E2E", "check the columns and their units (ms)");
    }
    run_.stages.push_back(std::move(stage));
  }

  const text::Node& node_;
  RecordedRun& run_;
  text::Problems& problems_;
  std::optional<int> requests_;    ///< of each rate, by the workload
  std::optional<double> seconds_;  ///< of each rate, by the workload
};

/// Texts that the family names an experiment by.
std::optional<std::string> name_of(const text::Node& node, text::Problems& problems) {
  return text_at(node, {"id", "experiment_id", "name", "experiment_folder", "folder"}, problems);
}

}  // namespace

core::Result<std::vector<RecordedRun>> read_blis(const std::filesystem::path& file) {
  const auto document = read_json(file);
  if (!document) return tl::unexpected(document.error());
  text::Problems problems(document->file);
  const text::Node* list = document->root.kind == text::Node::Kind::list ? &document->root : find_any(document->root, {"experiments"});
  if (list == nullptr || list->kind != text::Node::Kind::list) {
    return core::fail(document->at(document->root.place), "no list of 'experiments'", "name a combined ground-truth file");
  }
  std::vector<RecordedRun> runs;
  std::vector<std::string> left_out;
  for (std::size_t i = 0; i < list->items.size(); ++i) {
    const text::Node& node = list->items[i];
    const std::string id = name_of(node, problems).value_or(fmt::format("{}-{}", id_of(file), i));
    if (find_any(node, {"qps_sweeps"}) == nullptr) {
      left_out.push_back(id);
      continue;
    }
    RecordedRun& run = runs.emplace_back();
    run.file = document->file;
    run.id = plain_id(id);
    ExperimentReader(node, run, problems).read();
  }
  if (runs.empty()) problems.error(list->place, "no experiment has 'qps_sweeps'", "there is nothing to import");
  for (const std::string& id : left_out) {
    if (!runs.empty()) runs.front().assumptions.push_back(fmt::format("'{}' of the same file is left out: it has no qps_sweeps", id));
  }
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  return runs;
}

}  // namespace rooftune::importers
