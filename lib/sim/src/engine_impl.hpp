#pragma once

#include <limits>
#include <memory>
#include <type_traits>

#include "engine_core.hpp"
#include "rooftune/sim/engine.hpp"
#include "sensitivity.hpp"

/// Engine<Scalar> for those who instantiate it: a file for every scalar, which compile side by side.
namespace rooftune::sim {

template <class Scalar>
using SensitivityOf = std::conditional_t<core::carries_derivatives<Scalar>, PathSensitivity<Scalar>, NoSensitivity>;

template <class Scalar>
class Engine<Scalar>::Impl : public EngineCore<Scalar, SensitivityOf<Scalar>> {
 public:
  using EngineCore<Scalar, SensitivityOf<Scalar>>::EngineCore;
};

template <class Scalar>
Engine<Scalar>::Engine(const EngineSetup& setup, std::span<const PrefixChain> chains, latency::StepTime<Scalar>& step_time,
                       const EngineOptions<Scalar>& options)
    : impl_(std::make_unique<Impl>(setup, chains, step_time, options)) {}

template <class Scalar>
Engine<Scalar>::~Engine() = default;

template <class Scalar>
bool Engine<Scalar>::out_of_events() const {
  return impl_->out_of_events();
}

template <class Scalar>
StageRecord<Scalar> Engine<Scalar>::run_stage(const StagePlan& plan, int concurrency, double start_us) {
  impl_->begin_stage(plan, concurrency, start_us);
  impl_->run_to(std::numeric_limits<double>::infinity());
  return impl_->end_stage();
}

template <class Scalar>
void Engine<Scalar>::begin_stage(double start_us, double requests_per_us, std::size_t most_requests) {
  impl_->begin_routed_stage(start_us, requests_per_us, most_requests);
}

template <class Scalar>
void Engine<Scalar>::run_to(double horizon_us) {
  impl_->run_to(horizon_us);
}

template <class Scalar>
void Engine<Scalar>::offer(const PlannedRequest& request) {
  impl_->offer(request);
}

template <class Scalar>
std::int64_t Engine<Scalar>::in_flight() const {
  return impl_->in_flight();
}

template <class Scalar>
StageRecord<Scalar> Engine<Scalar>::end_stage() {
  impl_->run_to(std::numeric_limits<double>::infinity());
  return impl_->end_stage();
}

template <class Scalar>
const EngineCounters& Engine<Scalar>::counters() const {
  return impl_->counters;
}

}  // namespace rooftune::sim
