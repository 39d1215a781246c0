#pragma once

#include <span>
#include <string>
#include <vector>

#include "rooftune/calibrate/compare.hpp"
#include "rooftune/calibrate/inspect.hpp"
#include "rooftune/calibrate/recovery.hpp"
#include "rooftune/calibrate/solver_table.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/plan/onboard.hpp"
#include "rooftune/runs/run_difference.hpp"

/// The main table of a command as CSV: one header row, empty cells where there is no value. Columns are those of the JSON.
namespace rooftune::runs {

/// A row for each variant, scope (training, held_out) and metric.
[[nodiscard]] std::string comparison_csv(const calibrate::Comparison& comparison);
[[nodiscard]] std::string solver_table_csv(const std::vector<calibrate::SolverRow>& rows);
/// A row for each parameter.
[[nodiscard]] std::string recovery_csv(const calibrate::Recovery& recovery);
/// A row for each GPU, step, experiment and metric.
[[nodiscard]] std::string onboard_csv(std::span<const plan::Onboarding> onboardings);
/// A row for each load and stage of simulations.
[[nodiscard]] std::string inspection_csv(const calibrate::Inspection& inspection);
[[nodiscard]] std::string sweep_csv(const std::vector<calibrate::SweepPoint>& points);
/// A row for each selected experiment.
[[nodiscard]] std::string experiments_csv(const eval::Dataset& dataset);
/// Parameters, then predictions that differ.
[[nodiscard]] std::string difference_csv(const RunDifference& difference);

}  // namespace rooftune::runs
