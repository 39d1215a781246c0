#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/domain/gpu.hpp"
#include "rooftune/domain/model.hpp"
#include "rooftune/kernels/kernel_tables.hpp"
#include "rooftune/params/resolved.hpp"
#include "rooftune/sim/engine.hpp"
#include "rooftune/sim/request_plan.hpp"

namespace rooftune::sim {

/// One experiment with everything that its simulation needs besides parameters.
struct Scenario {
  const domain::Experiment& experiment;
  const domain::ModelSpec& model;
  const domain::GpuSpec& gpu;
  const RequestPlan& plan;
  const kernels::KernelTables* tables = nullptr;  ///< measured on this GPU; only models that look kernels up need them
  const domain::ModelSpec* draft = nullptr;       ///< the model that drafts tokens, where it is one of its own
};

enum class Percentiles { skip, compute };

struct SimulationOptions {
  Stepping stepping = Stepping::closed_form;
  Percentiles percentiles = Percentiles::skip;
  Observer* observer = nullptr;
  std::int64_t warm_up_requests = 0;  ///< the first so many of every stage are served, but counted in no latency
  /// Events (EngineCounters::advances) of one engine after which the simulation gives up.
  std::int64_t max_events = std::numeric_limits<std::int64_t>::max();
};

/// Predicted latencies of one stage, or of all pooled.
template <class Scalar>
struct StagePrediction {
  Scalar ttft_mean_us{0.0};
  Scalar e2e_mean_us{0.0};
  Scalar tpot_mean_us{0.0};
  /// All metrics in milliseconds; percentiles only where they were asked for. Empty when no request finished.
  domain::Latencies latencies;
  std::int64_t finished = 0;
  std::int64_t rejected = 0;
  std::int64_t warm_up = 0;  ///< finished beside `finished`, but left out of the latencies
  double output_tokens_per_s = 0.0;
  double longest_queue = 0.0;
};

template <class Scalar>
struct Prediction {
  std::vector<StagePrediction<Scalar>> stages;
  StagePrediction<Scalar> summary;
  EngineCounters counters;
  std::optional<kernels::LookupReport> lookups{};  ///< how measured kernels covered the steps, where the model looks them up
  bool out_of_events = false;                      ///< it gave up: nothing else here is complete
};

/// Why the scenario cannot be simulated with this step-time model, or nothing.
[[nodiscard]] std::optional<std::string> refusal(std::string_view step_time_model, const Scenario& scenario);

/// The load generator's pause between stages: 1 s polling, 1 s interval and 1 s lead, seen as 2 to 3 s.
inline constexpr double kStageGapUs = 2e6;

/// Replays the scenario's requests through the engine: dp replicas of it behind a router (engine.router; the clients of closed
/// loops are dealt out in turn). The scenario must not be refused.
/// Pure: the same arguments give the same bits. Instantiated for double and the core::Dual widths.
template <class Scalar>
[[nodiscard]] Prediction<Scalar> simulate(std::string_view step_time_model, const Scenario& scenario,
                                          const params::Resolved<Scalar>& parameters, const SimulationOptions& options);

/// The step-time model of the scenario's engines, drafts included. Instantiated likewise.
template <class Scalar>
[[nodiscard]] std::unique_ptr<latency::StepTime<Scalar>> make_step_time(std::string_view step_time_model, const Scenario& scenario,
                                                                        const params::Resolved<Scalar>& parameters);

/// The engine settings of a scenario: the deployment's, the switches', and an estimate of the KV pool where none was measured.
[[nodiscard]] EngineSetup make_engine_setup(const Scenario& scenario, const params::Resolved<double>& parameters);

/// Changes whenever a change of the simulator can change a prediction. Part of every manifest and evaluation key.
[[nodiscard]] std::string_view simulator_identity();

}  // namespace rooftune::sim
