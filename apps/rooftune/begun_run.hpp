#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "load_inputs.hpp"
#include "rooftune/calibrate/evaluation_store.hpp"
#include "rooftune/runs/run_folder.hpp"

namespace rooftune::app {

/// Where a long run writes, and what it knows already.
struct RunOptions {
  std::optional<std::string> folder;
  bool resume = false;
  std::optional<std::string> store;   ///< in place of the run folder's own
  std::optional<std::string> replay;  ///< a store that answers instead of the simulator
};

/// --out, --resume, --store, --replay.
void add_run_options(CLI::App& command, RunOptions& options, const std::string& default_folder);

/// What to do about a simulator whose failure has ended the run.
[[nodiscard]] std::string failure_remedy(const calibrate::StudySpec& spec);

/// A run folder from its first moment on: it says what was begun and keeps every evaluation, so that --resume can go on after a
/// crash. The final files are put there as a whole by the command.
class BegunRun {
 public:
  /// Opens the folder, or continues in it. Errors forbid the run before it computes: a folder in use, or another run's.
  [[nodiscard]] static core::Result<std::unique_ptr<BegunRun>> begin(const runs::RunManifest& manifest, const LoadedStudy& study,
                                                                     std::filesystem::path folder, const RunOptions& options);
  BegunRun(const BegunRun&) = delete;
  BegunRun& operator=(const BegunRun&) = delete;
  ~BegunRun();

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  /// Nothing is left to do.
  [[nodiscard]] bool is_finished() const { return is_finished_; }
  [[nodiscard]] calibrate::StoreUse store();

  /// Ends the use of the store, and says on standard error what it could not keep. Before final files are written.
  void close_store();
  /// One line about evaluations that came from the store, or nothing.
  [[nodiscard]] std::string store_summary() const;
  /// Removes a folder that this run made: the run came to nothing, and would again.
  void abandon();

 private:
  BegunRun() = default;
  [[nodiscard]] core::Result<void> open_store(const RunOptions& options);

  std::filesystem::path folder_;
  bool is_finished_ = false;
  bool made_folder_ = false;
  bool may_know_ = false;  ///< the store may hold evaluations of earlier runs
  calibrate::OnMiss on_miss_ = calibrate::OnMiss::evaluate;
  std::unique_ptr<calibrate::EvaluationStore> store_;
  calibrate::StoreUse::Counts counts_;
};

}  // namespace rooftune::app
