#include "rooftune/runs/watch_file.hpp"

#include <nlohmann/json.hpp>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/text/json_pieces.hpp"

namespace rooftune::runs {

std::string watched_window_json(const plan::WatchedWindow& window) {
  using Json = nlohmann::ordered_json;
  const Json json{
      {"schema", "rooftune/watched-window/1"},
      {"window", window.number},
      {"requests", window.requests},
      {"refused", window.refused},
      {"from_s", window.from_s},
      {"to_s", window.to_s},
      {"metrics", text::list_of(window.metrics,
                                [](const plan::WatchedMetric& metric) {
                                  return Json{{"metric", domain::metric_name(metric.metric)},
                                              {"measured", metric.measured_ms},
                                              {"predicted", metric.predicted_ms},
                                              {"lower", metric.lower_ms},
                                              {"upper", metric.upper_ms},
                                              {"inside", metric.side() == 0}};
                                })},
      {"drift", window.is_drift},
      {"explanations",
       text::list_of(
           window.explanations,
           [](const plan::Explanation& explanation) {
             return Json{{"parameter", explanation.parameter}, {"factor", explanation.factor}, {"explained", explanation.explained}};
           })},
      {"telling_run", window.telling_run ? Json(*window.telling_run) : Json(nullptr)}};
  return json.dump() + "\n";
}

}  // namespace rooftune::runs
