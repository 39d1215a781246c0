#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "numbers.hpp"
#include "rooftune/report/tables.hpp"

namespace rooftune::report {

std::string solver_table(const std::vector<calibrate::SolverRow>& rows, Colour colour) {
  TextTable table(
      {{"solver", Align::left}, {"passes"}, {"with\nderivatives"}, {"s"}, {"sum of\nsquares"}, {"loss\n%"}, {"ended", Align::left}});
  std::vector<std::size_t> order(rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return rows[i].objective; });
  for (const std::size_t i : order) {
    const calibrate::SolverRow& row = rows[i];
    const bool has_point = std::isfinite(row.objective);
    table.add({calibrate::title(row), fmt::format("{}", row.counts.total()), fmt::format("{}", row.counts.derivatives),
               fmt::format("{:.1f}", row.seconds), has_point ? significant(row.objective) : "-",
               has_point ? fmt::format("{:.2f}", row.loss_percent) : "-", std::string(opt::name(row.termination.reason))});
  }
  return titled("Solvers on this study, from its start", table.text(colour));
}

std::string recovery_table(const calibrate::Recovery& recovery, Colour colour) {
  TextTable table({{"parameter", Align::left}, {"truth"}, {"counted"}, {"covered\n%"}, {"bias"}, {"spread"}, {"reported\nerror"}});
  for (const calibrate::ParameterRecovery& one : recovery.parameters) {
    if (one.identified == 0) {
      table.add({one.parameter.label(), significant(one.truth), "0", "-", "-", "-", "-"});
      continue;
    }
    table.add({one.parameter.label(), significant(one.truth), fmt::format("{}", one.identified),
               percent(100.0 * one.covered / one.identified), fmt::format("{:+.4f}", one.bias), fmt::format("{:.4f}", one.spread),
               fmt::format("{:.4f}", one.mean_standard_error)});
  }
  std::string text = titled("Recovery of known parameters (bias, spread and error in the transformed space)", table.text(colour));
  if (recovery.counted == 0)
    return text + fmt::format("\nNo parameter was determined by the data in any of {} repeats\n", recovery.finished);
  const std::string asked = recovery.interrupted() ? fmt::format(" of {}", recovery.repeats) : "";
  text += fmt::format("\n{} of {} intervals of 95 % hold the truth: {:.1f} % ({}{} repeats, {} failed, noise {:.1f} %)\n",
                      recovery.covered, recovery.counted, recovery.coverage_percent(), recovery.finished, asked, recovery.failed,
                      100.0 * recovery.noise_fraction);
  return text;
}

}  // namespace rooftune::report
