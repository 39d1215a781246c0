#include "file_kind.hpp"

#include <algorithm>
#include <array>

#include "rooftune/core/word.hpp"
#include "rooftune/text/document.hpp"
#include "rooftune/text/python_json.hpp"

namespace rooftune::app {
namespace {

using text::Node;

constexpr std::array<core::Word<FileKind>, 6> kTitles{{{"a study", FileKind::study},
                                                       {"a config", FileKind::config},
                                                       {"ground truth", FileKind::ground_truth},
                                                       {"a model", FileKind::model},
                                                       {"GPUs", FileKind::gpus},
                                                       {"the manifest of a run", FileKind::manifest}}};

constexpr std::array<core::Word<FileKind>, 4> kSchemas{{{"rooftune/config/", FileKind::config},
                                                        {"rooftune/model/", FileKind::model},
                                                        {"rooftune/gpus/", FileKind::gpus},
                                                        {"rooftune/manifest/", FileKind::manifest}}};

/// Keys that only one kind of file has, for those that name no schema and for those whose schema is missing by mistake.
constexpr std::array<core::Word<FileKind>, 18> kTellingKeys{{
    {"gpus", FileKind::gpus},
    {"step_time_model", FileKind::config},
    {"parameters", FileKind::config},
    {"hidden_size", FileKind::model},
    {"text_config", FileKind::model},
    {"architectures", FileKind::model},
    {"model_type", FileKind::model},
    {"num_hidden_layers", FileKind::model},
    {"kv_heads", FileKind::model},
    {"layers", FileKind::model},
    {"extends", FileKind::study},
    {"free", FileKind::study},
    {"data", FileKind::study},
    {"objective", FileKind::study},
    {"solver", FileKind::study},
    {"start", FileKind::study},
    {"crossval", FileKind::study},
    {"simulator_identity", FileKind::manifest},
}};

/// The family's `{ "H100": {"TFlopsPeak": ...}, ... }`: nothing but objects, one of which has a key of the family.
bool is_hardware_config(const Node& root) {
  constexpr std::array<std::string_view, 4> kFamilyKeys{"TFlopsPeak", "TFlopsEff", "BwPeakTBs", "BwEffTBs"};
  return std::ranges::any_of(root.members, [&](const text::Member& member) {
    return std::ranges::any_of(kFamilyKeys, [&](std::string_view key) { return member.value.find(key) != nullptr; });
  });
}

/// Configs of models may have Python's Infinity and NaN in them; the readers of other kinds refuse these themselves.
core::Result<text::Document> read(const std::filesystem::path& path) {
  auto document = text::read_document(path);
  if (document || path.extension() != ".json") return document;
  const auto content = text::read_text(path);
  if (!content) return document;
  auto of_python = text::parse_python_json(*content, path.string());
  return of_python ? of_python : document;
}

}  // namespace

std::string_view title(FileKind kind) { return core::word_of(kTitles, kind); }

core::Result<FileKind> recognise(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return FileKind::model;
  const auto document = read(path);
  if (!document) return tl::unexpected(document.error());
  const Node& root = document->root;
  if (root.kind == Node::Kind::list) return FileKind::ground_truth;
  if (const Node* schema = root.find("schema"); schema != nullptr) {
    for (const auto& [prefix, kind] : kSchemas) {
      if (schema->text.starts_with(prefix)) return kind;
    }
  }
  for (const auto& [key, kind] : kTellingKeys) {
    if (root.find(key) != nullptr) return kind;
  }
  if (is_hardware_config(root)) return FileKind::config;
  return core::fail(document->at(root.place), "not recognised as an input of rooftune",
                    "expected a study, a config, a hardware config, ground truth, a model or a file of GPUs");
}

}  // namespace rooftune::app
