#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/calibrate/study_spec.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/improve/journal.hpp"
#include "rooftune/opt/loss.hpp"
#include "rooftune/runs/evaluation_store.hpp"
#include "rooftune/runs/run_folder.hpp"
#include "rooftune/runs/run_progress.hpp"

namespace rooftune::runs {

/// One search of a run: a fit, a fold, a refit of a bootstrap. They are told apart by what their evaluations depend on.
struct LiveSearch {
  std::string problem;  ///< hash
  long evaluations = 0;
  std::optional<double> best{};      ///< objective
  std::vector<double> best_point{};  ///< transformed
};

/// How far a run is.
struct LiveState {
  RunState state = RunState::begun;
  std::string command;
  long evaluations = 0;                 ///< in the run's own store
  long refusals = 0;                    ///< of them: points without an answer
  std::vector<LiveSearch> searches{};   ///< in the order in which they were seen
  std::optional<std::size_t> newest{};  ///< the search that grew last
  std::optional<double> last{};         ///< objective of what was stored last, and its point
  std::vector<double> last_point{};
  std::optional<improve::JournalEntries> journal{};  ///< of an improvement
  std::optional<RunProgress> progress{};             ///< what the run says of itself
  std::vector<std::string> notices{};                ///< what cannot be seen, and why
};

/// A run that may still be going on, looked at again and again. Reads, and writes nothing.
class LiveRun {
 public:
  /// Fails where the folder holds no run.
  [[nodiscard]] static core::Result<LiveRun> open(const std::filesystem::path& folder);

  /// What the folder says now. A large store is read less often, so that looking takes a small share of a core.
  [[nodiscard]] const LiveState& look();
  /// The latest look as "rooftune/live/1" (docs/file_formats.md).
  [[nodiscard]] std::string json() const;

 private:
  LiveRun(std::filesystem::path folder, LiveState state) : folder_(std::move(folder)), state_(std::move(state)) {}

  void read_store();
  void take(SeenEvaluation one);

  std::filesystem::path folder_;
  std::optional<calibrate::StudySpec> study_{};  ///< where its files can be read; names the parameters and says what is left
  opt::Loss loss_{};
  std::optional<std::size_t> folds_{};  ///< that a cross-validation fits with each seed
  std::set<std::string> seen_{};        ///< keys of evaluations
  LiveState state_;
  std::chrono::steady_clock::time_point next_reading_{};  ///< of the store; not before
};

}  // namespace rooftune::runs
