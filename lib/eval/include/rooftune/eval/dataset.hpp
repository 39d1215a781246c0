#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/domain/experiment.hpp"
#include "rooftune/domain/gpu.hpp"
#include "rooftune/domain/model.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/sim/request_plan.hpp"
#include "rooftune/sim/simulate.hpp"

namespace rooftune::eval {

/// One experiment with everything it needs to be simulated. Requests are drawn once, so that every parameter point sees the
/// same arrivals (common random numbers).
struct Case {
  domain::Experiment experiment;
  domain::ModelSpec model;
  domain::GpuSpec gpu;
  std::vector<sim::RequestPlan> plans;  ///< one per replicate

  [[nodiscard]] sim::Scenario scenario(std::size_t replicate) const { return {experiment, model, gpu, plans[replicate]}; }
};

/// The experiments of an evaluation or a fit, in the order given.
struct Dataset {
  std::vector<Case> cases;
  core::Diagnostics warnings;
  int replicates = 1;
  std::uint64_t seed = 1;

  /// The cases at these indices, with the same requests as here.
  [[nodiscard]] Dataset subset(const std::vector<std::size_t>& indices) const;
};

struct DatasetInputs {
  std::vector<domain::Experiment> experiments;
  const std::vector<domain::ModelSpec>& models;
  const std::vector<domain::GpuSpec>& gpus;
  const params::Config& config;
  std::uint64_t seed = 1;
  int replicates = 1;
};

/// Looks up models and GPUs, refuses what the step-time model cannot simulate, and draws the requests. All problems at once.
[[nodiscard]] core::Result<Dataset> make_dataset(const DatasetInputs& inputs);

}  // namespace rooftune::eval
