#pragma once

#include <span>
#include <string>
#include <vector>

#include "rooftune/eval/dataset.hpp"
#include "rooftune/io/run_difference.hpp"
#include "rooftune/study/compare.hpp"
#include "rooftune/study/inspect.hpp"
#include "rooftune/study/onboard.hpp"
#include "rooftune/study/recovery.hpp"
#include "rooftune/study/solver_table.hpp"

/// The main table of a command as CSV: one header row, empty cells where there is no value. Columns are those of the JSON.
namespace rooftune::io {

/// A row for each variant, scope (training, held_out) and metric.
[[nodiscard]] std::string comparison_csv(const study::Comparison& comparison);
[[nodiscard]] std::string solver_table_csv(const std::vector<study::SolverRow>& rows);
/// A row for each parameter.
[[nodiscard]] std::string recovery_csv(const study::Recovery& recovery);
/// A row for each GPU, step, experiment and metric.
[[nodiscard]] std::string onboard_csv(std::span<const study::Onboarding> onboardings);
/// A row for each load and stage of simulations.
[[nodiscard]] std::string inspection_csv(const study::Inspection& inspection);
[[nodiscard]] std::string sweep_csv(const std::vector<study::SweepPoint>& points);
/// A row for each selected experiment.
[[nodiscard]] std::string experiments_csv(const eval::Dataset& dataset);
/// Parameters, then predictions that differ.
[[nodiscard]] std::string difference_csv(const RunDifference& difference);

}  // namespace rooftune::io
