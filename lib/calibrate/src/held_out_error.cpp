#include "rooftune/calibrate/held_out_error.hpp"

namespace rooftune::calibrate {

core::Result<void> learn_held_out_error(FitResult& fit, const PreparedStudy& study, const CrossValidationOptions& options) {
  if (!fit.usable || fit.interrupted) return {};
  const eval::SplitSpec& split = *study.spec.split;
  const auto folds = crossval(study, split, options);
  if (!folds) return tl::unexpected(folds.error());
  if (folds->interrupted) {
    fit.interrupted = true;
    fit.lacks_held_out_error = true;
    return {};
  }
  if (!folds->usable()) return core::fail({}, folds->failures.front(), "fit without --held-out, or change the split");
  add_held_out_error(fit.tuned, *folds, split);
  return {};
}

}  // namespace rooftune::calibrate
