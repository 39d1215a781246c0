#pragma once

#include "rooftune/params/config.hpp"
#include "rooftune/runs/open_study.hpp"

namespace rooftune::runs {

/// A config that was tuned on the study, as its run folder would hold it: it says where its values come from and describes those of
/// the study's GPUs that do not ship, so that it loads by itself.
[[nodiscard]] params::Config as_kept(const params::Config& tuned, const OpenedStudy& study);

}  // namespace rooftune::runs
