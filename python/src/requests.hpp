#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "command_line.hpp"
#include "load_options.hpp"
#include "options.hpp"
#include "rooftune/runs/ad_hoc_load.hpp"
#include "rooftune/runs/open_study.hpp"

namespace rooftune::python {

struct SimulationRequest {
  app::DataOptions overrides;
  runs::AdHocLoad load;
  std::int64_t warm_up_requests = 0;
};

struct StepTimeRequest {
  app::DataOptions overrides;
  runs::AdHocLoad deployment;
};

struct CapacityQuestion {
  app::DataOptions overrides;
  runs::CapacityRequest request;
};

inline void add_overrides(const app::Command& command, app::DataOptions& overrides) {
  app::add_config_options(command, overrides);
  app::add_data_options(command, overrides);
}

inline void add_simulation(const app::Command& command, SimulationRequest& request) {
  request.overrides.use_shipped_config = true;
  app::add_config_options(command, request.overrides);
  app::add_load_options(command, request.load);
  app::add_warm_up_option(command, request.warm_up_requests);
  app::add_data_options(command, request.overrides);
}

inline void add_step_time_options(const app::Command& command, StepTimeRequest& request) {
  request.overrides.use_shipped_config = true;
  app::add_config_options(command, request.overrides);
  app::add_deployment_options(command, request.deployment, "Deployment");
  app::add_model_options(command, request.overrides);
}

}  // namespace rooftune::python
