#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <utility>

#include "rooftune/core/printable.hpp"
#include "rooftune/runs/study_file.hpp"
#include "rooftune/text/document.hpp"
#include "rooftune/text/files.hpp"
#include "study_form.hpp"

namespace rooftune::runs {
namespace {

/// What a study takes over from the one that it extends: all but its name and description.
calibrate::StudySpec inherited_from(calibrate::StudySpec base) {
  base.name.clear();
  base.description.clear();
  return base;
}

/// Keys given here replace those of `spec`, which holds the defaults or what an extended study says.
calibrate::StudySpec read_root(const text::Node& root, calibrate::StudySpec spec, text::Problems& problems) {
  study_form().read(root, problems, spec);
  return spec;
}

/// Studies may extend one another in a row of this length; a longer one most likely bites its own tail.
constexpr int kLongestChain = 8;

core::Result<StudyFile> read(const text::Document& document, int chain = 1);

/// The study under the key `extends`, its paths counting from the folder of `document`; an empty one without the key.
core::Result<StudyFile> read_extended(const text::Document& document, int chain) {
  const text::Node* node = document.root.kind == text::Node::Kind::object ? document.root.find("extends") : nullptr;
  if (node == nullptr) return StudyFile{};
  text::Problems problems(document.file);
  std::string name;
  if (!text::convert(*node, "'extends'", name, problems)) return tl::unexpected(problems.take_errors());
  if (chain == kLongestChain) {
    problems.error(node->place, fmt::format("more than {} studies extend one another", kLongestChain),
                   "let none of them extend itself, and flatten long chains");
    return tl::unexpected(problems.take_errors());
  }
  const std::filesystem::path folder = std::filesystem::path(document.file).parent_path();
  const std::filesystem::path path = folder / name;
  if (!text::is_file(path)) {
    problems.error(node->place, fmt::format("there is no study '{}'", core::shown(name)), "paths count from the folder of this study");
    return tl::unexpected(problems.take_errors());
  }
  auto base = text::read_document(path).and_then([&](const text::Document& extended) { return read(extended, chain + 1); });
  if (!base) return base;
  base->spec = inherited_from(with_paths_from(std::move(base->spec), path.parent_path(), folder));
  base->extended.push_back(path);
  return base;
}

core::Result<StudyFile> read(const text::Document& document, int chain) {
  auto result = read_extended(document, chain);
  if (!result) return result;
  text::Problems problems(document.file);
  result->spec = read_root(document.root, std::move(result->spec), problems);
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  std::ranges::move(problems.take_warnings(), std::back_inserter(result->warnings));
  return result;
}

}  // namespace

core::Result<StudyFile> read_study(const std::filesystem::path& path) {
  return text::read_document(path).and_then([](const text::Document& document) { return read(document); });
}

core::Result<StudyFile> parse_study(std::string_view text, const std::string& file) {
  return text::parse_document(text, file, text::Syntax::yaml).and_then([](const text::Document& document) { return read(document); });
}

}  // namespace rooftune::runs
