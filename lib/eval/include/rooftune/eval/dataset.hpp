#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
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

/// The requests of one replicate of a case: every parameter point sees the same ones (common random numbers).
struct Plan {
  std::uint64_t seed = 1;
  int replicate = 0;
  /// Shared by copies of the case. Null: each use draws them again, the same bits, because no other use is to be expected or
  /// because the plans of all cases together would fill the memory.
  std::shared_ptr<const sim::RequestPlan> kept{};
};

/// One experiment with everything it needs to be simulated.
struct Case {
  domain::Experiment experiment;
  domain::ModelSpec model;
  domain::GpuSpec gpu;
  std::vector<Plan> plans;                                ///< one per replicate
  std::shared_ptr<const kernels::KernelTables> tables{};  ///< of the GPU; null where none were given
  std::vector<sim::AssumedSetting> assumed{};             ///< settings that the experiment does not record
  std::optional<domain::ModelSpec> draft{};               ///< the model that drafts tokens, where it is one of its own

  /// The requests of a replicate, kept or drawn.
  [[nodiscard]] std::shared_ptr<const sim::RequestPlan> plan(std::size_t replicate) const;

  /// The requests of replicates 0 to `replicates` - 1 of a seed, drawn now and kept.
  void keep_plans(std::uint64_t seed, int replicates);

  /// What a simulation takes. It refers to the case and to `plan`, and must not outlive them.
  [[nodiscard]] sim::Scenario scenario(const sim::RequestPlan& plan) const {
    return {.experiment = experiment,
            .model = model,
            .gpu = gpu,
            .plan = plan,
            .tables = tables.get(),
            .draft = draft ? &*draft : nullptr};
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
  /// Plans are kept up to this many bytes together, in the order of the experiments; later ones are drawn by each use, which takes
  /// about a quarter of a replay (draw_requests beside replay_all_1core in benchmarks/replay_bench). The default holds about 2500
  /// experiments of 6600 requests.
  std::size_t kept_plan_bytes = std::size_t{512} << 20U;
};

/// Why the built-in simulation gave up on a case, in words.
[[nodiscard]] std::string out_of_events(const Dataset& dataset, const Case& item);

/// Looks up models and GPUs, refuses what the step-time model cannot simulate, and draws the requests. All problems at once.
[[nodiscard]] core::Result<Dataset> make_dataset(const DatasetInputs& inputs);

}  // namespace rooftune::eval
