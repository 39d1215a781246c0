#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rooftune/calibrate/compare.hpp"
#include "rooftune/calibrate/crossval.hpp"
#include "rooftune/calibrate/fit.hpp"
#include "rooftune/calibrate/inspect.hpp"
#include "rooftune/calibrate/recovery.hpp"
#include "rooftune/calibrate/solver_table.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/eval/peers.hpp"
#include "rooftune/plan/capacity.hpp"
#include "rooftune/report/text_table.hpp"

/// Results as text for people. Every function is pure: it returns whole lines, ready to be printed.
namespace rooftune::report {

/// Predicted and measured means with their signed error, for every experiment: its summary, then its stages where it has more
/// than one.
[[nodiscard]] std::string row_table(const eval::Evaluation& evaluation, Colour colour);

/// Mean, median and RMSE of the absolute percentage errors, one line for each metric, and the loss.
[[nodiscard]] std::string overall_table(const eval::Evaluation& evaluation, Colour colour);

/// What two configs predict for the same experiments: by how much they differ, both values, and how wrong each is on average.
[[nodiscard]] std::string prediction_difference_tables(const eval::Evaluation& first, const eval::Evaluation& second, Colour colour);

/// The same by model, GPU, TP and workload, of the metrics that are means.
[[nodiscard]] std::string group_table(const eval::Evaluation& evaluation, Colour colour);

/// The warnings as a list; empty when there is none.
[[nodiscard]] std::string warning_list(const eval::Evaluation& evaluation, Colour colour);

/// How predictions leave the domain of their config, as a list; empty when they do not.
[[nodiscard]] std::string domain_list(const std::vector<eval::DomainExit>& exits, Colour colour);

/// Signed errors of the summary rows by experiment and metric, before and after a fit, with the mean absolute ones below.
[[nodiscard]] std::string before_after_table(const eval::Evaluation& before, const eval::Evaluation& after, Colour colour);

/// Aggregates before and after a fit, one line for each metric, and the loss.
[[nodiscard]] std::string improvement_table(const eval::Evaluation& before, const eval::Evaluation& after, Colour colour);

/// Fitted parameters: start, value, standard error, interval, bounds and what is wrong with them; then the strongest correlations
/// and what the data do not tell, with the reason.
[[nodiscard]] std::string parameter_table(const calibrate::FitResult& result, Colour colour);

/// Which measurements pull a parameter which way; empty where no pull is worth a word.
[[nodiscard]] std::string pull_table(const calibrate::FitResult& result, Colour colour);

/// Profiles and bootstrap; empty when the study asks for neither.
[[nodiscard]] std::string uncertainty_tables(const calibrate::FitResult& result, Colour colour);

/// Where measured means should fall, beside where they fell; empty without intervals.
[[nodiscard]] std::string interval_table(const calibrate::FitResult& result, Colour colour);

/// Errors by model over the iterations of the start that won, with held-out ones where there are any.
[[nodiscard]] std::string trace_table(const calibrate::FitResult& result, Colour colour);

/// What became of every start, best first; empty for a single one.
[[nodiscard]] std::string waterfall_table(const calibrate::FitResult& result, Colour colour);

/// How the search went: objective, evaluations, time, how it ended.
[[nodiscard]] std::string search_summary(const calibrate::FitResult& result, Colour colour);

/// Passes, seconds, objective and loss of every solver, best first.
[[nodiscard]] std::string solver_table(const std::vector<calibrate::SolverRow>& rows, Colour colour);

/// How often intervals held the truth, by parameter and pooled.
[[nodiscard]] std::string recovery_table(const calibrate::Recovery& recovery, Colour colour);
/// Errors of published simulators beside ours on the same rows; `what_ours_are` says whether ours are held out.
[[nodiscard]] std::string peer_table(const std::vector<eval::PeerComparison>& comparisons, std::string_view what_ours_are,
                                     Colour colour);

/// Training and held-out errors side by side for every fold, pooled errors, parameters of every fold, what the folds lack.
[[nodiscard]] std::string crossval_tables(const calibrate::CrossValidation& result, Colour colour);

/// Training and held-out errors of every variant with its parameters and cost, then what each correction is worth.
[[nodiscard]] std::string comparison_tables(const calibrate::Comparison& comparison, Colour colour);

/// What drafting gains, and up to how many requests in flight it pays, as a line.
[[nodiscard]] std::string speculation_line(const plan::SpeculationGain& gain);

/// Highest rates, fleets and sweeps with their intervals, then where they leave the calibrated domain.
[[nodiscard]] std::string capacity_tables(const plan::CapacityReport& capacity, Colour colour);

/// "1 x H100-SXM, TP 2, 4 data-parallel ranks", "2 x H100-SXM, TP 4 for prefill and 1 x H100-SXM, TP 8 for decode".
[[nodiscard]] std::string engines_of(const domain::Deployment& deployment, std::string_view gpu);

/// Latencies, throughput, queue, cache and where the time goes of one simulation.
[[nodiscard]] std::string inspection_tables(const calibrate::Inspection& inspection, Colour colour);

/// One workload at several rates: latencies, throughput and how full the engine is.
[[nodiscard]] std::string sweep_table(const std::vector<calibrate::SweepPoint>& points, Colour colour);

}  // namespace rooftune::report
