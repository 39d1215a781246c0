#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/calibrate/evaluation_store.hpp"
#include "rooftune/core/ranks.hpp"
#include "rooftune/runs/open_study.hpp"
#include "rooftune/runs/run_folder.hpp"
#include "rooftune/runs/run_progress.hpp"
#include "rooftune/text/folder_lock.hpp"

namespace rooftune::runs {

struct Outcome;

/// What a run folder keeps while its command works, so that a run that was killed can go on.
enum class Keeps {
  nothing,      ///< the folder appears when the run is finished
  evaluations,  ///< every evaluation, in kJournalName or in another store
  journal,      ///< what the command itself writes to kJournalName; a finished one can be read again
};

/// Where a run writes, and what it knows already.
struct RunOptions {
  std::optional<std::filesystem::path>
      folder{};         ///< default: runs/<study>-<UTC time>, with the command's name between unless it is fit
  bool resume = false;  ///< go on with what the folder says was begun; harmless where nothing was
  std::optional<std::filesystem::path> store{};   ///< of evaluations, in place of the folder's own; runs may share one
  std::optional<std::filesystem::path> replay{};  ///< a store that answers instead of the simulator
  core::Ranks* ranks = nullptr;          ///< the leading one of them answers the others' questions about evaluations; null: no others
  std::vector<std::string> arguments{};  ///< of the command line after the program's name, for the manifest
};

/// How many evaluations a store answered.
struct StoreCounts {
  long found = 0;
  long missed = 0;
  bool is_replay = false;  ///< misses were refused
};

/// A run folder from its first moment on: it says what was begun and keeps what was computed, so that the run can go on after a
/// crash. The final files are put there as a whole.
class Run {
 public:
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;
  ~Run();

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  /// The folder holds this run, finished: nothing is left to do.
  [[nodiscard]] bool is_finished() const { return is_finished_; }
  /// For Keeps::evaluations: what answers and keeps evaluations.
  [[nodiscard]] calibrate::StoreUse store();
  /// Nothing where no store of an earlier run could answer, or it knew nothing.
  [[nodiscard]] std::optional<StoreCounts> store_counts() const;
  /// Ends the use of the store, and gives what it could not keep. Before finish() or a report that the run is interrupted.
  core::Diagnostics close_store();
  /// What the store was given is on disk afterwards. By any thread at any time: nothing to do once it is closed.
  void flush_store();
  /// Tells those who look on how far the run is, and how many evaluations there are; not oftener than every second, unless all of it is
  /// finished. By one thread at a time.
  void tell(RunProgress progress);

  /// Writes the run as a whole, or nothing of it. A tuned config gets provenance and those of the study's GPUs that are not shipped;
  /// it is read back on its own, simulated, and must predict what was reported to the last bit. Gives warnings.
  [[nodiscard]] core::Result<core::Diagnostics> finish(const Outcome& outcome);

  /// Removes a folder that this run made: the run came to nothing, and would again.
  void abandon();

 private:
  friend core::Result<std::unique_ptr<Run>> begin(const OpenedStudy& study, std::string_view command, Keeps keeps,
                                                  const RunOptions& options);
  Run(const OpenedStudy& study, std::string_view command, Keeps keeps, const RunOptions& options);
  [[nodiscard]] core::Result<void> open_folder();
  [[nodiscard]] core::Result<void> open_store();
  /// Whether an earlier run can have left evaluations.
  [[nodiscard]] bool may_know() const { return options_.resume || options_.store || options_.replay; }
  /// Keeps everybody else out of a run folder as long as this run lives.
  [[nodiscard]] core::Result<void> own(const std::filesystem::path& folder);

  std::vector<text::FolderLock> locks_;  ///< last to go
  const OpenedStudy& study_;
  RunOptions options_;
  Keeps keeps_;
  RunManifest manifest_;
  std::filesystem::path folder_;
  bool is_finished_ = false;
  bool made_folder_ = false;
  std::unique_ptr<calibrate::EvaluationStore> store_;
  std::mutex closing_;  ///< of the store, while another thread flushes it
  calibrate::StoreUse::Counts counts_;
  std::optional<std::chrono::steady_clock::time_point> told_;
};

/// Opens the run folder, or continues in it. Errors forbid the run before it computes: a folder in use, or another run's. The study
/// must outlive the run.
[[nodiscard]] core::Result<std::unique_ptr<Run>> begin(const OpenedStudy& study, std::string_view command, Keeps keeps,
                                                       const RunOptions& options = {});

/// Versions of rooftune and of what it was built from, as manifests have them.
[[nodiscard]] std::map<std::string, std::string> versions();

}  // namespace rooftune::runs
