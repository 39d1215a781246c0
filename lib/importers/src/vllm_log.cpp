#include "vllm_log.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <set>
#include <utility>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/text/document.hpp"
#include "server_arguments.hpp"
#include "settings_text.hpp"
#include "tool_names.hpp"

namespace rooftune::importers {
namespace {

// The lines of vLLM's start, from 0.5 on: "vLLM API server version 0.11.0", "non-default args: {...}", "Initializing a V1 LLM engine
// (v0.11.0) with config: model=..., ...", "Chunked prefill is enabled with max_num_batched_tokens=2048.", "GPU KV cache size: 44,640
// tokens", "Maximum concurrency for 8,192 tokens per request: 5.45x", "# GPU blocks: 2790, # CPU blocks: 4096". A command line
// "vllm serve ..." that was kept with them counts as arguments. While it serves with drafts: "SpecDecoding metrics: ... Accepted: 262
// tokens, Drafted: 295 tokens, Per-position acceptance rate: 0.983, 0.949", of the seconds since the line before (pull request 24127).

constexpr std::int64_t kDefaultBlockTokens = domain::default_block_size("vllm");
/// Relative difference of pools and of two counts of one pool that is worth a word.
constexpr double kSamePool = 0.01;
constexpr double kSameConcurrency = 0.02;

/// Where a setting was said.
enum class Source { arguments, engine, line };

struct Said {
  std::string text{};
  int line = 0;
  Source source = Source::line;
};

/// One start of the server: what its lines say.
struct Start {
  std::map<std::string, std::vector<Said>> settings{};  ///< under vLLM's names, in the log's order
  struct Pool {
    std::int64_t tokens = 0;  ///< or blocks
    int line = 0;
    bool counts_blocks = false;
  };
  std::map<std::string, Pool> pools{};  ///< by rank; the smallest of its workers
  struct Concurrency {
    std::int64_t tokens = 0;  ///< of one request
    double requests = 0.0;
    int line = 0;
  };
  std::map<std::string, Concurrency> concurrencies{};  ///< by rank
  std::optional<LogCount> attention_block{};           ///< of a hybrid model: tokens in a block of attention layers
  /// Tokens that were drafted and accepted between two lines each, together.
  struct Drafts {
    double drafted = 0.0;
    double accepted = 0.0;
    std::vector<double> accepted_shares{};  ///< by position, each line by what it drafted
    bool has_shares = true;                 ///< every line has them, for as many positions
    int line = 0;
  };
  Drafts drafts{};
};

/// The number at the start of `text`; digits may be grouped by commas.
std::optional<double> leading_number(std::string_view text) {
  std::string digits;
  for (const char c : text.substr(std::min(text.find_first_not_of(' '), text.size()))) {
    if ((c < '0' || c > '9') && c != '.' && c != ',') break;
    if (c != ',') digits += c;
  }
  double value = 0.0;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return failure == std::errc() ? std::optional(value) : std::nullopt;
}

std::string_view after(std::string_view line, std::string_view words) {
  const std::size_t at = line.find(words);
  return at == std::string_view::npos ? std::string_view() : line.substr(at + words.size());
}

/// "0.11.0" or "0.15.0rc2" at the start of the text.
std::string version_in(std::string_view text) {
  text = text.substr(std::min(text.find_first_not_of(" v"), text.size()));
  const std::size_t end = std::min(text.find_first_of(" ),;'\"\r"), text.size());
  const std::string_view word = text.substr(0, end);
  return !word.empty() && word.front() >= '0' && word.front() <= '9' && word.find('.') != std::string_view::npos ? std::string(word)
                                                                                                                 : std::string();
}

/// Reads a log line by line.
class LogReader {
 public:
  explicit LogReader(VllmLog& log) : log_(log) {}

  /// Gives what is wrong with the log.
  [[nodiscard]] core::Diagnostics read(std::string_view text) {
    for (std::size_t start = 0; start < text.size();) {
      const std::size_t end = std::min(text.find('\n', start), text.size());
      ++line_;
      read_line(text.substr(start, end - start));
      start = end + 1;
    }
    conclude();
    return std::move(errors_);
  }

 private:
  void read_line(std::string_view line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::string rank = rank_of(line);
    if (const auto version = after(line, "API server version "); !version.empty()) {
      if (!start_.pools.empty()) begin_start();
      say("version", version_in(version), Source::line);
    } else if (const auto banner = after(line, "▀▄▀ █  version "); !banner.empty()) {
      if (!start_.pools.empty()) begin_start();
      say("version", version_in(banner), Source::line);
    }
    if (const auto arguments = after(line, "non-default args: {"); !arguments.empty()) {
      say_all(python_settings(arguments), Source::arguments);
    } else if (const auto command = after(line, "vllm serve "); !command.empty()) {
      if (!command.starts_with('-')) say("model", std::string(command.substr(0, command.find(' '))), Source::arguments);
      say_all(command_line_settings(command), Source::arguments);
    } else if (const auto space = after(line, "Namespace("); !space.empty() && line.find("args:") != std::string_view::npos) {
      say_all(python_settings(space), Source::engine);
    } else if (const auto config = after(line, " with config: "); !config.empty()) {
      if (const auto version = after(line, "LLM engine ("); !version.empty()) {
        if (start_.pools.contains(rank)) begin_start();
        say("version", version_in(version), Source::engine);
      }
      say_all(python_settings(config), Source::engine);
    } else {
      read_plain_line(line, rank);
    }
  }

  void read_plain_line(std::string_view line, const std::string& rank) {
    if (const auto tokens = leading_number(after(line, "GPU KV cache size: "))) add_pool(rank, *tokens, false);
    for (const std::string_view words : {std::string_view("# GPU blocks: "), std::string_view("# cuda blocks: ")}) {
      if (const auto blocks = leading_number(after(line, words))) add_pool(rank, *blocks, true);
    }
    if (const auto rest = after(line, "Maximum concurrency for "); !rest.empty()) {
      const auto tokens = leading_number(rest);
      const auto requests = leading_number(after(rest, "per request: "));
      if (tokens && requests && *tokens > 0.0)
        start_.concurrencies[rank] = {.tokens = static_cast<std::int64_t>(*tokens), .requests = *requests, .line = line_};
    }
    if (const auto length = leading_number(after(line, "Using max model len "))) {
      say("max_model_len", fmt::format("{:.0f}", *length), Source::line);
    }
    if (const auto tokens = leading_number(after(line, "Setting attention block size to "))) {
      start_.attention_block = LogCount{.value = static_cast<int>(std::min(*tokens, 1e6)), .line = line_};
    }
    if (const auto metrics = after(line, "SpecDecoding metrics: "); !metrics.empty()) add_drafts(metrics);
    if (line.find("Chunked prefill is enabled") != std::string_view::npos) say("enable_chunked_prefill", "True", Source::line);
    if (line.find("Asynchronous scheduling is enabled") != std::string_view::npos) say("async_scheduling", "True", Source::line);
    if (line.find("Asynchronous scheduling is disabled") != std::string_view::npos) say("async_scheduling", "False", Source::line);
    for (const std::string_view name : {"max_num_batched_tokens", "max_num_seqs", "tensor_parallel_size", "gpu_memory_utilization"}) {
      if (std::string value = nested_setting(line, name); !value.empty()) {
        value.erase(std::min(value.find_first_not_of("0123456789.,"), value.size()));
        while (value.ends_with('.') || value.ends_with(',')) value.pop_back();
        say(std::string(name), std::move(value), Source::line);
      }
    }
  }

  /// "DP1" of "(EngineCore_DP1 pid=200)"; empty where the line names no rank.
  static std::string rank_of(std::string_view line) {
    const auto core = after(line.substr(0, std::min<std::size_t>(line.size(), 200)), "EngineCore_");
    return std::string(core.substr(0, core.find_first_of(" )")));
  }

  void begin_start() { earlier_.push_back(std::exchange(start_, {})); }

  void say_all(std::vector<SettingText> settings, Source source) {
    for (SettingText& setting : settings) say(std::move(setting.name), std::move(setting.value), source);
  }
  void say(std::string name, std::string value, Source source) {
    if (value.empty() || value == "None") return;
    start_.settings[std::move(name)].push_back({.text = std::move(value), .line = line_, .source = source});
  }

  /// Every worker of a rank prints its own; the smallest is what they all use.
  void add_pool(const std::string& rank, double size, bool counts_blocks) {
    const Start::Pool pool{.tokens = static_cast<std::int64_t>(size), .line = line_, .counts_blocks = counts_blocks};
    const auto [known, is_new] = start_.pools.emplace(rank, pool);
    if (!is_new && pool.tokens < known->second.tokens) known->second = pool;
  }

  void add_drafts(std::string_view metrics) {
    const auto accepted = leading_number(after(metrics, "Accepted: "));
    const auto drafted = leading_number(after(metrics, "Drafted: "));
    if (!accepted || !drafted || *drafted <= 0.0 || *accepted > *drafted) return;
    Start::Drafts& drafts = start_.drafts;
    std::vector<double> shares;
    for (std::string_view rest = after(metrics, "Per-position acceptance rate: "); !rest.empty();) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      const auto share = leading_number(rest.substr(0, comma));
      if (!share) break;  // "Avg Draft acceptance rate" follows in newer releases
      shares.push_back(*share);
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    const bool is_first = drafts.drafted == 0.0;
    if (is_first) drafts.accepted_shares.resize(shares.size());
    drafts.has_shares = drafts.has_shares && !shares.empty() && shares.size() == drafts.accepted_shares.size() &&
                        std::ranges::all_of(shares, [](double share) { return share <= 1.0; });
    if (drafts.has_shares) {
      for (std::size_t i = 0; i < shares.size(); ++i) drafts.accepted_shares[i] += *drafted * shares[i];
    }
    drafts.accepted += *accepted;
    drafts.drafted += *drafted;
    drafts.line = line_;
  }

  /// How many drafts were accepted, to how they were made.
  void read_acceptance() {
    const auto speculative = log_.settings.find("speculative");
    const Start::Drafts& drafts = start_.drafts;
    if (speculative == log_.settings.end() || drafts.drafted == 0.0) return;
    std::string& text = speculative->second.text;
    const std::size_t colon = text.find(':');
    const double tokens = colon == std::string::npos ? 0.0 : leading_number(text.substr(colon + 1)).value_or(0.0);
    if (tokens < 1.0) return;
    const double length = 1.0 + drafts.accepted / drafts.drafted * tokens;
    if (drafts.has_shares && tokens > 1.0 && static_cast<double>(drafts.accepted_shares.size()) == tokens) {
      std::vector<std::string> shares;
      for (const double share : drafts.accepted_shares) shares.push_back(fmt::format("{:.4g}", share / drafts.drafted));
      text += fmt::format(":{}", fmt::join(shares, "/"));
    } else {
      text += fmt::format(":{:.4g}", length);
    }
    log_.assumptions.push_back(fmt::format(
        "speculative decoding is simulated with the acceptance of the whole log: {:.2f} tokens a step, {:.0f} tokens drafted", length,
        drafts.drafted));
    knows_acceptance_ = true;
  }

  void conclude() {
    use_settings();
    read_acceptance();
    read_names();
    if (const auto type = last("dtype"); type && type->text != "auto") {
      const std::size_t dot = type->text.rfind('.');  // torch.bfloat16
      log_.dtype = LogFact{.text = type->text.substr(dot == std::string::npos ? 0 : dot + 1), .line = type->line};
    }
    log_.tp = count("tensor_parallel_size", "tp");
    log_.pp = count("pipeline_parallel_size", "pp");
    log_.dp = count("data_parallel_size", "dp");
    read_pool();
    list_not_simulated();
  }

  /// The last value that is one: a listing says 'auto' where it repeats no argument. In the order of the names: what an argument of
  /// its own says counts more than what compilation_config holds, and enforce_eager
  /// more than either.
  void use_settings() {
    for (const auto& [name, all] : start_.settings) {
      const auto gives = [&name = name](const Said& said) { return !settings_of_argument(name, said.text).empty(); };
      const auto said = std::ranges::find_if(all.rbegin(), all.rend(), gives);
      if (said == all.rend()) continue;
      static_cast<void>(last(name));  // several values are worth a warning
      for (SettingText& setting : settings_of_argument(name, said->text)) {
        log_.settings[setting.name] = {.text = std::move(setting.value), .line = said->line};
      }
    }
  }

  /// The last value of the last start. Values of one source that differ, or of an earlier start, are worth a warning.
  std::optional<Said> last(const std::string& name) {
    const auto found = start_.settings.find(name);
    if (found == start_.settings.end()) return std::nullopt;
    const Said& value = found->second.back();
    const auto differs = [&](const Said& other) {
      return other.source == value.source && other.text != value.text && !means_the_same(name, other.text, value.text);
    };
    bool has_others = std::ranges::any_of(found->second, differs);
    for (const Start& start : earlier_) {
      const auto before = start.settings.find(name);
      has_others = has_others || (before != start.settings.end() && std::ranges::any_of(before->second, differs));
    }
    if (has_others) {
      warn(value.line, fmt::format("the log gives several values for {}", name),
           fmt::format("the last one, {}, is taken; cut the log to one start of the server", value.text));
    }
    return value;
  }

  /// Listings hold more than settings: folders, counters.
  static bool means_the_same(const std::string& name, const std::string& a, const std::string& b) {
    const std::vector<SettingText> settings = settings_of_argument(name, a);
    const std::vector<SettingText> others = settings_of_argument(name, b);
    return !settings.empty() && std::ranges::equal(settings, others, {}, &SettingText::value, &SettingText::value);
  }

  void read_names() {
    if (const auto served = last("served_model_name")) log_.served_model = LogFact{.text = served->text, .line = served->line};
    auto model = last("model");
    if (!model) model = last("model_path");
    if (!model) return;
    std::string name = model_name_of(model->text);
    if (name.empty() && log_.served_model) name = first_of_list(log_.served_model->text);
    if (!name.empty()) log_.model = LogFact{.text = std::move(name), .line = model->line};
  }

  /// "a" of "['a', 'b']"; other texts as they are.
  static std::string first_of_list(const std::string& text) {
    const std::size_t start = std::min(text.find_first_not_of("['\""), text.size());
    return text.substr(start, text.find_first_of("'\",]", start) - start);
  }

  std::optional<LogCount> count(const std::string& name, const std::string& short_name) {
    auto said = last(name);
    if (!said) said = last(short_name);
    if (!said) return std::nullopt;
    LogCount result{.line = said->line};
    const char* const end = said->text.data() + said->text.size();
    const auto [stop, failure] = std::from_chars(said->text.data(), end, result.value);
    if (failure == std::errc() && stop == end && result.value >= 1) return result;
    errors_.push_back({.position = {.file = log_.file, .line = said->line},
                       .problem = fmt::format("{} is '{}'", name, said->text.substr(0, 40)),
                       .remedy = "it must be a whole number of at least 1"});
    return std::nullopt;
  }

  /// The smallest pool of the ranks, in blocks.
  void read_pool() {
    if (start_.pools.empty()) return;
    const auto smaller = [](const auto& a, const auto& b) { return a.second.tokens < b.second.tokens; };
    const auto& [rank, pool] = *std::ranges::min_element(start_.pools, smaller);
    const auto& largest = std::ranges::max_element(start_.pools, smaller)->second;
    if (static_cast<double>(largest.tokens) > static_cast<double>(pool.tokens) * (1.0 + kSamePool)) {
      log_.assumptions.push_back(
          fmt::format("the ranks' KV pools differ ({} to {}): the smallest is simulated for all", pool.tokens, largest.tokens));
    }
    if (start_.pools.size() > 1 && !log_.dp) log_.dp = LogCount{.value = static_cast<int>(start_.pools.size()), .line = pool.line};
    std::int64_t block_tokens = kDefaultBlockTokens;
    if (const auto block = log_.settings.find("block_size"); block != log_.settings.end()) {
      block_tokens = std::max<std::int64_t>(1, static_cast<std::int64_t>(leading_number(block->second.text).value_or(block_tokens)));
    }
    if (!std::has_single_bit(static_cast<std::uint64_t>(block_tokens))) {
      log_.assumptions.push_back(
          fmt::format("blocks of {} tokens (a hybrid model's) are counted as blocks of {}", block_tokens, kDefaultBlockTokens));
      log_.settings["block_size"].text = fmt::format("{}", kDefaultBlockTokens);
      block_tokens = pool.counts_blocks ? block_tokens : kDefaultBlockTokens;
    }
    const std::int64_t blocks = pool.counts_blocks ? pool.tokens : pool.tokens / block_tokens;
    log_.settings["total_kv_blocks"] = {.text = fmt::format("{}", blocks), .line = pool.line};
    if (!pool.counts_blocks) check_concurrency(rank, pool);
  }

  /// Two counts of one pool: tokens, and requests of a given length.
  void check_concurrency(const std::string& rank, const Start::Pool& pool) {
    const auto found = start_.concurrencies.find(rank);
    if (found == start_.concurrencies.end()) return;
    const Start::Concurrency& said = found->second;
    const double fitting = static_cast<double>(pool.tokens) / static_cast<double>(said.tokens);
    if (std::abs(said.requests / fitting - 1.0) <= kSameConcurrency) return;
    warn(said.line,
         fmt::format("the KV pool of {} tokens (line {}) holds {:.2f} requests of {} tokens, but this line says {:g}", pool.tokens,
                     pool.line, fitting, said.tokens, said.requests),
         "layers of several kinds share the pool (sliding window, linear attention): that of the former line is simulated, laid out "
         "in the model's groups of layers");
  }

  void list_not_simulated() {
    std::vector<std::string> others;
    std::set<std::string_view> told;
    for (const auto& [name, all] : start_.settings) {
      const auto is_on = [&name = name](const Said& said) { return !not_simulated(name, said.text).what.empty(); };
      if (const auto on = std::ranges::find_if(all.rbegin(), all.rend(), is_on); on != all.rend()) {
        const NotSimulated found = not_simulated(name, on->text);
        if (knows_acceptance_ && found.what == "speculative decoding") continue;
        if (!told.insert(found.what).second) continue;
        warn(on->line, fmt::format("the server ran with {} ({})", found.what, found.described),
             fmt::format("not simulated: {}", found.assumed));
      } else if (all.back().source == Source::arguments && !is_known_argument(name)) {
        others.push_back(fmt::format("{}={}", name, shortened(all.back().text)));
      }
    }
    if (start_.attention_block) {
      log_.assumptions.push_back(
          fmt::format("attention blocks of {} tokens (a hybrid model's) are not simulated", start_.attention_block->value));
    }
    if (!others.empty())
      log_.assumptions.push_back(fmt::format("settings of the log that are not simulated: {}", fmt::join(others, ", ")));
  }

  static std::string shortened(const std::string& text) {
    constexpr std::size_t kShown = 60;
    return text.size() <= kShown ? text : text.substr(0, kShown) + "...";
  }

  void warn(int line, std::string problem, std::string remedy) {
    log_.warnings.push_back({.position = {.file = log_.file, .line = line},
                             .problem = std::move(problem),
                             .remedy = std::move(remedy),
                             .severity = core::Severity::warning});
  }

  VllmLog& log_;
  Start start_;
  std::vector<Start> earlier_;
  int line_ = 0;
  bool knows_acceptance_ = false;
  core::Diagnostics errors_;
};

}  // namespace

core::Result<VllmLog> read_vllm_log(const std::filesystem::path& file) {
  const auto text = text::read_text(file);
  if (!text) return tl::unexpected(text.error());
  VllmLog log;
  log.file = file.string();
  if (core::Diagnostics errors = LogReader(log).read(*text); !errors.empty()) return tl::unexpected(std::move(errors));
  if (!log.settings.contains("total_kv_blocks")) {
    return core::fail({.file = file.string()}, "no line 'GPU KV cache size: ... tokens' or '# GPU blocks: ...'",
                      "name a log of a vLLM server that holds its start");
  }
  return log;
}

}  // namespace rooftune::importers
