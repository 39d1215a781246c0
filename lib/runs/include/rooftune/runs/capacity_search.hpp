#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/plan/capacity.hpp"
#include "rooftune/runs/ad_hoc_load.hpp"
#include "rooftune/runs/open_study.hpp"

namespace rooftune::runs {

/// Which deployments are compared, under which load and objectives.
struct CapacityRequest {
  StudyOverrides data;
  AdHocLoad load;                 ///< the shape of requests and the engine's settings; its model, TP degree and rate are not looked at
  std::vector<std::string> like;  ///< ground truth with the measured run whose requests and engine are asked about
  std::vector<std::string> select;  ///< of `like`
  bool is_gpu_given = false;        ///< in place of that run's
  bool is_tp_given = false;
  std::vector<std::string> models;  ///< empty: that run's
  std::vector<int> tp{1, 2, 4, 8};
  std::vector<std::string> expert_parallel;  ///< "off", "on"; empty: as the engine's flag says
  std::vector<int> data_parallel;            ///< ranks of one engine; empty: as the engine's option says
  std::vector<std::string> objectives;       ///< as plan::parse_objective reads them
  plan::CapacityQuestions questions;
  double duration_s = 60.0;  ///< of every simulated load, at least
};

struct CapacityHooks {
  std::function<void(const std::string& deployment)> progress = {};  ///< called before each deployment is searched
  std::function<void(const OpenedStudy& first)> opened = {};         ///< called with the first that can be, before it is searched
  std::stop_token cancel = {};                                       ///< deployments that are not yet searched stay so
};

/// The answers, and what was noticed on the way.
struct CapacitySearch {
  plan::CapacityReport report;
  core::Diagnostics warnings;
  bool is_interrupted = false;  ///< cancelled before every deployment was searched
};

/// Answers for every model, TP degree and kind of expert parallelism. A deployment that cannot be has a refusal in the report; fails
/// where none can be.
[[nodiscard]] core::Result<CapacitySearch> search_capacity(const CapacityRequest& request, const CapacityHooks& hooks = {});

}  // namespace rooftune::runs
