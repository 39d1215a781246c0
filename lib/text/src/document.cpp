#include "rooftune/text/document.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <system_error>
#include <utility>

#include "document_syntax.hpp"
#include "foreign_file.hpp"
#include "rooftune/text/python_json.hpp"

namespace rooftune::text {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == std::string_view::npos; }

/// What no text in any syntax may be.
std::optional<core::Diagnostic> refused_text(std::string_view text, const std::string& file) {
  if (is_blank(text))
    return core::Diagnostic{
        .position = {.file = file}, .problem = "the file is empty", .remedy = "write it again or name another one"};
  if (!text.starts_with(kByteOrderMark)) return std::nullopt;
  return core::Diagnostic{
      .position = {file, 1, 1}, .problem = "the file starts with a byte order mark", .remedy = "save it as UTF-8 without one"};
}

}  // namespace

Node Node::at(Place place, Kind kind, std::string text, bool quoted) {
  Node node;
  node.place = place;
  node.kind = kind;
  node.text = std::move(text);
  node.quoted = quoted;
  return node;
}

const Node* Node::find(std::string_view key) const {
  const auto found = std::ranges::find(members, key, &Member::key);
  return found == members.end() ? nullptr : &found->value;
}

core::Result<std::string> read_text(const std::filesystem::path& path) {
  std::error_code ignored;
  const auto status = std::filesystem::status(path, ignored);
  if (!std::filesystem::exists(status)) {
    return core::fail({.file = path.string()}, "no such file", "check the path");
  }
  if (std::filesystem::is_directory(status)) {
    return core::fail({.file = path.string()}, "this is a folder, not a file", "name a file in it");
  }
  errno = 0;
  std::ifstream stream(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  if (!stream.is_open() || stream.bad()) {
    return core::fail({.file = path.string()}, fmt::format("cannot be read: {}", std::strerror(errno)), "check its permissions");
  }
  if (is_blank(text)) return core::fail({.file = path.string()}, "the file is empty", "write it again or name another one");
  if (auto foreign = foreign_file(text, path.string())) return tl::unexpected(core::Diagnostics{*std::move(foreign)});
  return text;
}

core::Result<Document> parse_document(std::string_view text, std::string file, Syntax syntax) {
  if (auto refused = refused_text(text, file)) return tl::unexpected(core::Diagnostics{*std::move(refused)});
  return syntax == Syntax::json ? parse_json(text, std::move(file)) : parse_yaml(text, std::move(file));
}

core::Result<Document> parse_python_json(std::string_view text, std::string file) {
  if (auto refused = refused_text(text, file)) return tl::unexpected(core::Diagnostics{*std::move(refused)});
  return parse_json_of_python(text, std::move(file));
}

core::Result<Document> read_document(const std::filesystem::path& path) {
  const auto text = read_text(path);
  if (!text) return tl::unexpected(text.error());
  return parse_document(*text, path.string(), path.extension() == ".json" ? Syntax::json : Syntax::yaml);
}

}  // namespace rooftune::text
