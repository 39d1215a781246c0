#pragma once

#include "rooftune/calibrate/crossval.hpp"
#include "rooftune/calibrate/fit.hpp"
#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/core/diagnostics.hpp"

namespace rooftune::calibrate {

/// Refits without each part of the study's split, which it must have, and puts into the tuned config what those refits got wrong on
/// that part (add_held_out_error). Nothing is done where the fit has no point or was interrupted. Fails where a refit comes to nothing;
/// where the refits are cancelled, the fit stays as it is, and counts as interrupted.
[[nodiscard]] core::Result<void> learn_held_out_error(FitResult& fit, const PreparedStudy& study,
                                                      const CrossValidationOptions& options = {});

}  // namespace rooftune::calibrate
