#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rooftune/calibrate/compare.hpp"
#include "rooftune/calibrate/crossval.hpp"
#include "rooftune/calibrate/fit.hpp"
#include "rooftune/calibrate/study_spec.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/eval/peers.hpp"
#include "rooftune/improve/improve.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/plan/next_run.hpp"
#include "rooftune/plan/onboard.hpp"

namespace rooftune::runs {

/// What a run came to, for its folder. What stays empty is not written.
struct Outcome {
  std::string result_json;
  std::optional<params::Config> tuned{};
  /// What `tuned` was reported to predict for runs of the study, which it must predict again when it is read back; empty: nothing
  /// was reported.
  std::optional<eval::Evaluation> predicted{};
  std::optional<eval::Evaluation> evaluation{};  ///< as evaluation.json and evaluation.csv
  std::vector<eval::PeerComparison> peers{};     ///< beside the evaluation
  std::optional<calibrate::StudySpec> study{};   ///< what the study became; empty: it is as it was begun
  bool is_interrupted = false;
  bool is_limited_by_time = false;     ///< a limit in seconds may have ended something: another machine may differ
  bool wants_hardware_config = false;  ///< the tuned values in the Go family's form as well
};

[[nodiscard]] Outcome outcome_of(const calibrate::FitResult& result);
[[nodiscard]] Outcome outcome_of(const calibrate::CrossValidation& result, const calibrate::StudySpec& spec,
                                 const std::vector<eval::PeerComparison>& peers = {});
[[nodiscard]] Outcome outcome_of(const calibrate::Comparison& comparison, const calibrate::StudySpec& spec);
[[nodiscard]] Outcome outcome_of(const improve::Improvement& improvement);
[[nodiscard]] Outcome outcome_of(const plan::Onboarding& onboarding);
[[nodiscard]] Outcome outcome_of(const plan::NextRunTrial& trial);

}  // namespace rooftune::runs
