#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "rooftune/calibrate/fit.hpp"
#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/improve/journal.hpp"
#include "rooftune/improve/moves.hpp"
#include "rooftune/improve/proposer.hpp"
#include "rooftune/improve/trial.hpp"
#include "rooftune/plan/next_run.hpp"

namespace rooftune::improve {

/// What the loop made of a study.
struct Improvement {
  JournalEntries journal;
  calibrate::StudySpec start;
  calibrate::StudySpec result;
  calibrate::FitResult before;                    ///< the structure of round 0, fitted on its training runs
  calibrate::FitResult after;                     ///< the result, fitted on its training runs
  std::optional<eval::Evaluation> test_before{};  ///< on the runs that no decision saw
  std::optional<eval::Evaluation> test_after{};
  eval::Evaluation held_out{};  ///< of the result on runs that its refitted folds had not seen, with the study's own seed
  std::vector<Finding> left{};  ///< what is still wrong with the result
  /// Runs that would teach most about what is free, about what the loop would have freed if any fold could check it, and about
  /// what the result's residuals ask to free; the best first. Empty where predictions have no derivatives.
  std::vector<plan::NextRun> next{};
  std::vector<std::string> next_is_about{};  ///< labels of these parameters
  /// It was cancelled: the result is the best so far, its journal goes on, and `left` and `next` are not looked for. Without a round
  /// in the journal no structure was fitted yet, and there is no result.
  bool interrupted = false;

  /// The round that a resulting structure comes from: the last that was kept.
  [[nodiscard]] const RoundRecord& kept_last() const;
};

struct ImproveHooks {
  std::function<void(const std::string& doing)> progress = {};
  std::function<void(const RoundRecord&)> on_round = {};  ///< also for those that the journal holds already
  std::function<void(const ScreeningRecord&)> on_screening = {};
  Proposer* proposer = nullptr;  ///< asked at every diagnosis; null: nobody
  TrialRanks ranks = {};         ///< that compute together; the others serve()
  std::stop_token cancel = {};   ///< ends the search with the best structure so far
};

/// Diagnoses the study's structure, proposes moves, screens them cheaply, judges the promising ones on held-out folds, keeps or
/// reverts, and goes on until nothing in the catalogue helps or a budget is spent. What the journal holds already is not done
/// again, and what was cancelled in its middle leaves no entry. Fails before anything is fitted where the study cannot be improved at
/// all.
[[nodiscard]] core::Result<Improvement> improve(const calibrate::StudySpec& spec, const calibrate::StudyInputs& inputs,
                                                Journal& journal, const ImproveHooks& hooks = {},
                                                const std::vector<Move>& catalogue = move_catalogue());

/// What a rank that serves does: fits folds and diagnoses structures of the leading one until that has ended.
void serve(const calibrate::StudyInputs& inputs, core::ThreadCount threads, const TrialRanks& ranks,
           const std::stop_token& cancel = {});

/// A round done again from its study: the trial that its verdict rests on.
[[nodiscard]] Trial replay(const RoundRecord& round, const calibrate::StudyInputs& inputs);

}  // namespace rooftune::improve
