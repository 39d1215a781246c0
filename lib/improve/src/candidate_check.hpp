#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/improve/moves.hpp"
#include "rooftune/improve/trial.hpp"

namespace rooftune::improve {

inline constexpr std::string_view kChangesNothing = "it changes no prediction of these runs";

/// A change to a structure as it is to be checked.
struct Change {
  calibrate::StudySpec spec;  ///< what the structure would become
  bool is_first_fit = false;  ///< it frees what a first fit of a model frees, of which only what runs can tell about is freed
  bool only_turns_switches = false;
};

struct CheckedChange {
  std::optional<std::string> refusal{};            ///< why it is not fitted
  std::optional<std::vector<std::string>> held{};  ///< of a first fit: parameters that are not to be free, by label
};

/// Looks at changes to one structure before any fit: what contradicts the data or the models' own configs is refused, and what no run can
/// tell about is not freed. May be asked by several threads at once.
class CandidateCheck {
 public:
  /// `structure` is `current` made ready. All of it must outlive this.
  CandidateCheck(const calibrate::StudySpec& current, const calibrate::PreparedStudy& structure, const ImproveRuns& runs,
                 const calibrate::StudyInputs& inputs)
      : current_(current), structure_(structure), runs_(runs), inputs_(inputs) {}

  [[nodiscard]] CheckedChange operator()(const Change& change) const;

  /// Takes parameters from those that a change frees; those of a new model stay where kernel tables have them.
  void hold(calibrate::StudySpec& spec, const std::vector<std::string>& labels) const;

 private:
  [[nodiscard]] std::optional<std::vector<std::string>> what_no_fold_can_tell(calibrate::StudySpec& spec) const;
  [[nodiscard]] std::optional<std::string> refusal_of(const calibrate::StudySpec& spec, bool only_turns_switches) const;
  [[nodiscard]] std::vector<UncheckedParameter> newly_unchecked(std::vector<UncheckedParameter> unchecked) const;
  [[nodiscard]] bool predicts_as_now(const calibrate::PreparedStudy& changed) const;
  [[nodiscard]] std::vector<eval::Row> predictions(const calibrate::PreparedStudy& study) const;

  const calibrate::StudySpec& current_;
  const calibrate::PreparedStudy& structure_;
  const ImproveRuns& runs_;
  const calibrate::StudyInputs& inputs_;
  mutable std::once_flag once_;
  mutable std::vector<eval::Row> predicted_;  ///< by the structure, once that was asked for
};

/// By all ranks.
[[nodiscard]] std::vector<CheckedChange> check_together(const CandidateCheck& check, const std::vector<Change>& changes,
                                                        const calibrate::StudySpec& current, const Together& together);

/// What the study itself frees is its author's business.
[[nodiscard]] bool is_free(const calibrate::StudySpec& spec, std::string_view label);

[[nodiscard]] std::string step_time_model_of(const calibrate::StudySpec& spec, const calibrate::StudyInputs& inputs);

}  // namespace rooftune::improve
