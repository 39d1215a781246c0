#include "rooftune/calibrate/solver_table.hpp"

#include <fmt/format.h>

#include <limits>

#include "rooftune/calibrate/calibration_objective.hpp"
#include "rooftune/eval/evaluate.hpp"

namespace rooftune::calibrate {
namespace {

struct Entry {
  opt::Algorithm algorithm;
  bool by_differences;
};

std::vector<Entry> entries_of(const std::vector<opt::Algorithm>& wanted) {
  std::vector<opt::Algorithm> algorithms = wanted;
  if (algorithms.empty()) {
    for (const opt::AlgorithmInfo& info : opt::algorithms()) algorithms.push_back(info.algorithm);
  }
  std::vector<Entry> entries;
  for (const opt::Algorithm algorithm : algorithms) {
    entries.push_back({algorithm, false});
    if (opt::describe(algorithm).derivatives == opt::DerivativeUse::jacobian) entries.push_back({algorithm, true});
  }
  return entries;
}

}  // namespace

std::string title(const SolverRow& row) {
  return fmt::format("{}{}", opt::name(row.algorithm), row.by_differences ? ", differences" : "");
}

bool SolverTable::interrupted() const {
  return rows.size() < asked || (!rows.empty() && rows.back().termination.reason == opt::Reason::cancelled);
}

SolverTable solver_table(const PreparedStudy& study, const SolverTableOptions& options) {
  const core::ThreadCount threads{study.spec.threads};
  const eval::ResidualFunction residuals(study.dataset, study.start, study.spec.free, study.spec.objective, threads);
  const opt::Problem problem = make_problem(study.spec.free);
  const std::vector<Entry> entries = entries_of(options.algorithms);
  SolverTable table{.rows = {}, .asked = entries.size()};
  for (const Entry& entry : entries) {
    if (options.cancel.stop_requested()) break;
    SolverRow row{.algorithm = entry.algorithm, .by_differences = entry.by_differences};
    if (options.progress) options.progress(table.rows.size(), entries.size(), title(row));
    opt::SolveOptions settings = make_stages(study.spec).front().options;
    settings.merit = opt::Merit::least_squares;
    settings.limits = {};
    settings.limits.evaluations = options.max_evaluations;
    if (entry.by_differences) settings.finite_differences.use = opt::FiniteDifferences::Use::always;
    CalibrationObjective objective(residuals);
    const opt::Solution solution =
        opt::solve(problem, objective, entry.algorithm, settings, {.cancel = options.cancel, .observe = {}});
    row.counts = solution.counts;
    row.seconds = solution.seconds;
    row.objective = solution.value;
    row.termination = solution.termination;
    row.loss_percent = std::numeric_limits<double>::infinity();
    if (solution.has_point()) {
      row.loss_percent = eval::evaluate(study.dataset, residuals.config_at(solution.point),
                                        {.threads = threads, .stepping = sim::Stepping::closed_form})
                             .loss_percent;
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace rooftune::calibrate
