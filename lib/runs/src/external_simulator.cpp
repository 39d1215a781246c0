#include "rooftune/runs/external_simulator.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <utility>

#include "rooftune/core/digest.hpp"
#include "rooftune/core/hash.hpp"
#include "rooftune/domain/metrics.hpp"
#include "rooftune/domain/model.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/text/document.hpp"
#include "rooftune/text/process.hpp"

namespace rooftune::runs {
namespace {

namespace fs = std::filesystem;
using calibrate::ExternalSpec;
using calibrate::MetricSource;

/// A folder for one run, removed with it.
class WorkingDirectory {
 public:
  WorkingDirectory() {
    std::string pattern = (fs::temp_directory_path() / "rooftune-simulation-XXXXXX").string();
    if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  WorkingDirectory(const WorkingDirectory&) = delete;
  WorkingDirectory& operator=(const WorkingDirectory&) = delete;
  ~WorkingDirectory() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::string yes_no(bool value) { return value ? "true" : "false"; }

/// What the placeholders stand for in one stage of an experiment.
std::map<std::string, std::string> placeholder_values(const ExternalSpec& spec, const eval::Case& item, std::size_t stage,
                                                      std::uint64_t seed, const params::Config& config) {
  const domain::Deployment& deployment = item.experiment.deployment;
  const domain::EngineSettings& settings = deployment.settings;
  const domain::Workload& workload = item.experiment.workload;
  const auto number = [](auto value) { return fmt::format("{}", value); };
  std::map<std::string, std::string> values{
      {"folder", fs::absolute(spec.folder).lexically_normal().string()},
      {"experiment", item.experiment.id},
      {"stage", number(stage)},
      {"seed", number(seed)},
      {"model", deployment.model},
      {"model_name", std::string(domain::short_model_name(deployment.model))},
      {"hardware", deployment.hardware},
      {"tp", number(deployment.tp)},
      {"dp", number(deployment.dp)},
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

/// The end of what a program said, on one line.
std::string last_words(const std::string& text) {
  constexpr std::size_t kMost = 300;
  std::string words = text.size() > kMost ? "..." + text.substr(text.size() - kMost) : text;
  while (!words.empty() && std::isspace(static_cast<unsigned char>(words.back())) != 0) words.pop_back();
  std::ranges::replace(words, '\n', ' ');
  return words.empty() ? "it said nothing" : "it said: " + words;
}

std::optional<std::string> why_it_failed(const text::ProcessEnd& end, const ExternalSpec& spec) {
  if (end.cancelled) return "stopped";
  if (end.timed_out) return fmt::format("no end within timeout_s: {} s; {}", spec.timeout_s, last_words(end.errors));
  if (!end.started) return fmt::format("'{}' cannot be started", spec.command.front());
  if (end.signal != 0) return fmt::format("ended by signal {}; {}", end.signal, last_words(end.errors));
  if (end.exit_code != 0) return fmt::format("ended with exit code {}; {}", end.exit_code, last_words(end.errors));
  return std::nullopt;
}

tl::expected<double, std::string> number_at(const nlohmann::json& json, const std::string& pointer) {
  const nlohmann::json::json_pointer place(pointer);
  if (!json.contains(place)) return tl::unexpected(fmt::format("the output has nothing at '{}'", pointer));
  const nlohmann::json& found = json.at(place);
  if (!found.is_number()) return tl::unexpected(fmt::format("the output has no number at '{}' but {}", pointer, found.dump()));
  return found.get<double>();
}

tl::expected<double, std::string> number_matching(const std::string& output, const std::string& pattern) {
  std::smatch match;
  if (!std::regex_search(output, match, std::regex(pattern)) || match.size() < 2) {
    return tl::unexpected(fmt::format("nothing in the output matches '{}'", pattern));
  }
  const std::string text = match[1].str();
  double value = 0.0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc{} || end != text.data() + text.size()) {
    return tl::unexpected(fmt::format("'{}', which matches '{}', is no number", text, pattern));
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
    for (const fs::path& file : program_files(spec_)) {
      const auto text = text::read_text(file);
      digest.add(text ? core::sha256_hex(*text) : std::string());
    }
    identity_ = digest.hex();
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
    if (auto reason = why_it_failed(end, spec_)) return tl::unexpected(*std::move(reason));
    if (!spec_.output) return read_metrics(end.output);
    const auto output = text::read_text(directory.path() / *spec_.output);
    if (!output) return tl::unexpected(fmt::format("it wrote no '{}'", *spec_.output));
    return read_metrics(*output);
  }

  [[nodiscard]] StageOutcome read_metrics(const std::string& output) const {
    const bool wants_json = std::ranges::any_of(spec_.metrics, [](const MetricSource& source) { return source.json.has_value(); });
    const nlohmann::json json = wants_json ? nlohmann::json::parse(output, nullptr, false) : nlohmann::json();
    if (json.is_discarded()) return tl::unexpected(fmt::format("its output is no JSON; {}", last_words(output)));
    domain::Latencies latencies;
    for (const MetricSource& source : spec_.metrics) {
      const auto value = source.json ? number_at(json, *source.json) : number_matching(output, *source.regex);
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
  std::string identity_;
};

}  // namespace

std::unique_ptr<const eval::ExternalSimulator> make_external_simulator(const ExternalSpec& spec) {
  return std::make_unique<const ProgramSimulator>(spec);
}

std::vector<fs::path> program_files(const ExternalSpec& spec) {
  std::vector<fs::path> files;
  for (const std::string& argument : spec.command) {
    const std::vector<std::string> names = calibrate::placeholders_in(argument);
    if (!std::ranges::all_of(names, [](const std::string& name) { return name == "folder"; })) continue;
    // As the user gave it, not absolute: manifests name no machine.
    const fs::path file = fs::path(calibrate::fill_in(argument, {{"folder", spec.folder}})).lexically_normal();
    std::error_code ignored;
    if (argument.find('/') != std::string::npos && fs::is_regular_file(file, ignored)) files.push_back(file);
  }
  return files;
}

}  // namespace rooftune::runs
