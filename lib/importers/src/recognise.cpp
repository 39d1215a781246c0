#include "rooftune/importers/recognise.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "recorded_run.hpp"
#include "rooftune/text/python_json.hpp"

namespace rooftune::importers {
namespace {

namespace fs = std::filesystem;
using text::Node;

constexpr std::size_t kLookedAtBytes = 1 << 20;

bool has(const fs::path& folder, std::string_view name) {
  std::error_code ignored;
  return fs::exists(folder / name, ignored);
}

std::optional<ImportFormat> format_of_folder(const fs::path& folder) {
  if (has(folder, "summary_lifecycle_metrics.json")) return ImportFormat::inference_perf;
  if (has(folder, "profile_export_aiperf.json") || has(folder, "profile_export_genai_perf.json") ||
      has(folder, "profile_export.jsonl"))
    return ImportFormat::aiperf;
  if (has(folder, "trace_header.yaml") && has(folder, "trace_data.csv")) return ImportFormat::blis_trace;
  return std::nullopt;
}

bool is_list(const Node* node) { return node != nullptr && node->kind == Node::Kind::list && !node->items.empty(); }

/// By the keys that a format alone has.
std::optional<ImportFormat> format_of_object(const Node& root) {
  const auto has_key = [&](std::initializer_list<std::string_view> paths) { return find_any(root, paths) != nullptr; };
  if (root.kind == Node::Kind::list) {
    if (root.items.empty()) return std::nullopt;
    const Node& first = root.items.front();
    if (first.find("qps_sweeps") != nullptr) return ImportFormat::blis;
    if (first.find("hw") != nullptr && first.find("conc") != nullptr) return ImportFormat::inferencex;
    return std::nullopt;
  }
  if (has_key({"resourceSpans", "batches", "trace.resourceSpans", "trace.batches", "result.resourceSpans"})) return ImportFormat::otel;
  if (const Node* data = root.find("data"); is_list(data) && data->items.front().find("spans") != nullptr) return ImportFormat::otel;
  if (is_list(root.find("benchmarks"))) return ImportFormat::guidellm;
  if (has_key({"completed"}) && has_key({"total_input_tokens"})) {
    const bool is_sglang = has_key({"mean_e2e_latency_ms", "server_info", "total_output_tokens_retokenized"});
    return is_sglang ? ImportFormat::sglang : ImportFormat::vllm_bench;
  }
  if (has_key({"request_latency.avg", "time_to_first_token.avg"})) return ImportFormat::aiperf;
  if (has_key({"metadata.request_start_ns"}) && has_key({"metrics"})) return ImportFormat::aiperf;
  if (has_key({"hw"}) && has_key({"conc"})) return ImportFormat::inferencex;
  if (has_key({"scenario"}) && has_key({"metrics.latency", "results.request_performance"})) return ImportFormat::llmd;
  if (const Node* experiments = root.find("experiments"); is_list(experiments)) {
    const bool has_sweeps =
        std::ranges::any_of(experiments->items, [](const Node& item) { return item.find("qps_sweeps") != nullptr; });
    if (has_sweeps) return ImportFormat::blis;
    if (experiments->items.front().find("experiment") != nullptr) return ImportFormat::aiperf;
  }
  if (has_key({"trace_version"})) return ImportFormat::blis_trace;
  return std::nullopt;
}

/// The first document of a file of JSON (or of JSON lines), or the YAML document.
std::optional<text::Document> first_document(std::string_view content, const std::string& file) {
  content = without_mark(content);
  const std::size_t start = content.find_first_not_of(" \t\r\n");
  const char first = start == std::string::npos ? ' ' : content[start];
  if (first != '{' && first != '[') {
    if (!file.ends_with(".yaml") && !file.ends_with(".yml")) return std::nullopt;
    auto document = text::parse_document(content, file, text::Syntax::yaml);
    return document ? std::optional(*std::move(document)) : std::nullopt;
  }
  auto document = text::parse_python_json(content, file);
  if (!document) {
    const std::size_t end = std::min(content.find('\n', start), content.size());
    document = text::parse_python_json(content.substr(start, end - start), file);
  }
  return document ? std::optional(*std::move(document)) : std::nullopt;
}

bool is_server_log(std::string_view content) {
  return content.find("GPU KV cache size: ") != std::string_view::npos || content.find("# GPU blocks: ") != std::string_view::npos ||
         content.find("LLM engine (v") != std::string_view::npos;
}

}  // namespace

core::Result<Recognised> recognise(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    if (const auto format = format_of_folder(path)) return Recognised{.format = format};
    return core::fail({.file = path.string()}, "the folder is no report of a load generator that is known here",
                      "name the files in it, or see docs/commands/import.md for what every format holds");
  }
  const auto content = text::read_text(path);
  if (!content) return tl::unexpected(content.error());
  const std::string_view beginning = std::string_view(*content).substr(0, kLookedAtBytes);
  if (beginning.find("Serving Benchmark Result") != std::string_view::npos &&
      beginning.find("Successful requests") != std::string_view::npos)
    return Recognised{.format = ImportFormat::vllm_console};
  if (const auto document = first_document(*content, path.string())) {
    if (const auto format = format_of_object(document->root)) return Recognised{.format = format};
  } else if (path.extension() == ".csv" && beginning.find("first_chunk_time_us") != std::string_view::npos) {
    return Recognised{.format = ImportFormat::blis_trace};
  } else if (is_server_log(*content)) {
    return Recognised{.format = std::nullopt, .is_server_log = true};
  }
  std::vector<std::string_view> names;
  for (const auto& [name, format] : kImportFormats) names.push_back(name);
  return core::fail({.file = path.string()}, "no format that is known here",
                    fmt::format("known are {}; docs/commands/import.md says what each holds", fmt::join(names, ", ")));
}

}  // namespace rooftune::importers
