#include "rooftune/data/peers.hpp"

#include <fmt/format.h>

#include <map>
#include <string>
#include <tuple>

#include "rooftune/text/csv.hpp"

namespace rooftune::data {
namespace {

constexpr std::string_view kPublishedItl = "itl_mean_ms";

/// A cell that is text whatever it spells: experiments are called 17.
struct CellText {
  std::string text;
  text::Place place;
};

struct PeerRow {
  CellText experiment;
  CellText simulator;
  CellText stage;
  CellText metric;
  double predicted_ms = 0.0;
  double measured_ms = 0.0;
};

/// Found by the column reader.
bool convert(const text::Node& node, std::string_view name, CellText& target, text::Problems& problems) {
  if (node.kind != text::Node::Kind::scalar || node.text.empty()) {
    problems.error(node.place, fmt::format("{} is empty", name), "give a text");
    return false;
  }
  target = {.text = node.text, .place = node.place};
  return true;
}

/// Our metric of that name; the published ITL stands under TPOT.
void read_metric(const CellText& cell, domain::Metric& metric, text::Problems& problems) {
  if (cell.text.empty()) return;  // reported with its cell
  const auto known = cell.text == kPublishedItl ? domain::Metric::tpot_mean : domain::find_metric(cell.text);
  if (known) {
    metric = *known;
    return;
  }
  std::vector<std::string_view> names{kPublishedItl};
  for (const domain::Metric one : domain::kMetrics) names.push_back(domain::metric_name(one));
  problems.error(cell.place, fmt::format("unknown metric '{}'", cell.text), core::suggest(cell.text, names));
}

void read_stage(const CellText& cell, int& stage, text::Problems& problems) {
  if (cell.text.empty() || cell.text == "summary") return;
  const text::Node node = text::Node::at(cell.place, text::Node::Kind::scalar, cell.text);
  text::convert(node, "'stage'", stage, problems, text::at_least(0));
}

}  // namespace

core::Result<std::vector<domain::PeerPrediction>> read_peers(const std::filesystem::path& file) {
  const auto table = text::read_csv(file);
  if (!table) return tl::unexpected(table.error());
  text::Problems problems(table->file);
  std::vector<PeerRow> rows(table->rows.size());
  text::CsvColumns columns(*table, problems);
  columns.required("experiment", rows, &PeerRow::experiment);
  columns.required("simulator", rows, &PeerRow::simulator);
  columns.required("stage", rows, &PeerRow::stage);
  columns.required("metric", rows, &PeerRow::metric);
  columns.required("predicted", rows, &PeerRow::predicted_ms, text::above(0));
  columns.required("measured", rows, &PeerRow::measured_ms, text::above(0));
  std::vector<domain::PeerPrediction> peers;
  std::map<std::tuple<std::string, std::string, int, domain::Metric>, int> line_of;
  for (const PeerRow& row : rows) {
    domain::PeerPrediction& peer = peers.emplace_back();
    peer.simulator = row.simulator.text;
    peer.experiment = row.experiment.text;
    peer.predicted_ms = row.predicted_ms;
    peer.measured_ms = row.measured_ms;
    read_metric(row.metric, peer.metric, problems);
    read_stage(row.stage, peer.stage, problems);
    if (problems.has_errors()) continue;
    const auto [first, is_new] =
        line_of.emplace(std::tuple(peer.simulator, peer.experiment, peer.stage, peer.metric), row.experiment.place.line);
    if (!is_new) {
      problems.error(row.experiment.place, fmt::format("this prediction was given in line {} already", first->second),
                     "keep one of them");
    }
  }
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  return peers;
}

}  // namespace rooftune::data
