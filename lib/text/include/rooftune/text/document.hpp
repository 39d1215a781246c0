#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/core/diagnostics.hpp"

namespace rooftune::text {

/// Where something stands in its file. Lines and columns (in bytes) count from 1.
struct Place {
  int line = 1;
  int column = 1;

  friend auto operator<=>(const Place&, const Place&) = default;
};

struct Member;

/// A value of a YAML or JSON file with the place where it was written. Scalars keep their spelling; what it means (a number,
/// a text ...) is decided by the reader that asks (object_reader.hpp), so that nothing is converted behind its back.
struct Node {
  enum class Kind { null, scalar, list, object };

  Kind kind = Kind::null;
  Place place;
  std::string text{};           ///< scalar: unescaped
  bool quoted = false;          ///< scalar: quotes make it text whatever it spells
  bool is_top = false;          ///< the whole of a file, or an item of the list that is
  std::vector<Node> items{};    ///< list
  std::vector<Member> members;  ///< object: in the order of the file

  /// A value that holds no others yet.
  [[nodiscard]] static Node at(Place place, Kind kind = Kind::null, std::string text = {}, bool quoted = false);

  /// The value under `key` of an object, or null.
  [[nodiscard]] const Node* find(std::string_view key) const;
};

/// One key of an object with its value.
struct Member {
  std::string key{};
  Place place;  ///< of the key
  Node value{};
};

enum class Syntax { json, yaml };

/// A file as a tree.
struct Document {
  std::string file;  ///< as the user named it
  Node root;

  [[nodiscard]] core::SourcePosition at(Place place) const { return {file, place.line, place.column}; }
};

/// The whole file. Fails when it is missing, a folder, a device, unreadable, empty or larger than limits::kFileBytes. A pipe is read
/// to its end, unless it stays silent for limits::kPipeSilence_s.
[[nodiscard]] core::Result<std::string> read_text(const std::filesystem::path& path);

/// The same for files of any content, which may be empty and hold at most `most_bytes`.
[[nodiscard]] core::Result<std::string> read_bytes(const std::filesystem::path& path, std::size_t most_bytes);

/// Parses `text`; `file` is the name used in diagnostics. Strict: besides syntax errors it refuses duplicate keys, a byte order
/// mark, an empty document, several documents in one file, YAML tags, anchors and aliases, and nesting deeper than 100.
[[nodiscard]] core::Result<Document> parse_document(std::string_view text, std::string file, Syntax syntax);

/// Reads and parses a file: `.json` as JSON, everything else as YAML.
[[nodiscard]] core::Result<Document> read_document(const std::filesystem::path& path);

}  // namespace rooftune::text
