#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "document_syntax.hpp"
#include "rooftune/core/printable.hpp"

namespace rooftune::text {
namespace {

Place place_of(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const auto line = std::ranges::count(before, '\n');
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 == 0: the first line
  return {static_cast<int>(line) + 1, static_cast<int>(offset - line_start) + 1};
}

/// Asks nlohmann for nothing but the verdict on the syntax.
class SyntaxCheck final : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::size_t error_offset = 0;
  std::string error_message;

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }

  bool parse_error(std::size_t bytes_read, const std::string&, const nlohmann::json::exception& error) override {
    error_offset = bytes_read - std::min<std::size_t>(bytes_read, 1);  // of the last character that was read
    error_message = error.what();
    return false;
  }
};

/// "[json.exception.parse_error.101] parse error at line 1, column 9: syntax error while parsing value - ..." without its
/// first half, which says again where.
std::string without_prefix(const std::string& message) {
  const std::size_t colon = message.find(": ");
  if (colon != std::string::npos) return message.substr(colon + 2);
  const std::size_t bracket = message.find("] ");
  return bracket == std::string::npos ? message : message.substr(bracket + 2);
}

/// "...; last read: '...'" repeats all that was read of a token, which may be the rest of the file.
std::string with_short_token(const std::string& message) {
  constexpr std::string_view kLastRead = "last read: '";
  const std::size_t begin = message.find(kLastRead);
  if (begin == std::string::npos) return message;
  const std::size_t token = begin + kLastRead.size();
  const std::size_t end = std::max(message.rfind('\''), token);
  return message.substr(0, token) + core::shown(std::string_view(message).substr(token, end - token)) + message.substr(end);
}

core::Diagnostic syntax_problem(const SyntaxCheck& check, std::string_view text, std::string file) {
  if (check.error_message.find("unexpected end of input") != std::string::npos ||
      check.error_message.find("missing closing quote") != std::string::npos) {
    const std::size_t end = text.find_last_not_of(" \t\r\n");
    const Place place = place_of(text, end);
    return {.position = {std::move(file), place.line, place.column},
            .problem = "the JSON ends in the middle of a value",
            .remedy = "the file looks truncated: copy or write it again"};
  }
  const Place place = place_of(text, check.error_offset);
  return {.position = {std::move(file), place.line, place.column},
          .problem = "not valid JSON: " + with_short_token(without_prefix(check.error_message)),
          .remedy = "correct it here or just before"};
}

/// Walks text that is known to be valid JSON and notes where every token lies, which nlohmann does not tell.
class Walker {
 public:
  Walker(std::string_view text, std::string file) : text_(text), file_(std::move(file)) {}

  core::Result<Document> document() {
    Document document{.file = file_, .root = value(0)};
    if (!problems_.empty()) return tl::unexpected(std::move(problems_));
    return document;
  }

 private:
  [[nodiscard]] char peek() const { return text_[offset_]; }
  [[nodiscard]] Place here() const { return {line_, static_cast<int>(offset_ - line_start_) + 1}; }

  void skip_space() {
    for (; offset_ < text_.size(); ++offset_) {
      const char c = peek();
      if (c == '\n') {
        ++line_;
        line_start_ = offset_ + 1;
      } else if (c != ' ' && c != '\t' && c != '\r') {
        return;
      }
    }
  }

  void skip(std::size_t characters) {
    offset_ += characters;
    skip_space();
  }

  std::string string() {
    std::size_t end = offset_ + 1;
    while (text_[end] != '"') end += text_[end] == '\\' ? 2 : 1;
    const std::string_view token = text_.substr(offset_, end + 1 - offset_);
    skip(token.size());
    return nlohmann::json::parse(token).get<std::string>();
  }

  Node value(std::size_t depth) {
    skip_space();
    Node node = Node::at(here());
    if (++values_ > core::limits::kValues) {
      if (offset_ < text_.size()) problems_.push_back(too_many_values(file_, node.place));
      offset_ = text_.size();
      return node;
    }
    if (depth == core::limits::kNesting && (peek() == '{' || peek() == '[')) {
      problems_.push_back(nesting_problem(file_, node.place));
      offset_ = text_.size();
      return node;
    }
    switch (peek()) {
      case '{': read_members(node, depth); break;
      case '[': read_items(node, depth); break;
      case '"':
        node.kind = Node::Kind::scalar;
        node.quoted = true;
        node.text = string();
        break;
      default: read_literal(node); break;
    }
    return node;
  }

  void read_members(Node& node, std::size_t depth) {
    node.kind = Node::Kind::object;
    Members members;
    skip(1);
    while (offset_ < text_.size() && peek() != '}') {
      Member member{.place = here()};
      member.key = string();
      skip(1);  // the colon
      member.value = value(depth + 1);
      members.add(node, std::move(member), file_, problems_);
      if (offset_ < text_.size() && peek() == ',') skip(1);
    }
    if (offset_ < text_.size()) skip(1);
  }

  void read_items(Node& node, std::size_t depth) {
    node.kind = Node::Kind::list;
    skip(1);
    while (offset_ < text_.size() && peek() != ']') {
      node.items.push_back(value(depth + 1));
      if (offset_ < text_.size() && peek() == ',') skip(1);
    }
    if (offset_ < text_.size()) skip(1);
  }

  void read_literal(Node& node) {
    const std::size_t end = std::min(text_.find_first_of(" \t\r\n,]}", offset_), text_.size());
    node.text = std::string(text_.substr(offset_, end - offset_));
    skip(node.text.size());
    node.kind = Node::Kind::scalar;
    if (node.text == "null") node = Node::at(node.place);
  }

  std::string_view text_;
  std::string file_;
  std::size_t offset_ = 0;
  std::size_t line_start_ = 0;
  int line_ = 1;
  std::size_t values_ = 0;
  core::Diagnostics problems_;
};

/// The text with a number of the same length for every NaN, Infinity and -Infinity outside quotes: what the syntax check may see.
std::string with_plain_numbers(std::string_view text) {
  std::string plain(text);
  bool in_quotes = false;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    if (plain[i] == '"') in_quotes = !in_quotes;
    if (in_quotes && plain[i] == '\\') ++i;
    if (in_quotes || (plain[i] != 'N' && plain[i] != 'I')) continue;
    for (const std::string_view special : {std::string_view("NaN"), std::string_view("Infinity")}) {
      if (text.substr(i, special.size()) == special) plain.replace(i, special.size(), special.size(), '1');
    }
  }
  return plain;
}

}  // namespace

core::Result<Document> parse_json_of_python(std::string_view text, std::string file) {
  SyntaxCheck check;
  if (!nlohmann::json::sax_parse(with_plain_numbers(text), &check)) {
    return tl::unexpected(core::Diagnostics{syntax_problem(check, text, std::move(file))});
  }
  return Walker(text, std::move(file)).document();
}

core::Result<Document> parse_json(std::string_view text, std::string file) {
  SyntaxCheck check;
  if (!nlohmann::json::sax_parse(text, &check)) return tl::unexpected(core::Diagnostics{syntax_problem(check, text, std::move(file))});
  return Walker(text, std::move(file)).document();
}

}  // namespace rooftune::text
