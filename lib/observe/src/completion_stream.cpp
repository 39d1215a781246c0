#include "completion_stream.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "rooftune/core/limits.hpp"

namespace rooftune::observe {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kShownComplaint = 200;
/// A line that is longer is none of a completion; it is not kept.
constexpr std::size_t kLongestLine = 1 << 20;

std::optional<int> count_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return std::nullopt;
  // Numbers that no request has, and those that no int holds, are as good as none. An unsigned one above all others reads as negative.
  const auto count = found->get<std::int64_t>();
  return count >= 0 && count <= core::limits::kTokens ? std::optional(static_cast<int>(count)) : std::nullopt;
}

}  // namespace

int CompletionStream::feed(std::string_view bytes) {
  int chunks = 0;
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    if (end == std::string_view::npos) {
      if (rest_.size() + bytes.size() <= kLongestLine) rest_ += bytes;
      break;
    }
    if (rest_.empty()) {
      chunks += read_line(bytes.substr(0, end));
    } else {
      rest_ += bytes.substr(0, end);
      chunks += read_line(rest_);
      rest_.clear();
    }
    bytes.remove_prefix(end + 1);
  }
  if (!rest_.empty() && complaint_.empty() && rest_.front() == '{') complaint_ = rest_.substr(0, kShownComplaint);
  return chunks;
}

int CompletionStream::read_line(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  constexpr std::string_view kData = "data:";
  if (line.starts_with(kData)) {
    line.remove_prefix(kData.size());
    return read_event(line.substr(std::min(line.find_first_not_of(' '), line.size())));
  }
  if (!line.empty() && line.front() == '{') complaint_ = std::string(line.substr(0, kShownComplaint));
  return 0;
}

int CompletionStream::read_event(std::string_view data) {
  if (data == "[DONE]") {
    ended_ = true;
    return 0;
  }
  const Json event = Json::parse(data, nullptr, false);
  if (!event.is_object()) return 0;
  if (event.contains("error")) complaint_ = std::string(data.substr(0, kShownComplaint));
  bool has_text = false;
  if (const auto choices = event.find("choices"); choices != event.end() && choices->is_array() && !choices->empty()) {
    const Json& choice = choices->front();
    const auto text = choice.find("text");
    has_text = text != choice.end() && text->is_string() && !text->get_ref<const std::string&>().empty();
  }
  if (const auto usage = event.find("usage"); usage != event.end() && usage->is_object()) {
    if (const auto tokens = count_at(*usage, "prompt_tokens")) prompt_tokens_ = tokens;
    if (const auto tokens = count_at(*usage, "completion_tokens")) completion_tokens_ = tokens;
  }
  return has_text ? 1 : 0;
}

}  // namespace rooftune::observe
