#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/calibrate/study_spec.hpp"
#include "rooftune/core/diagnostics.hpp"

namespace rooftune::runs {

/// A study as its file says it, and what its reader noticed.
struct StudyFile {
  calibrate::StudySpec spec;
  core::Diagnostics warnings;                     ///< bounds or values outside their usual range
  std::vector<std::filesystem::path> extended{};  ///< the files of the studies that it extends, farthest first
};

/// Reads a study (docs/file_formats.md). Everything wrong with the file is reported at once; files that it names are not
/// opened, but for the study that it extends. Paths count from the study's folder.
[[nodiscard]] core::Result<StudyFile> read_study(const std::filesystem::path& path);

/// The same from YAML text; `file` is the name that messages use.
[[nodiscard]] core::Result<StudyFile> parse_study(std::string_view text, const std::string& file);

/// The study as YAML, groups and defaults written out. Reads back equal.
[[nodiscard]] std::string study_text(const calibrate::StudySpec& spec);

/// A complete study with every key, its default and what it means: what `rooftune fit --dump-default` prints.
[[nodiscard]] std::string default_study_text();

/// JSON Schema of studies, for editors: share/rooftune/schema/study.schema.json.
[[nodiscard]] std::string study_schema();

/// The study with its relative paths, which count from `from`, counting from `to`: so that the copy in a run folder loads too.
[[nodiscard]] calibrate::StudySpec with_paths_from(calibrate::StudySpec spec, const std::filesystem::path& from,
                                                   const std::filesystem::path& to);

}  // namespace rooftune::runs
