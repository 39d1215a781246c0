#pragma once

#include <stop_token>
#include <string>

#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/core/packing.hpp"
#include "rooftune/core/ranks.hpp"
#include "rooftune/improve/trial.hpp"

/// What ranks compute of an improvement together. All of it is one map by name, because a rank serves one: what a context begins with says
/// which part of the work it is.
namespace rooftune::improve {

inline constexpr auto kImprovement = "improvement";

enum class Part : unsigned char {
  folds,       ///< fits of trials
  diagnosis,   ///< what is wrong with a structure
  candidates,  ///< what speaks against changes before any fit
};

// The bodies of ranks that serve, from what follows the part in a context.
[[nodiscard]] core::Ranks::Body served_folds(core::Unpacker& context, const calibrate::StudyInputs& inputs, const TrialRanks& ranks,
                                             const std::stop_token& cancel);
[[nodiscard]] core::Ranks::Body served_diagnosis(core::Unpacker& context, const calibrate::StudyInputs& inputs,
                                                 const TrialRanks& ranks);
[[nodiscard]] core::Ranks::Body served_candidates(core::Unpacker& context, const calibrate::StudyInputs& inputs,
                                                  const TrialRanks& ranks);

}  // namespace rooftune::improve
