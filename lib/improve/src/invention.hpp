#pragma once

#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/improve/diagnosis.hpp"
#include "rooftune/improve/trial.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/params/space.hpp"

namespace rooftune::improve {

/// Makes the terms of the grammar known to this process, before anything runs side by side.
void declare_grammar();

/// A score test of every term of a small grammar (a quantity of the batch times properties of the model and the deployment) at the fit
/// on the training runs: which cost that no parameter stands for would explain what the fit leaves, everything else refitted. The
/// strongest few, each with a sentence. Nothing where predictions have no derivatives.
void find_missing_terms(Diagnosis& diagnosis, const calibrate::PreparedStudy& study, const ImproveRuns& runs,
                        const params::Config& tuned);

/// Its coefficient as a fit may move it: from `estimate`, which the score test gave, pulled to nothing.
[[nodiscard]] params::FreeParameter invented_coefficient(params::ParameterId id, double estimate);

}  // namespace rooftune::improve
