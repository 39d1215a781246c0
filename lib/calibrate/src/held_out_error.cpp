#include "rooftune/calibrate/held_out_error.hpp"

namespace rooftune::calibrate {

core::Result<void> learn_held_out_error(params::Config& config, const PreparedStudy& study, const CrossValidationOptions& options) {
  const eval::SplitSpec& split = *study.spec.split;
  const auto folds = crossval(study, split, options);
  if (!folds) return tl::unexpected(folds.error());
  if (!folds->usable()) return core::fail({}, folds->failures.front(), "fit without --held-out, or change the split");
  add_held_out_error(config, *folds, split);
  return {};
}

}  // namespace rooftune::calibrate
