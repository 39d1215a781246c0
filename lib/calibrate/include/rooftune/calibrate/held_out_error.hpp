#pragma once

#include "rooftune/calibrate/crossval.hpp"
#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/params/config.hpp"

namespace rooftune::calibrate {

/// Refits without each part of the study's split, which it must have, and puts into the config what those refits got wrong on that part
/// (add_held_out_error). Fails where one of them comes to nothing.
[[nodiscard]] core::Result<void> learn_held_out_error(params::Config& config, const PreparedStudy& study,
                                                      const CrossValidationOptions& options = {});

}  // namespace rooftune::calibrate
