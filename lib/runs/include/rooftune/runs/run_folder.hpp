#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/text/atomic_file.hpp"

namespace rooftune::runs {

/// A file that a run read. The path is as the user or the study gave it, never made absolute: manifests name no machine.
struct InputFile {
  std::string path;
  std::string sha256;
  friend bool operator==(const InputFile&, const InputFile&) = default;
};

/// The file with its hash; of a folder every file in it, by name. Errors name what cannot be read.
[[nodiscard]] core::Result<std::vector<InputFile>> hash_input(const std::filesystem::path& path);

enum class RunState {
  begun,        ///< --resume has something to continue
  interrupted,  ///< ended by hand; the files hold the best so far, and --resume goes on
  finished,
};
/// As manifests have it: "begun", "interrupted", "finished".
[[nodiscard]] std::string_view run_state_name(RunState state);

/// What one invocation was, so that it can be repeated, continued and told from another. It holds neither host nor date:
/// the same run twice gives the same bytes.
struct RunManifest {
  std::string command;                 ///< "fit", "crossval" ...
  std::vector<std::string> arguments;  ///< the command line after the program's name
  std::vector<InputFile> inputs;
  std::map<std::string, std::string> versions;  ///< "rooftune", "ceres", "nlopt", "compiler" ...
  std::string simulator_identity;               ///< hash of everything that can change a prediction besides the inputs
  std::uint64_t seed = 1;
  int threads = 0;
  int replicates = 1;
  bool limited_by_time = false;  ///< a limit in seconds may have ended something: another machine may differ
  RunState state = RunState::begun;
  friend bool operator==(const RunManifest&, const RunManifest&) = default;
};

[[nodiscard]] std::string manifest_text(const RunManifest& manifest);
[[nodiscard]] core::Result<RunManifest> parse_manifest(std::string_view text, const std::string& file);

/// The manifest of a run folder.
[[nodiscard]] core::Result<RunManifest> read_manifest(const std::filesystem::path& run_folder);
/// A manifest under any name.
[[nodiscard]] core::Result<RunManifest> read_manifest_file(const std::filesystem::path& file);

/// Why `now` cannot continue what `begun` says was begun: one error for each thing that differs and would change results.
[[nodiscard]] core::Diagnostics check_continues(const RunManifest& begun, const RunManifest& now,
                                                const std::filesystem::path& run_folder);

/// The texts of a run folder; what a command does not produce stays empty and is not written.
struct RunFiles {
  RunManifest manifest;
  std::optional<std::string> study_yaml{};  ///< the study with everything it left out filled in
  std::optional<std::string> result_json{};
  std::optional<std::string> tuned_json{};  ///< config_text()
  std::optional<std::string> hardware_config_json{};
  std::optional<std::string> evaluation_json{};
  std::optional<std::string> evaluation_csv{};
  std::optional<std::string> report_html{};
};

/// Names of the files in a run folder.
inline constexpr std::string_view kManifestName = "manifest.json";
inline constexpr std::string_view kStudyName = "study.yaml";
inline constexpr std::string_view kResultName = "result.json";
inline constexpr std::string_view kTunedConfigName = "tuned.json";
inline constexpr std::string_view kHardwareConfigName = "hardware_config.json";
inline constexpr std::string_view kEvaluationName = "evaluation.json";
inline constexpr std::string_view kEvaluationTableName = "evaluation.csv";
inline constexpr std::string_view kReportName = "report.html";
inline constexpr std::string_view kJournalName = "journal.sqlite";

/// Writes the files into a folder that is staged already.
[[nodiscard]] core::Result<void> write_run_files(const text::StagedFolder& folder, const RunFiles& files);

/// Stages the folder, writes the files and puts it in place: afterwards the whole run is there, or nothing changed.
[[nodiscard]] core::Result<void> write_run_folder(const std::filesystem::path& target, text::ExistingFolder policy,
                                                  const RunFiles& files);

}  // namespace rooftune::runs
