#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "numbers.hpp"
#include "rooftune/report/tables.hpp"

namespace rooftune::report {
namespace {

/// Measurements closer than this are called the same: the tables of peers are rounded.
constexpr double kSameMeasurementPercent = 0.1;

/// "8.4 / 7.1": mean and median.
Cell error_cell(const std::optional<eval::PeerError>& error, Tone tone = Tone::plain) {
  if (!error) return "-";
  return {percent(error->mean_percent) + " / " + percent(error->median_percent), tone};
}

}  // namespace

std::string peer_table(const std::vector<eval::PeerComparison>& comparisons, std::string_view what_ours_are, Colour colour) {
  if (comparisons.empty()) return "\nNo peer has published a prediction for these experiments.\n";
  constexpr std::array<std::string_view, eval::kPeerMetrics.size()> kTheirs{"E2E %", "TTFT %", "ITL %"};
  const auto is_predicted = [&](std::size_t metric) {
    return std::ranges::any_of(comparisons, [&](const eval::PeerComparison& one) { return one.theirs[metric].has_value(); });
  };
  std::vector<Column> columns{{"simulator", Align::left}, {"runs"}, {"not\npredicted"}};
  for (std::size_t i = 0; i < kTheirs.size(); ++i) {
    if (!is_predicted(i)) continue;
    columns.push_back({fmt::format("{}\ntheirs", kTheirs[i])});
    columns.push_back({eval::kPeerMetrics[i] == domain::Metric::tpot_mean ? "TPOT %\nours" : "\nours"});
  }
  TextTable table(std::move(columns));
  double differ_percent = 0.0;
  for (const eval::PeerComparison& comparison : comparisons) {
    std::vector<Cell> cells{comparison.simulator, fmt::format("{}", comparison.experiments.size()),
                            fmt::format("{}", comparison.unanswered)};
    for (std::size_t i = 0; i < kTheirs.size(); ++i) {
      if (!is_predicted(i)) continue;
      const auto& theirs = comparison.theirs[i];
      const auto& ours = comparison.ours[i];
      cells.push_back(error_cell(theirs));
      cells.push_back(error_cell(ours, theirs && ours->mean_percent < theirs->mean_percent ? Tone::good : Tone::bad));
    }
    table.add(std::move(cells));
    differ_percent = std::max(differ_percent, comparison.measurements_differ_percent);
  }
  std::string text =
      titled("Absolute errors, mean / median, beside published simulators, on the same experiments (summaries)", table.text(colour));
  text += fmt::format("ours: {}\n", what_ours_are);
  text +=
      "theirs: as published; whether a peer was fitted on these experiments is not in its file\n"
      "ITL is judged against the ITL that the peer was published beside, our TPOT against (E2E - TTFT) / (output tokens - 1)\n";
  if (differ_percent > kSameMeasurementPercent) {
    text += fmt::format(
        "measured TTFT or E2E differ by up to {:.1f} % between the peers' file and the ground truth: each is judged "
        "against its own\n",
        differ_percent);
  }
  return text;
}

}  // namespace rooftune::report
