#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "rooftune/core/letters.hpp"
#include "serving_result.hpp"
#include "settings_text.hpp"

namespace rooftune::importers {
namespace {

// What `vllm bench serve` (and SGLang's bench_serving) prints: the arguments (a Namespace(...) or the command itself), "Traffic
// request rate: 4.0" and its kin, then a block of "name:   value" lines under "Serving Benchmark Result". Every line becomes the field
// of the JSON result that says the same, so that there is one reader of results.

constexpr std::string_view kTitle = " Serving Benchmark Result ";

/// Names on the console and in the JSON result.
constexpr std::array<std::pair<std::string_view, std::string_view>, 15> kFields{
    {{"Successful requests", "completed"},
     {"Failed requests", "failed"},
     {"Maximum request concurrency", "max_concurrency"},
     {"Max request concurrency", "max_concurrency"},
     {"Request rate configured (RPS)", "request_rate"},
     {"Traffic request rate", "request_rate"},
     {"Traffic ramp-up strategy", "ramp_up_strategy"},
     {"Burstiness factor", "burstiness"},
     {"Benchmark duration (s)", "duration"},
     {"Total input tokens", "total_input_tokens"},
     {"Total generated tokens", "total_output_tokens"},
     {"Total generated tokens (retokenized)", "total_output_tokens_retokenized"},
     {"Backend", "backend"},
     {"Accept length", "accept_length"},
     {"Acceptance length", "spec_decode_acceptance_length"}}};
/// Arguments that the result's JSON repeats.
constexpr std::array<std::pair<std::string_view, std::string_view>, 18> kArguments{
    {{"model", "model_id"},
     {"dataset_name", "dataset_name"},
     {"num_warmups", "num_warmups"},
     {"warmup_requests", "warmup_requests"},
     {"random_prefix_len", "random_prefix_len"},
     {"prefix_repetition_prefix_len", "prefix_repetition_prefix_len"},
     {"prefix_repetition_num_prefixes", "prefix_repetition_num_prefixes"},
     {"gsp_system_prompt_len", "gsp_system_prompt_len"},
     {"gsp_num_groups", "gsp_num_groups"},
     {"num_prompt", "num_prompts"},
     {"speculative_algorithm", "speculative_algorithm"},
     {"num_prompts", "num_prompts"},
     {"request_rate", "request_rate"},
     {"max_concurrency", "max_concurrency"},
     {"burstiness", "burstiness"},
     {"ramp_up_strategy", "ramp_up_strategy"},
     {"ramp_up_start_rps", "ramp_up_start_rps"},
     {"ramp_up_end_rps", "ramp_up_end_rps"}}};

/// "mean_ttft_ms" of "Mean TTFT (ms)", "p99.9_e2el_ms" of "P99.9 E2EL (ms)"; empty for other names.
std::string latency_field(std::string_view label) {
  constexpr std::string_view kUnit = " (ms)";
  const std::size_t space = label.find(' ');
  if (!label.ends_with(kUnit) || space == std::string_view::npos || space + kUnit.size() > label.size()) return {};
  const std::string statistic = core::lower(label.substr(0, space));
  const std::string_view name = label.substr(space + 1, label.size() - kUnit.size() - space - 1);
  for (const auto& [shown, field] : {std::pair{"TTFT", "ttft"}, std::pair{"TPOT", "tpot"}, std::pair{"ITL", "itl"},
                                     std::pair{"E2EL", "e2el"}, std::pair{"E2E Latency", "e2e_latency"}}) {
    if (name == shown) return fmt::format("{}_{}_ms", statistic, field);
  }
  return {};
}

bool is_plain_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789.eE+-") == std::string_view::npos;
}

/// Sets a field of the result; a later line counts more than an earlier one.
void set(text::Node& result, std::string_view field, std::string_view value, text::Place place) {
  if (value.empty() || value == "None" || value == "not set" || value == "N/A") return;
  text::Node node = text::Node::at(place, text::Node::Kind::scalar, std::string(value), !is_plain_number(value));
  const auto known = std::ranges::find(result.members, field, &text::Member::key);
  if (known != result.members.end()) {
    known->value = std::move(node);
  } else {
    result.members.push_back({.key = std::string(field), .place = place, .value = std::move(node)});
  }
}

/// Reads the text line by line; a block gives a result when it ends.
class ConsoleReader {
 public:
  std::vector<text::Node> read(std::string_view text) {
    for (std::size_t start = 0; start < text.size();) {
      const std::size_t end = std::min(text.find('\n', start), text.size());
      ++line_;
      read_line(text.substr(start, end - start));
      start = end + 1;
    }
    end_block();
    return std::move(results_);
  }

 private:
  void read_line(std::string_view line) {
    if (line.find(kTitle) != std::string_view::npos) {
      end_block();
      in_block_ = true;
      result_.place = {line_, 1};
      return;
    }
    if (in_block_ && trimmed(line).starts_with("======")) return end_block();
    if (const std::size_t arguments = line.find("Namespace("); arguments != std::string_view::npos && !in_block_) {
      return set_arguments(python_settings(line.substr(arguments + std::string_view("Namespace(").size())));
    }
    for (const std::string_view command :
         {std::string_view("bench serve "), std::string_view("bench_serving "), std::string_view("benchmark_serving.py ")}) {
      if (const std::size_t at = line.find(command); at != std::string_view::npos && !in_block_) {
        set_arguments(command_line_settings(line.substr(at + command.size())));
      }
    }
    const std::size_t colon = line.rfind(": ");
    if (colon == std::string_view::npos) return;
    const std::string_view label = trimmed(line.substr(0, colon));
    std::string_view value = trimmed(line.substr(colon + 1));
    value = trimmed(value.substr(0, value.find(" (")));  // "1.0 (Poisson process)"
    const text::Place place{line_, 1};
    const auto field = std::ranges::find(kFields, label, &std::pair<std::string_view, std::string_view>::first);
    if (field != kFields.end()) {
      if (field->second == "ramp_up_strategy") value = value.substr(0, value.find('.'));
      set(result_, field->second, value, place);
    } else if (const std::string latency = latency_field(label); in_block_ && !latency.empty()) {
      set(result_, latency, value, place);
    }
  }

  void set_arguments(const std::vector<SettingText>& settings) {
    for (const SettingText& setting : settings) {
      const auto field = std::ranges::find(kArguments, setting.name, &std::pair<std::string_view, std::string_view>::first);
      if (field != kArguments.end()) set(result_, field->second, setting.value, {line_, 1});
    }
  }

  void end_block() {
    if (in_block_) results_.push_back(result_);
    if (in_block_) result_ = text::Node::at({line_, 1}, text::Node::Kind::object);
    in_block_ = false;
  }

  text::Node result_ = text::Node::at({}, text::Node::Kind::object);
  std::vector<text::Node> results_;
  int line_ = 0;
  bool in_block_ = false;
};

}  // namespace

core::Result<std::vector<RecordedRun>> read_vllm_console(const std::filesystem::path& file) {
  const auto content = text::read_text(file);
  if (!content) return tl::unexpected(content.error());
  const std::vector<text::Node> results = ConsoleReader().read(*content);
  if (results.empty()) {
    return core::fail({.file = file.string()}, "no block 'Serving Benchmark Result'", "name what vllm bench serve printed");
  }
  text::Problems problems(file.string());
  std::vector<RecordedRun> runs;
  for (const text::Node& result : results) {
    if (result.find("request_rate") == nullptr && result.find("max_concurrency") == nullptr &&
        result.find("ramp_up_strategy") == nullptr) {
      problems.error(result.place, "the text does not say at which rate or with how many clients requests were sent",
                     "keep what was printed above the block ('Traffic request rate: ...') or the command in the file");
      continue;
    }
    RecordedRun& run = runs.emplace_back();
    run.file = file.string();
    run.id = results.size() == 1 ? id_of(file) : fmt::format("{}-{}", id_of(file), runs.size());
    read_serving_result(result, run, problems);
  }
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  return runs;
}

}  // namespace rooftune::importers
