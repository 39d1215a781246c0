#include "rooftune/text/document.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>

#include "document_syntax.hpp"
#include "foreign_file.hpp"
#include "rooftune/core/descriptor.hpp"
#include "rooftune/core/limits.hpp"
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

tl::unexpected<core::Diagnostics> cannot_be_read(const std::filesystem::path& path, int reason) {
  return core::fail({.file = path.string()}, fmt::format("cannot be read: {}", std::generic_category().message(reason)),
                    "check its permissions");
}

/// What happens at a pipe within `timeout_ms`; 0 when nothing does.
int events_at(int descriptor, int timeout_ms) {
  pollfd watched{.fd = descriptor, .events = POLLIN, .revents = 0};
  while (::poll(&watched, 1, timeout_ms) < 0 && errno == EINTR) {
  }
  return watched.revents;
}

core::Result<void> wait_for_writer(int descriptor, const std::filesystem::path& path) {
  if (events_at(descriptor, static_cast<int>(core::limits::kPipeSilence_s * 1e3)) != 0) return {};
  return core::fail({.file = path.string()}, fmt::format("nothing came from this pipe for {} s", core::limits::kPipeSilence_s),
                    "write the content to a file and name that");
}

/// Every writer has closed the pipe, and all that they wrote was read.
bool has_hung_up(int descriptor) { return (events_at(descriptor, 0) & (POLLIN | POLLHUP)) == POLLHUP; }

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
  auto text = read_bytes(path, core::limits::kFileBytes);
  if (text && is_blank(*text)) return core::fail({.file = path.string()}, "the file is empty", "write it again or name another one");
  if (!text) return text;
  if (auto foreign = foreign_file(*text, path.string())) return tl::unexpected(core::Diagnostics{*std::move(foreign)});
  return text;
}

core::Result<std::string> read_bytes(const std::filesystem::path& path, std::size_t most_bytes) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return core::fail({.file = path.string()}, "no such file", "check the path");
    return cannot_be_read(path, errno);
  }
  if (S_ISDIR(status.st_mode)) return core::fail({.file = path.string()}, "this is a folder, not a file", "name a file in it");
  if (!S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode)) {
    return core::fail({.file = path.string()}, "this is a device or a socket, not a file",
                      "name a file, or give the content through a pipe");
  }
  // Without O_NONBLOCK opening a pipe that nobody writes to waits for ever; on files it has no effect.
  const core::Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.is_open() || ::fstat(file.number(), &status) != 0) return cannot_be_read(path, errno);
  const auto too_large = [&] {
    return core::fail({.file = path.string()}, fmt::format("the file is larger than {} MiB", most_bytes >> 20U), "split it");
  };
  std::string text;
  if (S_ISREG(status.st_mode)) {
    if (static_cast<std::size_t>(status.st_size) > most_bytes) return too_large();
    text.reserve(static_cast<std::size_t>(status.st_size) + 1);
  }
  while (true) {
    constexpr std::size_t kPiece = std::size_t{1} << 18U;
    const std::size_t had = text.size();
    text.resize(std::max(std::min(text.capacity(), had + kPiece), had + 1));
    const ssize_t received = ::read(file.number(), text.data() + had, text.size() - had);
    const int reason = errno;
    text.resize(had + static_cast<std::size_t>(std::max<ssize_t>(received, 0)));
    if (text.size() > most_bytes) return too_large();
    if (received > 0) continue;
    // A pipe that nobody has opened for writing yet looks like one that was closed; poll tells them apart.
    const bool waits = S_ISFIFO(status.st_mode) && (received < 0 ? reason == EAGAIN : text.empty());
    if (received == 0 && !waits) return text;
    if (received < 0 && reason == EINTR) continue;
    if (!waits) return cannot_be_read(path, reason);
    if (const auto speaks = wait_for_writer(file.number(), path); !speaks) return tl::unexpected(speaks.error());
    if (received == 0 && has_hung_up(file.number())) return text;
  }
}

core::Result<Document> parse_document(std::string_view text, std::string file, Syntax syntax) {
  if (auto refused = refused_text(text, file)) return tl::unexpected(core::Diagnostics{*std::move(refused)});
  auto document = syntax == Syntax::json ? parse_json(text, std::move(file)) : parse_yaml(text, std::move(file));
  if (!document) return document;
  document->root.is_top = true;
  for (Node& item : document->root.items) item.is_top = true;
  return document;
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
