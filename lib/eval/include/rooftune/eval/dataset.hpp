#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/domain/experiment.hpp"
#include "rooftune/domain/gpu.hpp"
#include "rooftune/domain/model.hpp"
#include "rooftune/eval/external.hpp"
#include "rooftune/eval/failures.hpp"
#include "rooftune/kernels/kernel_tables.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/sim/engine_releases.hpp"
#include "rooftune/sim/request_plan.hpp"
#include "rooftune/sim/simulate.hpp"

namespace rooftune::eval {

/// Measured kernels by the canonical name of their GPU. Shared, because every case, fold and variant looks up the same ones.
using KernelTablesByGpu = std::map<std::string, std::shared_ptr<const kernels::KernelTables>>;

/// One experiment with everything it needs to be simulated. Requests are drawn once, so that every parameter point sees the
/// same arrivals (common random numbers).
struct Case {
  domain::Experiment experiment;
  domain::ModelSpec model;
  domain::GpuSpec gpu;
  std::vector<sim::RequestPlan> plans;                    ///< one per replicate
  std::shared_ptr<const kernels::KernelTables> tables{};  ///< of the GPU; null where none were given
  std::vector<sim::AssumedSetting> assumed{};             ///< settings that the experiment does not record

  [[nodiscard]] sim::Scenario scenario(std::size_t replicate) const {
    return {.experiment = experiment, .model = model, .gpu = gpu, .plan = plans[replicate], .tables = tables.get()};
  }
};

/// The experiments of an evaluation or a fit, in the order given.
struct Dataset {
  std::vector<Case> cases;
  core::Diagnostics warnings;
  int replicates = 1;
  std::uint64_t seed = 1;
  std::shared_ptr<ExternalRuns> external{};                           ///< what predicts in place of our simulator; null: nothing does
  std::shared_ptr<Failures> failures = std::make_shared<Failures>();  ///< shared by all parts of a run

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
  KernelTablesByGpu kernels{};
  std::shared_ptr<ExternalRuns> external{};
  std::shared_ptr<Failures> failures = std::make_shared<Failures>();
  /// Leaves out what the step-time model cannot simulate (weights beyond memory, kernels that nobody measured), down to nothing,
  /// instead of reporting it: experiments are proposals, not measurements.
  bool leaves_out_refused = false;
};

/// Why the built-in simulation gave up on a case, in words.
[[nodiscard]] std::string out_of_events(const Dataset& dataset, const Case& item);

/// Looks up models and GPUs, refuses what the step-time model cannot simulate, and draws the requests. All problems at once.
[[nodiscard]] core::Result<Dataset> make_dataset(const DatasetInputs& inputs);

}  // namespace rooftune::eval
