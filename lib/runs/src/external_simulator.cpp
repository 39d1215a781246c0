#include "rooftune/runs/external_simulator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "program_run.hpp"
#include "rooftune/core/digest.hpp"
#include "rooftune/core/hash.hpp"
#include "rooftune/core/limits.hpp"
#include "rooftune/core/printable.hpp"
#include "rooftune/domain/metrics.hpp"
#include "rooftune/domain/model.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/text/document.hpp"
#include "rooftune/text/files.hpp"
#include "rooftune/text/pattern.hpp"
#include "rooftune/text/process.hpp"

namespace rooftune::runs {
namespace {

namespace fs = std::filesystem;
using calibrate::ExternalSpec;
using calibrate::MetricSource;

std::string yes_no(bool value) { return value ? "true" : "false"; }

/// What the placeholders stand for in one stage of an experiment.
std::map<std::string, std::string> placeholder_values(const ExternalSpec& spec, const eval::Case& item, std::size_t stage,
                                                      std::uint64_t seed, const params::Config& config) {
  const domain::Deployment& deployment = item.experiment.deployment;
  const domain::EngineSettings& settings = deployment.settings;
  const domain::Workload& workload = item.experiment.workload;
  const auto number = [](auto value) { return fmt::format("{}", value); };
  std::map<std::string, std::string> values{
      {"folder", text::absolute(spec.folder).string()},
      {"experiment", item.experiment.id},
      {"stage", number(stage)},
      {"seed", number(seed)},
      {"model", deployment.model},
      {"model_name", std::string(domain::short_model_name(deployment.model))},
      {"hardware", deployment.hardware},
      {"tp", number(deployment.tp)},
      {"dp", number(domain::schedulers(deployment))},
      {"precision", deployment.precision},
      {"max_model_len", number(settings.max_model_len)},
      {"max_num_batched_tokens", number(settings.max_num_batched_tokens)},
      {"max_num_seqs", number(settings.max_num_seqs)},
      {"gpu_mem_util", number(settings.gpu_mem_util)},
      {"total_kv_blocks", number(settings.total_kv_blocks.value_or(0))},
      {"block_size", number(settings.block_size)},
      {"prefix_caching", yes_no(settings.enable_prefix_caching)},
      {"chunked_prefill", yes_no(settings.enable_chunked_prefill)},
      {"workload", workload.name},
      {"rate", number(workload.stages[stage].rate.value)},
      {"duration_s", number(workload.stages[stage].duration.value)},
      {"num_requests", number(workload.stages[stage].num_requests)},
      {"prompt_tokens", number(workload.prompt.mean_tokens)},
      {"system_prompt_tokens", number(workload.system_prompt_tokens)},
      {"output_tokens", number(workload.output.mean_tokens)},
      {"concurrency", number(workload.arrival.concurrency)},
  };
  const params::Resolved<double> resolved = params::resolve(config, deployment, item.gpu);
  nlohmann::ordered_json all = nlohmann::ordered_json::object();
  for (const params::DeclaredParameter& parameter : spec.parameters) {
    const double value = resolved[fmt::format("{}.{}", params::kExternalGroup, parameter.name)];
    values["parameter:" + parameter.name] = number(value);
    all[parameter.name] = value;
  }
  values["parameters_json"] = all.dump();
  return values;
}

tl::expected<double, std::string> number_at(const nlohmann::json& json, const std::string& pointer) {
  const nlohmann::json* found = nullptr;
  try {
    const nlohmann::json::json_pointer place(pointer);
    if (json.contains(place)) found = &json.at(place);
  } catch (const nlohmann::json::exception&) {
    // "/a/01" names nothing in a list.
  }
  if (found == nullptr) return tl::unexpected(fmt::format("the output has nothing at '{}'", pointer));
  if (found->is_structured()) {
    return tl::unexpected(fmt::format("the output has no number at '{}' but {}", pointer, found->is_array() ? "a list" : "an object"));
  }
  if (!found->is_number()) {
    return tl::unexpected(fmt::format("the output has no number at '{}' but {}", pointer, core::shown(found->dump())));
  }
  return found->get<double>();
}

tl::expected<double, std::string> number_matching(const std::string& output, const text::Pattern& pattern,
                                                  const std::string& spelling) {
  const auto groups = pattern.search(output);
  if (!groups || groups->empty()) return tl::unexpected(fmt::format("nothing in the output matches '{}'", spelling));
  const std::string_view text = groups->front();
  double value = 0.0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc{} || end != text.data() + text.size() || text.size() > core::limits::kNumberCharacters) {
    return tl::unexpected(fmt::format("'{}', which matches '{}', is no number", core::shown(text), spelling));
  }
  return value;
}

/// A mean over stages by their requests; percentiles have none.
domain::Latencies summary_of(const std::vector<domain::Latencies>& stages, const domain::Workload& workload) {
  if (stages.size() == 1) return stages.front();
  domain::Latencies summary;
  for (const domain::Metric metric : domain::kMeanMetrics) {
    double sum = 0.0;
    double requests = 0.0;
    for (std::size_t stage = 0; stage < stages.size(); ++stage) {
      if (!stages[stage][metric]) continue;
      const double weight = std::max(1, workload.stages[stage].num_requests);
      sum += weight * *stages[stage][metric];
      requests += weight;
    }
    if (requests > 0.0) summary[metric] = sum / requests;
  }
  return summary;
}

class ProgramSimulator final : public eval::ExternalSimulator {
 public:
  explicit ProgramSimulator(ExternalSpec spec) : spec_(std::move(spec)) {
    core::Digest digest;
    digest.add(spec_.command, spec_.files, spec_.output, spec_.environment, spec_.version);
    for (const MetricSource& source : spec_.metrics) digest.add(source.metric, source.json, source.regex, source.scale);
    for (const params::DeclaredParameter& parameter : spec_.parameters) digest.add(parameter.name, parameter.unit);
    for (const fs::path& file : program_files(spec_.command, spec_.folder)) {
      const auto text = text::read_bytes(file, core::limits::kFileBytes);
      digest.add(text ? core::sha256_hex(*text) : std::string());
    }
    identity_ = digest.hex();
    for (const MetricSource& source : spec_.metrics) {
      patterns_.push_back(source.regex ? text::Pattern::compile(*source.regex) : tl::unexpected(std::string()));
    }
    remove_abandoned_work();
  }

  [[nodiscard]] std::string identity() const override { return identity_; }

  [[nodiscard]] eval::ExternalOutcome predict(const eval::Case& item, std::uint64_t seed, const params::Config& config,
                                              const std::stop_token& cancel) const override {
    const domain::Workload& workload = item.experiment.workload;
    std::vector<domain::Latencies> stages;
    for (std::size_t stage = 0; stage < workload.stages.size(); ++stage) {
      auto latencies = run_stage(placeholder_values(spec_, item, stage, seed, config), cancel);
      if (!latencies) return tl::unexpected(fmt::format("stage {}: {}", stage, latencies.error()));
      stages.push_back(*std::move(latencies));
    }
    stages.insert(stages.begin(), summary_of(stages, workload));
    return stages;
  }

 private:
  using StageOutcome = tl::expected<domain::Latencies, std::string>;

  [[nodiscard]] StageOutcome run_stage(const std::map<std::string, std::string>& values, const std::stop_token& cancel) const {
    const WorkingDirectory directory;
    if (directory.path().empty())
      return tl::unexpected(std::string("no working directory can be made in the folder for temporary files"));
    text::Process process{.command = {}, .working_directory = directory.path(), .environment = {}, .timeout = {}};
    process.timeout = std::chrono::duration<double>(spec_.timeout_s);
    for (const std::string& argument : spec_.command) process.command.push_back(calibrate::fill_in(argument, values));
    if (const char* path = std::getenv("PATH"); path != nullptr) process.environment["PATH"] = path;
    for (const auto& [name, value] : spec_.environment) process.environment[name] = calibrate::fill_in(value, values);
    for (const auto& [name, content] : spec_.files) {
      std::ofstream file(directory.path() / name, std::ios::binary);
      if (!(file << calibrate::fill_in(content, values)).flush()) return tl::unexpected(fmt::format("'{}' cannot be written", name));
    }
    const text::ProcessEnd end = text::run_process(process, cancel);
    if (auto reason = why_it_failed(end, spec_.command, spec_.timeout_s)) return tl::unexpected(*std::move(reason));
    if (!spec_.output) return read_metrics(end.output);
    if (!text::is_file(directory.path() / *spec_.output)) return tl::unexpected(fmt::format("it wrote no '{}'", *spec_.output));
    const auto output = text::read_bytes(directory.path() / *spec_.output, core::limits::kProgramOutputBytes);
    if (!output) return tl::unexpected(fmt::format("its '{}' is of no use: {}", *spec_.output, output.error().front().problem));
    return read_metrics(*output);
  }

  [[nodiscard]] StageOutcome read_metrics(const std::string& output) const {
    const bool wants_json = std::ranges::any_of(spec_.metrics, [](const MetricSource& source) { return source.json.has_value(); });
    const nlohmann::json json = wants_json ? nlohmann::json::parse(output, nullptr, false) : nlohmann::json();
    if (json.is_discarded()) return tl::unexpected(fmt::format("its output is no JSON; {}", last_words(output)));
    domain::Latencies latencies;
    for (std::size_t i = 0; i < spec_.metrics.size(); ++i) {
      const MetricSource& source = spec_.metrics[i];
      if (source.regex && !patterns_[i]) return tl::unexpected(patterns_[i].error());
      const auto value = source.json ? number_at(json, *source.json) : number_matching(output, *patterns_[i], *source.regex);
      if (!value) return tl::unexpected(value.error());
      const double milliseconds = source.scale * *value;
      if (!std::isfinite(milliseconds) || milliseconds <= 0.0) {
        return tl::unexpected(fmt::format("{} is {}, not a positive time", domain::metric_name(source.metric), milliseconds));
      }
      latencies[source.metric] = milliseconds;
    }
    return latencies;
  }

  ExternalSpec spec_;
  std::vector<tl::expected<text::Pattern, std::string>> patterns_;  ///< of the metrics that are found by one
  std::string identity_;
};

}  // namespace

std::unique_ptr<const eval::ExternalSimulator> make_external_simulator(const ExternalSpec& spec) {
  return std::make_unique<const ProgramSimulator>(spec);
}

std::vector<fs::path> program_files(const std::vector<std::string>& command, const std::string& folder) {
  std::vector<fs::path> files;
  for (const std::string& argument : command) {
    const std::vector<std::string> names = calibrate::placeholders_in(argument);
    if (!std::ranges::all_of(names, [](const std::string& name) { return name == "folder"; })) continue;
    // As the user gave it, not absolute: manifests name no machine.
    const fs::path file = fs::path(calibrate::fill_in(argument, {{"folder", folder}})).lexically_normal();
    std::error_code ignored;
    if (argument.find('/') != std::string::npos && fs::is_regular_file(file, ignored)) files.push_back(file);
  }
  return files;
}

}  // namespace rooftune::runs
