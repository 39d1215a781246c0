#include "recorded_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>

#include "rooftune/core/letters.hpp"
#include "rooftune/core/statistics.hpp"
#include "rooftune/text/python_json.hpp"
#include "settings_text.hpp"

namespace rooftune::importers {
namespace {

void shift_lines(text::Node& node, int lines) {
  node.place.line += lines;
  for (text::Node& item : node.items) shift_lines(item, lines);
  for (text::Member& member : node.members) {
    member.place.line += lines;
    shift_lines(member.value, lines);
  }
}

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }

/// True when the first line that is not blank opens an object and closes it: one document a line.
bool has_a_document_a_line(std::string_view text) {
  const std::size_t start = text.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos) return false;
  const std::string_view first = text.substr(start, text.find('\n', start) - start);
  const std::size_t last = first.find_last_not_of(" \t\r");
  return first.front() == '{' && first[last] == '}' && last > 0;
}

/// "'mean'" of "metrics.time_to_first_token_ms.mean", for messages.
std::string last_key(std::string_view path) { return fmt::format("'{}'", path.substr(path.rfind('.') + 1)); }

bool is_not_a_number(const text::Node& node) { return node.kind == text::Node::Kind::scalar && core::same_word(node.text, "nan"); }

}  // namespace

std::string_view without_mark(std::string_view text) {
  constexpr std::string_view kMark = "\xef\xbb\xbf";
  return text.starts_with(kMark) ? text.substr(kMark.size()) : text;
}

core::Result<text::Document> read_json(const std::filesystem::path& file) {
  const auto text = text::read_text(file);
  if (!text) return tl::unexpected(text.error());
  return text::parse_python_json(without_mark(*text), file.string());
}

core::Result<std::vector<text::Document>> read_json_lines(const std::filesystem::path& file) {
  const auto content = text::read_text(file);
  if (!content) return tl::unexpected(content.error());
  const std::string_view text = without_mark(*content);
  std::vector<text::Document> documents;
  if (!has_a_document_a_line(text)) {
    auto document = text::parse_python_json(text, file.string());
    if (!document) return tl::unexpected(document.error());
    documents.push_back(*std::move(document));
    return documents;
  }
  core::Diagnostics errors;
  int line_number = 0;
  for (std::size_t start = 0; start < text.size(); ++line_number) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    const std::string_view line = text.substr(start, end - start);
    start = end + 1;
    if (is_blank(line)) continue;
    auto document = text::parse_python_json(line, file.string());
    if (!document) {
      for (core::Diagnostic& problem : document.error()) {
        problem.position.line += line_number;
        errors.push_back(std::move(problem));
      }
      continue;
    }
    shift_lines(document->root, line_number);
    documents.push_back(*std::move(document));
  }
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  return documents;
}

const text::Node* find_any(const text::Node& node, std::initializer_list<std::string_view> paths) {
  for (std::string_view path : paths) {
    const text::Node* found = &node;
    while (found != nullptr && !path.empty()) {
      const std::size_t dot = std::min(path.find('.'), path.size());
      found = found->find(path.substr(0, dot));
      path.remove_prefix(std::min(dot + 1, path.size()));
    }
    if (found != nullptr && found->kind != text::Node::Kind::null) return found;
  }
  return nullptr;
}

std::optional<double> number_at(const text::Node& node, std::initializer_list<std::string_view> paths, text::Problems& problems,
                                text::Range range) {
  const text::Node* found = find_any(node, paths);
  double value = 0.0;
  if (found == nullptr || is_not_a_number(*found)) return std::nullopt;
  if (!text::convert(*found, last_key(*paths.begin()), value, problems, range)) return std::nullopt;
  return value;
}

std::optional<int> count_at(const text::Node& node, std::initializer_list<std::string_view> paths, text::Problems& problems) {
  const text::Node* found = find_any(node, paths);
  int value = 0;
  if (found == nullptr || is_not_a_number(*found)) return std::nullopt;
  if (!text::convert(*found, last_key(*paths.begin()), value, problems, text::at_least(0))) return std::nullopt;
  return value;
}

std::optional<std::string> text_at(const text::Node& node, std::initializer_list<std::string_view> paths, text::Problems& problems) {
  const text::Node* found = find_any(node, paths);
  std::string value;
  if (found == nullptr || !text::convert(*found, last_key(*paths.begin()), value, problems)) return std::nullopt;
  return value;
}

bool is_infinite(const text::Node& node) {
  if (node.kind != text::Node::Kind::scalar) return false;
  const std::string text = core::lower(node.text);
  return text == "inf" || text == "infinity" || text == ".inf" || text == "+inf";
}

core::Diagnostic warning_at(const std::string& file, text::Place place, std::string problem, std::string remedy) {
  return {.position = {file, place.line, place.column},
          .problem = std::move(problem),
          .remedy = std::move(remedy),
          .severity = core::Severity::warning};
}

double rounded(double value) { return std::round(value * 1e6) / 1e6; }

domain::LengthDistribution length_distribution(std::span<const int> tokens) {
  if (tokens.empty()) return {};
  const std::vector<double> values(tokens.begin(), tokens.end());
  const auto [shortest, longest] = std::ranges::minmax(values);
  return {.mean_tokens = rounded(core::mean(values)),
          .standard_deviation_tokens = rounded(core::standard_deviation(values)),
          .min_tokens = shortest,
          .max_tokens = longest};
}

namespace {

/// The requests of one stage, in their order.
void share_in_turn(const std::vector<PrefixBucket>& buckets, std::vector<RecordedRequest>& requests) {
  std::vector<double> due(buckets.size());
  std::vector<int> used(buckets.size());
  double weights = 0.0;
  for (const PrefixBucket& bucket : buckets) weights += bucket.weight;
  for (RecordedRequest& request : requests) {
    for (std::size_t i = 0; i < buckets.size(); ++i) due[i] += buckets[i].weight / weights;
    const auto chosen = static_cast<std::size_t>(std::ranges::max_element(due) - due.begin());
    due[chosen] -= 1.0;
    std::int64_t group = used[chosen]++ % buckets[chosen].count;
    for (std::size_t i = 0; i < chosen; ++i) group += buckets[i].count;
    request.prefix_group = group;
    request.shared_prefix_tokens = std::min(buckets[chosen].tokens, request.input_tokens);
  }
}

/// A later turn's prompt holds the conversation so far. What reasoning and templates add or take away is little beside it.
bool holds_the_conversation(const RecordedRequest& turn, const RecordedRequest& before) {
  constexpr double kMostOfIt = 0.9;
  return turn.input_tokens >= kMostOfIt * (before.input_tokens + before.output_tokens);
}

}  // namespace

void join_turns(std::vector<std::vector<RecordedTurn>> turns_of_stages, RecordedRun& run) {
  std::vector<std::vector<RecordedRequest*>> conversations;
  for (std::vector<RecordedTurn>& turns : turns_of_stages) {
    std::ranges::stable_sort(turns, {}, [](const RecordedTurn& turn) { return turn.request.start_s; });
    std::map<std::string, std::vector<RecordedRequest*>> of_stage;
    for (RecordedTurn& turn : turns) {
      if (!turn.conversation.empty()) of_stage[turn.conversation].push_back(&turn.request);
    }
    for (auto& [name, of_one] : of_stage) {
      if (of_one.size() > 1) conversations.push_back(std::move(of_one));
    }
  }
  std::size_t later = 0;
  std::size_t whole = 0;
  for (const auto& of_one : conversations) {
    for (std::size_t i = 1; i < of_one.size(); ++i) whole += holds_the_conversation(*of_one[i], *of_one[i - 1]) ? 1 : 0;
    later += of_one.size() - 1;
  }
  const bool are_whole = 2 * whole > later;
  std::int64_t number = 0;
  for (const auto& of_one : conversations) {
    for (std::size_t i = 0; i < of_one.size(); ++i) {
      of_one[i]->conversation = number;
      if (i > 0 && !are_whole) of_one[i]->input_tokens += of_one[i - 1]->input_tokens + of_one[i - 1]->output_tokens;
    }
    ++number;
  }
  if (!conversations.empty()) {
    run.workload.pattern = domain::PromptPattern::conversations;
    run.assumptions.push_back(
        fmt::format("{}: a turn is sent after the reply to the one before, with the time between as it was; prompts {}",
                    counted(conversations.size(), "conversation"),
                    are_whole ? "hold the conversation so far" : "are counted without the conversation so far, which is added"));
  }
  for (std::size_t i = 0; i < turns_of_stages.size(); ++i) {
    run.stages[i].requests.clear();
    for (const RecordedTurn& turn : turns_of_stages[i]) run.stages[i].requests.push_back(turn.request);
  }
}

void share_prefixes(const std::vector<PrefixBucket>& buckets, RecordedRun& run) {
  int ways = 0;
  for (const PrefixBucket& bucket : buckets) ways += bucket.count;
  run.assumptions.push_back(fmt::format("prompts begin in {} ways, taken in turn: which request had which is not in the file", ways));
  for (RecordedStage& stage : run.stages) share_in_turn(buckets, stage.requests);
  share_in_turn(buckets, run.outside);
}

double sending_s(std::span<const RecordedRequest> requests) {
  const auto [first, last] = std::ranges::minmax_element(requests, {}, &RecordedRequest::start_s);
  const double span_s = last->start_s - first->start_s;
  const auto count = static_cast<double>(requests.size());
  return span_s > 0.0 ? span_s * count / (count - 1.0) : first->e2e_ms * 1e-3;
}

RecordedRow row_of(std::span<const RecordedRequest> requests) {
  using domain::Metric;
  RecordedRow row;
  row.latencies.succeeded = static_cast<int>(requests.size());
  if (requests.empty()) return row;
  std::vector<double> ttft_ms;
  std::vector<double> e2e_ms;
  std::vector<double> output_tokens;
  for (const RecordedRequest& request : requests) {
    ttft_ms.push_back(request.ttft_ms);
    e2e_ms.push_back(request.e2e_ms);
    output_tokens.push_back(request.output_tokens);
  }
  const double tokens = core::mean(output_tokens);
  row.latencies[Metric::ttft_mean] = rounded(core::mean(ttft_ms));
  row.latencies[Metric::e2e_mean] = rounded(core::mean(e2e_ms));
  if (tokens > 1.0) row.latencies[Metric::tpot_mean] = rounded((core::mean(e2e_ms) - core::mean(ttft_ms)) / (tokens - 1.0));
  row.latencies[Metric::ttft_p90] = rounded(core::quantile_in_place(ttft_ms, 0.90));
  row.latencies[Metric::ttft_p99] = rounded(core::quantile_in_place(ttft_ms, 0.99));
  row.latencies[Metric::e2e_p90] = rounded(core::quantile_in_place(e2e_ms, 0.90));
  row.latencies[Metric::e2e_p99] = rounded(core::quantile_in_place(e2e_ms, 0.99));
  row.output_tokens = rounded(tokens);
  return row;
}

std::string id_of(const std::filesystem::path& path) {
  std::filesystem::path name = path.lexically_normal();
  if (!name.has_filename()) name = name.parent_path();
  std::error_code ignored;
  return plain_id(std::filesystem::is_directory(path, ignored) ? name.filename().string() : name.stem().string());
}

std::string plain_id(std::string text) {
  std::ranges::replace_if(
      text, [](unsigned char c) { return std::isalnum(c) == 0 && c != '-' && c != '_' && c != '.'; }, '-');
  return text.find_first_not_of('.') == std::string::npos ? "imported" : text;
}

}  // namespace rooftune::importers
