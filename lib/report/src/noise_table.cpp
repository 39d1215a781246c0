#include "rooftune/report/noise_table.hpp"

#include <fmt/format.h>

#include <set>

#include "numbers.hpp"

namespace rooftune::report {
namespace {

std::string sources_of(const eval::Noise& noise) {
  std::set<std::string> elsewhere;
  int pairs = 0;
  int pairs_here = 0;
  for (const auto& [metric, repeats] : noise.repeats) {
    if (repeats.elsewhere.empty()) {
      pairs_here = std::max(pairs_here, repeats.pairs);
    } else {
      elsewhere.insert(repeats.elsewhere);
      pairs = std::max(pairs, repeats.pairs);
    }
  }
  std::string text = "two runs of one server: |difference| over their mean, median";
  if (pairs_here > 0) text += fmt::format(" of {} pair{} among these runs", pairs_here, pairs_here == 1 ? "" : "s");
  for (const std::string& what : elsewhere)
    text += fmt::format("{} of {} pairs elsewhere * ({})", pairs_here > 0 ? ";" : "", pairs, what);
  return text + "\nother arrivals: one standard deviation of what a run's length leaves open, median over experiments\n";
}

}  // namespace

std::string noise_table(const eval::Evaluation& evaluation, const eval::Noise& noise, Colour colour) {
  TextTable table({{"metric", Align::left}, {"error\nmean %"}, {"two runs of\none server %"}, {"other\narrivals %"}});
  for (const auto& [metric, errors] : evaluation.overall) {
    const auto repeats = noise.repeats.find(metric);
    const auto arrivals = noise.arrival_percent.find(metric);
    std::string repeated = "-";
    if (repeats != noise.repeats.end())
      repeated = fmt::format("{:.1f}{}", repeats->second.percent, repeats->second.elsewhere.empty() ? "" : " *");
    table.add({metric_title(metric), percent(errors.mean_ape_percent), repeated,
               arrivals == noise.arrival_percent.end() ? "-" : percent(arrivals->second)});
  }
  return titled("Errors beside the noise of measurements (summaries)", table.text(colour)) + sources_of(noise);
}

}  // namespace rooftune::report
