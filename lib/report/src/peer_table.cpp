#include <fmt/format.h>

#include <algorithm>

#include "numbers.hpp"
#include "rooftune/report/tables.hpp"

namespace rooftune::report {
namespace {

/// Measurements closer than this are called the same: the tables of peers are rounded.
constexpr double kSameMeasurementPercent = 0.1;

}  // namespace

std::string peer_table(const std::vector<eval::PeerComparison>& comparisons, std::string_view what_ours_are, Colour colour) {
  if (comparisons.empty()) return "\nNo peer has published a prediction for these experiments.\n";
  TextTable table({{"simulator", Align::left},
                   {"runs"},
                   {"E2E %\ntheirs"},
                   {"\nours"},
                   {"TTFT %\ntheirs"},
                   {"\nours"},
                   {"ITL %\ntheirs"},
                   {"TPOT %\nours"}});
  double differ_percent = 0.0;
  for (const eval::PeerComparison& comparison : comparisons) {
    std::vector<Cell> cells{comparison.simulator, fmt::format("{}", comparison.experiments.size())};
    for (std::size_t i = 0; i < eval::kPeerMetrics.size(); ++i) {
      const double ours = comparison.ours_percent[i];
      const double theirs = comparison.theirs_percent[i];
      cells.emplace_back(percent(theirs));
      cells.emplace_back(percent(ours), ours < theirs ? Tone::good : Tone::bad);
    }
    table.add(std::move(cells));
    differ_percent = std::max(differ_percent, comparison.measurements_differ_percent);
  }
  std::string text =
      titled("Mean absolute errors beside published simulators, on the same experiments (summaries)", table.text(colour));
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
