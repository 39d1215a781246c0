#include "completion_stream.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace rooftune::observe {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kShownComplaint = 200;
/// A line that is longer is none of a completion; it is not kept.
constexpr std::size_t kLongestLine = 1 << 20;

std::optional<int> count_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_integer() ? std::optional(found->get<int>()) : std::nullopt;
}

}  // namespace

CompletionStream::Piece CompletionStream::feed(std::string_view bytes) {
  Piece piece;
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    if (end == std::string_view::npos) {
      if (rest_.size() + bytes.size() <= kLongestLine) rest_ += bytes;
      break;
    }
    if (rest_.empty()) {
      read_line(bytes.substr(0, end), piece);
    } else {
      rest_ += bytes.substr(0, end);
      read_line(rest_, piece);
      rest_.clear();
    }
    bytes.remove_prefix(end + 1);
  }
  if (!rest_.empty() && complaint_.empty() && rest_.front() == '{') complaint_ = rest_.substr(0, kShownComplaint);
  return piece;
}

void CompletionStream::read_line(std::string_view line, Piece& piece) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  constexpr std::string_view kData = "data:";
  if (line.starts_with(kData)) {
    line.remove_prefix(kData.size());
    return read_event(line.substr(std::min(line.find_first_not_of(' '), line.size())), piece);
  }
  if (!line.empty() && line.front() == '{') complaint_ = std::string(line.substr(0, kShownComplaint));
}

void CompletionStream::read_event(std::string_view data, Piece& piece) {
  if (data == "[DONE]") {
    ended_ = piece.ended = true;
    return;
  }
  const Json event = Json::parse(data, nullptr, false);
  if (!event.is_object()) return;
  if (event.contains("error")) complaint_ = std::string(data.substr(0, kShownComplaint));
  if (const auto choices = event.find("choices"); choices != event.end() && choices->is_array() && !choices->empty()) {
    const Json& choice = choices->front();
    const bool has_text =
        choice.is_object() &&
        ((choice.contains("text") && choice["text"].is_string() && !choice["text"].get_ref<const std::string&>().empty()) ||
         choice.contains("delta"));
    if (has_text) ++piece.chunks;
  }
  if (const auto usage = event.find("usage"); usage != event.end() && usage->is_object()) {
    if (const auto tokens = count_at(*usage, "prompt_tokens")) prompt_tokens_ = tokens;
    if (const auto tokens = count_at(*usage, "completion_tokens")) completion_tokens_ = tokens;
  }
}

}  // namespace rooftune::observe
