#pragma once

#include <optional>
#include <string>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/runs/ad_hoc_load.hpp"
#include "rooftune/runs/open_study.hpp"

namespace rooftune::runs {

/// The one experiment that is selected, as its file has it; an error that names them where there are several.
[[nodiscard]] core::Result<domain::Experiment> only_experiment(const OpenedStudy& study);

/// What is to be simulated: one measured experiment, of a study or of ground truth, or a load that names a model: then one experiment,
/// or one for each of its rates or numbers of clients.
[[nodiscard]] core::Result<OpenedStudy> open_simulation(const std::optional<std::string>& study, const AdHocLoad& load,
                                                        const StudyOverrides& overrides);

}  // namespace rooftune::runs
