#include <fmt/format.h>

#include <cmath>

#include "numbers.hpp"
#include "rooftune/report/tables.hpp"

namespace rooftune::report {
namespace {

/// Correlations from here on are worth a line; all are in result.json.
constexpr double kStrongCorrelation = 0.9;

std::string flags_of(const study::Estimate& estimate) {
  if (estimate.without_effect) return "without effect on this data";
  switch (estimate.bound) {
    case opt::BoundState::at_lower: return "at its lower bound";
    case opt::BoundState::at_upper: return "at its upper bound";
    case opt::BoundState::held: return "held";
    case opt::BoundState::free: break;
  }
  if (!estimate.standard_error) return "not identified";
  if (estimate.relative_standard_error.value_or(0.0) > 0.5) return "weakly identified";
  return "";
}

}  // namespace

std::string parameter_table(const study::FitResult& result, Colour colour) {
  TextTable table({{"parameter", Align::left},
                   {"unit", Align::left},
                   {"start"},
                   {"value"},
                   {"standard\nerror"},
                   {"%"},
                   {"lower"},
                   {"upper"},
                   {"", Align::left}});
  for (const study::Estimate& estimate : result.estimates) {
    const params::FreeParameter& parameter = estimate.parameter;
    const std::string relative = estimate.relative_standard_error ? percent(100.0 * *estimate.relative_standard_error) : "-";
    table.add({parameter.label(), std::string(parameter.id.spec().unit), significant(estimate.start), significant(estimate.value),
               estimate.standard_error ? significant(*estimate.standard_error) : "-", relative, significant(parameter.lower),
               significant(parameter.upper), Cell(flags_of(estimate), Tone::bad)});
  }
  std::string text = titled("Parameters", table.text(colour));
  for (const study::Correlation& correlation : result.correlations) {
    if (std::abs(correlation.value) < kStrongCorrelation) break;
    text += fmt::format("correlation {:+.2f}: {} and {}\n", correlation.value, result.estimates[correlation.first].parameter.label(),
                        result.estimates[correlation.second].parameter.label());
  }
  for (const std::string& direction : result.unidentified) text += toned(direction, Tone::faint, colour) + "\n";
  return text;
}

std::string search_summary(const study::FitResult& result, Colour colour) {
  std::string text =
      fmt::format("\nObjective {} -> {} after {} evaluations of {} start{} in {:.1f} s; {}\n", significant(result.objective_before),
                  significant(result.objective_after), result.counts.total(), result.search.starts.size(),
                  result.search.starts.size() == 1 ? "" : "s", result.seconds, opt::format(result.termination));
  if (result.machine_dependent) {
    text += toned("A limit in seconds ended the search: another machine or run may end elsewhere.", Tone::bad, colour) + "\n";
  }
  return text;
}

}  // namespace rooftune::report
