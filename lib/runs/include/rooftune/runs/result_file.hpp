#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rooftune/calibrate/compare.hpp"
#include "rooftune/calibrate/crossval.hpp"
#include "rooftune/calibrate/fit.hpp"
#include "rooftune/calibrate/inspect.hpp"
#include "rooftune/calibrate/recovery.hpp"
#include "rooftune/calibrate/solver_table.hpp"
#include "rooftune/eval/peers.hpp"
#include "rooftune/plan/speculation.hpp"

namespace rooftune::runs {

/// The outcome of a fit as "rooftune/fit/1" (docs/file_formats.md): parameters with errors and flags, correlations, how the
/// search went, aggregates before and after. The tuned config and the rows have files of their own.
[[nodiscard]] std::string fit_json(const calibrate::FitResult& result);

/// A cross-validation as "rooftune/crossval/1": every fold with its parameters and errors, and the pooled held-out errors, and `peers`
/// where those were compared with some.
[[nodiscard]] std::string crossval_json(const calibrate::CrossValidation& result, const std::vector<eval::PeerComparison>& peers = {});

/// A comparison as "rooftune/comparison/1": every variant with its errors on all data and held out, its parameters and
/// evaluations; and each correction taken back. Wall time is left out: the same run gives the same bytes.
[[nodiscard]] std::string comparison_json(const calibrate::Comparison& comparison);

/// What every solver reached as "rooftune/solvers/1", without wall time.
[[nodiscard]] std::string solver_table_json(const calibrate::SolverTable& table);

/// A recovery campaign as "rooftune/recovery/1": coverage by parameter and pooled.
[[nodiscard]] std::string recovery_json(const calibrate::Recovery& recovery);

/// One simulation seen from inside as "rooftune/simulation/1": latencies in milliseconds by stage, counters, histograms over
/// busy time, and where that time goes.
[[nodiscard]] std::string inspection_json(const calibrate::Inspection& inspection,
                                          const std::optional<plan::SpeculationGain>& speculation);

/// What a study resolves to as "rooftune/resolved/1": its experiments, models, GPUs and free parameters, and the warnings.
[[nodiscard]] std::string resolved_json(const calibrate::PreparedStudy& study);

/// One workload at several rates as "rooftune/sweep/1".
[[nodiscard]] std::string sweep_json(const std::vector<calibrate::SweepPoint>& points);

}  // namespace rooftune::runs
