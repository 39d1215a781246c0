#pragma once

#include <limits>
#include <memory>
#include <optional>
#include <type_traits>

#include "engine_core.hpp"
#include "pipeline_core.hpp"
#include "rank_group.hpp"
#include "rooftune/core/contract.hpp"
#include "rooftune/sim/engine.hpp"
#include "sensitivity.hpp"

/// Engine<Scalar> for those who instantiate it: a file for every scalar, which compile side by side.
namespace rooftune::sim {

template <class Scalar>
using SensitivityOf = std::conditional_t<core::carries_derivatives<Scalar>, PathSensitivity<Scalar>, NoSensitivity>;

/// One rank, several that step together, or the stages of a pipeline.
template <class Scalar>
class Engine<Scalar>::Impl {
 public:
  Impl(const EngineSetup& setup, std::span<const PrefixChain> chains, latency::StepTime<Scalar>& step_time,
       const EngineOptions<Scalar>& options) {
    if (setup.stages > 1) {
      stages_.emplace(setup, chains, step_time, options);
    } else if (setup.ranks > 1) {
      several_.emplace(setup, chains, step_time, options);
    } else if (features_of(setup, options, step_time) == Features::usual) {
      usual_.emplace(setup, chains, step_time, options);
    } else {
      one_.emplace(setup, chains, step_time, options);
    }
  }

  template <class Visit>
  auto visit(const Visit& visit) {
    if (usual_) return visit(*usual_);
    if (one_) return visit(*one_);
    return several_ ? visit(*several_) : visit(*stages_);
  }
  /// Pools of engines (ApartEngines) are of one rank each.
  [[nodiscard]] double next_event_us() {
    if (usual_) return usual_->next_event_us();
    ROOFTUNE_EXPECTS(one_.has_value());
    return one_->next_event_us();
  }
  [[nodiscard]] const EngineCounters& counters() {
    if (usual_) return usual_->counters;
    if (one_) return one_->counters;
    return several_ ? several_->counters() : stages_->counters;
  }

 private:
  std::optional<EngineCore<Scalar, SensitivityOf<Scalar>, Features::usual>> usual_;
  std::optional<EngineCore<Scalar, SensitivityOf<Scalar>, Features::all>> one_;
  std::optional<RankGroup<Scalar, SensitivityOf<Scalar>>> several_;
  std::optional<PipelineCore<Scalar>> stages_;
};

template <class Scalar>
Engine<Scalar>::Engine(const EngineSetup& setup, std::span<const PrefixChain> chains, latency::StepTime<Scalar>& step_time,
                       const EngineOptions<Scalar>& options)
    : impl_(std::make_unique<Impl>(setup, chains, step_time, options)) {}

template <class Scalar>
Engine<Scalar>::~Engine() = default;

template <class Scalar>
bool Engine<Scalar>::out_of_events() const {
  return impl_->visit([](const auto& core) { return core.out_of_events(); });
}

template <class Scalar>
StageRecord<Scalar> Engine<Scalar>::run_stage(const StagePlan& plan, int concurrency, double start_us) {
  return impl_->visit([&](auto& core) {
    core.begin_stage(plan, concurrency, start_us);
    core.run_to(std::numeric_limits<double>::infinity());
    return core.end_stage();
  });
}

template <class Scalar>
void Engine<Scalar>::begin_stage(double start_us, double requests_per_us, std::size_t most_requests) {
  impl_->visit([&](auto& core) { core.begin_routed_stage(start_us, requests_per_us, most_requests); });
}

template <class Scalar>
void Engine<Scalar>::run_to(double horizon_us) {
  impl_->visit([&](auto& core) { core.run_to(horizon_us); });
}

template <class Scalar>
void Engine<Scalar>::offer(const PlannedRequest& request) {
  impl_->visit([&](auto& core) { core.offer(request); });
}

template <class Scalar>
double Engine<Scalar>::next_event_us() {
  return impl_->next_event_us();
}

template <class Scalar>
std::int64_t Engine<Scalar>::in_flight() const {
  return impl_->visit([](const auto& core) { return core.in_flight(); });
}

template <class Scalar>
StageRecord<Scalar> Engine<Scalar>::end_stage() {
  return impl_->visit([](auto& core) {
    core.run_to(std::numeric_limits<double>::infinity());
    return core.end_stage();
  });
}

template <class Scalar>
const EngineCounters& Engine<Scalar>::counters() const {
  return impl_->counters();
}

}  // namespace rooftune::sim
