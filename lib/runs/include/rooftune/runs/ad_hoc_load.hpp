#pragma once

#include <string>
#include <vector>

#include "rooftune/domain/experiment.hpp"

namespace rooftune::runs {

/// A deployment and a load that no file holds.
struct AdHocLoad {
  std::string model;
  std::string gpu = "H100-SXM";
  int tp = 1;
  int pp = 1;
  int replicas = 1;
  std::string router = "round_robin";
  double rate_per_s = 1.0;
  std::vector<double> rates_per_s;  ///< a sweep, if not empty
  domain::Arrival arrival{.process = domain::ArrivalProcess::poisson};
  double duration_s = 60.0;
  domain::LengthDistribution prompt{.mean_tokens = 512.0};
  domain::LengthDistribution output{.mean_tokens = 128.0};
  int shared_prefix_tokens = 0;
  int prompt_groups = 1;
  int distinct_prompts = 0;
  domain::EngineSettings settings;
};

/// Called "command line", at --rate.
[[nodiscard]] domain::Experiment make_experiment(const AdHocLoad& load);
/// One point of a sweep.
[[nodiscard]] domain::Experiment make_experiment(const AdHocLoad& load, std::string id, double rate_per_s);

}  // namespace rooftune::runs
