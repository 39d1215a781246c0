#include <fmt/format.h>

#include <algorithm>
#include <regex>

#include "recorded_run.hpp"

namespace rooftune::importers {
namespace {

/// What to look for in a log, and under which name its last occurrence counts.
struct LogPattern {
  const char* name;
  const char* pattern;  ///< its first group is the value
};

// The lines come from vLLM's start: "vLLM API server version 0.11.0", "Initializing a V1 LLM engine (v0.11.0) with config: ...",
// "non-default args: {...}", "Chunked prefill is enabled with max_num_batched_tokens=2048.", "GPU KV cache size: 44,640 tokens",
// "# GPU blocks: 2790, # CPU blocks: 4096".
constexpr std::array<LogPattern, 9> kPatterns{
    {{"version", R"((?:API server version|LLM engine \(v)\s*v?([0-9]+\.[0-9]+(?:\.[0-9A-Za-z]+)*))"},
     {"max_model_len", R"((?:max_model_len|max_seq_len)['"]?\s*[=:]\s*([0-9]+))"},
     {"max_num_batched_tokens", R"(max_num_batched_tokens['"]?\s*[=:]\s*([0-9]+))"},
     {"max_num_seqs", R"(max_num_seqs['"]?\s*[=:]\s*([0-9]+))"},
     {"gpu_mem_util", R"(gpu_memory_utilization['"]?\s*[=:]\s*([0-9.]+))"},
     {"block_size", R"(\bblock_size['"]?\s*[=:]\s*([0-9]+))"},
     {"enable_prefix_caching", R"(enable_prefix_caching['"]?\s*[=:]\s*(True|False))"},
     {"enable_chunked_prefill", R"((?:enable_chunked_prefill|chunked_prefill_enabled)['"]?\s*[=:]\s*(True|False))"},
     {"total_kv_blocks", R"(# (?:GPU|cuda) blocks:\s*([0-9,]+))"}}};
constexpr const char* kModelPattern = R"re(\bmodel['"]?\s*[=:]\s*['"]([^'"]+)['"])re";
constexpr const char* kTpPattern = R"(tensor_parallel_size['"]?\s*[=:]\s*([0-9]+))";
constexpr const char* kKvTokensPattern = R"(GPU KV cache size:\s*([0-9,]+) tokens)";
constexpr int kDefaultBlockTokens = 16;

/// Searches a log line by line.
class LogReader {
 public:
  LogReader(const std::string& text, VllmLog& log) : text_(text), log_(log) {}

  void read() {
    for (const LogPattern& entry : kPatterns) {
      if (auto value = last(entry.name, entry.pattern)) log_.settings[entry.name] = *value;
    }
    log_.model = last("model", kModelPattern);
    if (const auto tp = last("tensor_parallel_size", kTpPattern)) log_.tp = std::stoi(*tp);
    if (const auto tokens = last("the KV cache size", kKvTokensPattern)) {
      const auto block = log_.settings.find("block_size");
      const int block_tokens = block == log_.settings.end() ? kDefaultBlockTokens : std::max(1, std::stoi(block->second));
      log_.settings["total_kv_blocks"] = fmt::format("{}", std::stoll(*tokens) / block_tokens);
    }
  }

 private:
  /// The last value; a server that was started again with another one is worth a warning.
  std::optional<std::string> last(const std::string& name, const char* pattern) {
    const std::regex regex(pattern);
    std::optional<std::string> value;
    bool differs = false;
    int line_number = 0;
    int line_of_value = 0;
    for (std::size_t start = 0; start < text_.size();) {
      const std::size_t end = std::min(text_.find('\n', start), text_.size());
      ++line_number;
      std::match_results<std::string::const_iterator> match;
      const auto begin = text_.begin() + static_cast<std::ptrdiff_t>(start);
      if (std::regex_search(begin, text_.begin() + static_cast<std::ptrdiff_t>(end), match, regex)) {
        std::string found = match[1];
        std::erase(found, ',');
        differs = differs || (value && *value != found);
        value = std::move(found);
        line_of_value = line_number;
      }
      start = end + 1;
    }
    if (differs) {
      log_.warnings.push_back({.position = {.file = log_.file, .line = line_of_value},
                               .problem = fmt::format("the log gives several values for {}", name),
                               .remedy = fmt::format("the last one, {}, is taken; cut the log to one start of the server", *value),
                               .severity = core::Severity::warning});
    }
    return value;
  }

  const std::string& text_;
  VllmLog& log_;
};

}  // namespace

core::Result<VllmLog> read_vllm_log(const std::filesystem::path& file) {
  const auto text = text::read_text(file);
  if (!text) return tl::unexpected(text.error());
  VllmLog log;
  log.file = file.string();
  LogReader(*text, log).read();
  if (!log.settings.contains("total_kv_blocks")) {
    return core::fail({.file = file.string()}, "no line 'GPU KV cache size: ... tokens' or '# GPU blocks: ...'",
                      "name a log of a vLLM server that holds its start");
  }
  return log;
}

}  // namespace rooftune::importers
