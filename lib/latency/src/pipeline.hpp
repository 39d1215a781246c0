#pragma once

#include <memory>
#include <utility>

#include "rooftune/latency/step_time.hpp"

namespace rooftune::latency {

/// One batch's way through a pipeline, over any step-time model: all layers' time, and what it takes to hand its activations on from
/// stage to stage:
///
///   T(batch) + (pp - 1) (hop latency + tokens d b / link)
///
/// Weights are read once per batch, which is what makes pipelines cost throughput. A hop's latency is an all-reduce's
/// (physics.allreduce_us): both synchronise two GPUs. Which batches there are, and when a stage is free for one, is the engine's
/// (sim/src/pipeline_core.hpp).
template <class Scalar>
class PipelineStepTime final : public StepTime<Scalar> {
 public:
  PipelineStepTime(std::unique_ptr<StepTime<Scalar>> whole, const Target& target, const params::Resolved<Scalar>& parameters)
      : whole_(std::move(whole)),
        hop_us_(parameters["physics.allreduce_us"] * (target.deployment.pp - 1.0)),
        hop_us_per_token_((target.deployment.pp - 1.0) * target.model.hidden * target.model.activation_bytes /
                          (parameters["hardware.link_GBs"] * 1e3)) {}

  [[nodiscard]] StepPiece<Scalar> piece(const Batch& batch) override {
    StepPiece<Scalar> piece = whole_->piece(batch);
    piece.duration_us += hops_us(batch);
    return piece;
  }

  [[nodiscard]] StepBreakdown breakdown(const Batch& batch) override {
    StepBreakdown result = whole_->breakdown(batch);
    const double us = core::value_of(hops_us(batch));
    result.terms.push_back({.name = "pipeline_hops", .duration_us = us});
    result.total_us += us;
    return result;
  }

  [[nodiscard]] bool wants_decode_contexts() const override { return whole_->wants_decode_contexts(); }
  [[nodiscard]] const kernels::LookupReport* lookup_report() const override { return whole_->lookup_report(); }

 private:
  [[nodiscard]] Scalar hops_us(const Batch& batch) const {
    std::int64_t tokens = batch.decode_requests;
    for (const PrefillChunk& chunk : batch.prefills) tokens += chunk.new_tokens;
    return hop_us_ + static_cast<double>(tokens) * hop_us_per_token_;
  }

  std::unique_ptr<StepTime<Scalar>> whole_;  ///< all layers on one stage
  Scalar hop_us_;
  Scalar hop_us_per_token_;
};

}  // namespace rooftune::latency
