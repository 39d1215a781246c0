#pragma once

#include <array>
#include <string>
#include <vector>

#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/improve/trial.hpp"
#include "rooftune/params/config.hpp"

namespace rooftune::improve {

enum class FindingKind {
  bias,            ///< all runs are off in one direction
  group,           ///< the runs of one group differ from the others
  missing_factor,  ///< a parameter would have to vary with a property of the runs
  held_parameter,  ///< a parameter that is not free is off
  at_bound,
  unidentified,
  confounded,     ///< two free parameters that the training runs hardly tell apart
  unreachable,    ///< no parameter values that the study allows reach what was measured
  suspicious,     ///< one run is off against the rest of its group
  against_prior,  ///< every fold pulls a parameter away from where its prior has it
  missing_term,   ///< a cost that no parameter stands for would explain what the fit leaves
  scattered,      ///< folds disagree about a parameter by much of its prior's width
};
inline constexpr std::array<core::Word<FindingKind>, 12> kFindingKinds{{
    {"bias", FindingKind::bias},
    {"group", FindingKind::group},
    {"missing_factor", FindingKind::missing_factor},
    {"held_parameter", FindingKind::held_parameter},
    {"at_bound", FindingKind::at_bound},
    {"unidentified", FindingKind::unidentified},
    {"confounded", FindingKind::confounded},
    {"unreachable", FindingKind::unreachable},
    {"suspicious", FindingKind::suspicious},
    {"against_prior", FindingKind::against_prior},
    {"missing_term", FindingKind::missing_term},
    {"scattered", FindingKind::scattered},
}};

/// One thing that is wrong with a fitted structure.
struct Finding {
  FindingKind kind = FindingKind::bias;
  std::string metric;     ///< "ttft_mean_ms"; empty where it concerns all
  std::string factor;     ///< "model", "tp", "gpu", "workload", "load", "prompt", "output"; of missing_factor "layers" ...
  std::string level;      ///< of the factor: "4"; of unreachable and suspicious the experiment, of confounded the other parameter
  std::string parameter;  ///< id, where the finding is about one
  double effect =
      0.0;  ///< log residual (predicted over measured), the exponent of a missing factor, or the coefficient of a missing term
  double strength = 0.0;  ///< t statistic; findings are ranked by it
  std::string text;       ///< for people
  friend bool operator==(const Finding&, const Finding&) = default;
};

/// What a structure gets wrong, strongest first.
///
/// Residuals are those of runs that a fold had not seen, one per experiment and metric (the mean over its stages). A group's
/// effect is its mean minus that of all other runs, its strength Welch's t with the objective's noise as the least standard
/// deviation; reported from t = 2 on. Parameters are tested at the fit on the training runs by a score test: by how much would the
/// residuals fall to first order if this parameter were free as well, or varied with layers, tp ... beside, everything else
/// refitted. The strongest of the varying ones are refitted in full, because to first order terms of a similar shape look alike; a
/// factor by which no deployment can be told apart from another (lengths of prompts) keeps its first-order t.
struct Diagnosis {
  std::vector<Finding> findings;
  /// Strength of the strongest finding about this metric and factor ("any": whichever); 0 where there is none.
  [[nodiscard]] double strength(std::string_view metric, std::string_view factor) const;
  [[nodiscard]] const Finding* about_parameter(FindingKind kind, std::string_view parameter) const;
};

/// `tuned` is the structure's fit on the training runs, `trial` its held-out errors. The tests that simulate run side by side, on all
/// ranks. Once it is cancelled it ends soon, and what it returns is of no use.
[[nodiscard]] Diagnosis diagnose(const calibrate::PreparedStudy& study, const ImproveRuns& runs, const params::Config& tuned,
                                 const Trial& trial, const Together& together = {});

}  // namespace rooftune::improve
