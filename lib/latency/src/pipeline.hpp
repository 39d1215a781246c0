#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "rooftune/latency/step_time.hpp"

namespace rooftune::latency {

/// Pipeline parallelism over any step-time model. The engine keeps one micro-batch per stage in flight: the requests of a step
/// are split into as many, each passes all stages, and in the time that one passes them every other one does so too. A step,
/// in which every request advances by a token, hence takes the mean of the micro-batches' own step times, and each hands its
/// activations on from stage to stage:
///
///   step = mean over micro-batches of T(micro-batch) + (pp - 1) (hop latency + tokens d b / link)
///
/// T reads all layers' weights once per micro-batch, which is what makes pipelines cost throughput. A hop's latency is an
/// all-reduce's (physics.allreduce_us): both synchronise two GPUs.
template <class Scalar>
class PipelineStepTime final : public StepTime<Scalar> {
 public:
  PipelineStepTime(std::unique_ptr<StepTime<Scalar>> whole, const Target& target, const params::Resolved<Scalar>& parameters)
      : whole_(std::move(whole)),
        stages_(target.deployment.pp),
        hop_us_(parameters["physics.allreduce_us"] * (stages_ - 1.0)),
        hop_us_per_token_((stages_ - 1.0) * target.model.hidden * target.model.activation_bytes /
                          (parameters["hardware.link_GBs"] * 1e3)) {}

  [[nodiscard]] StepPiece<Scalar> piece(const Batch& batch) override {
    StepPiece<Scalar> piece{.duration_us = Scalar(0.0), .slope_us_per_token = Scalar(0.0), .valid_steps = kEveryStep};
    for_each_micro_batch(batch, [&](const Batch& part, double context_rest, double share) {
      const StepPiece<Scalar> own = whole_->piece(part);
      piece.duration_us += share * (own.duration_us + context_rest * own.slope_us_per_token);
      const double context_share =
          static_cast<double>(part.decode_requests) / std::max(1.0, static_cast<double>(batch.decode_requests));
      piece.slope_us_per_token += share * context_share * own.slope_us_per_token;
      piece.valid_steps = std::min(piece.valid_steps, own.valid_steps);
      piece.duration_us += share * (hop_us_ + static_cast<double>(tokens(part)) * hop_us_per_token_);
    });
    return piece;
  }

  [[nodiscard]] StepBreakdown breakdown(const Batch& batch) override {
    StepBreakdown result;
    double largest_us = -1.0;
    double hops_us = 0.0;
    for_each_micro_batch(batch, [&](const Batch& part, double /*context_rest*/, double share) {
      const StepBreakdown own = whole_->breakdown(part);
      for (std::size_t i = 0; i < own.terms.size(); ++i) {
        if (i == result.terms.size()) result.terms.push_back({.name = own.terms[i].name, .duration_us = 0.0});
        result.terms[i].duration_us += share * own.terms[i].duration_us;
      }
      if (own.total_us > largest_us) {
        largest_us = own.total_us;
        result.bound = own.bound;
      }
      hops_us += share * core::value_of(hop_us_ + static_cast<double>(tokens(part)) * hop_us_per_token_);
    });
    result.terms.push_back({.name = "pipeline_hops", .duration_us = hops_us});
    result.total_us = this->duration_us(batch);
    return result;
  }

  [[nodiscard]] bool wants_decode_contexts() const override { return whole_->wants_decode_contexts(); }
  [[nodiscard]] const kernels::LookupReport* lookup_report() const override { return whole_->lookup_report(); }

 private:
  [[nodiscard]] static std::int64_t tokens(const Batch& batch) {
    std::int64_t sum = batch.decode_requests;
    for (const PrefillChunk& chunk : batch.prefills) sum += chunk.new_tokens;
    return sum;
  }

  /// visit(micro-batch, context beyond its whole tokens, its share of the step). Prefills are dealt out in turn, decodes
  /// evenly, the context in proportion to them.
  template <class Visit>
  void for_each_micro_batch(const Batch& batch, const Visit& visit) {
    const auto prefills = static_cast<std::int64_t>(batch.prefills.size());
    const std::int64_t parts = std::min<std::int64_t>(stages_, std::max(prefills, batch.decode_requests));
    std::int64_t first_decode = 0;
    for (std::int64_t part = 0; part < parts; ++part) {
      Batch own;
      chunks_.clear();
      for (std::int64_t i = part; i < prefills; i += parts) chunks_.push_back(batch.prefills[static_cast<std::size_t>(i)]);
      own.prefills = chunks_;
      // What has the fewest prefills gets the odd decodes.
      own.decode_requests = batch.decode_requests / parts + (parts - 1 - part < batch.decode_requests % parts ? 1 : 0);
      double context = 0.0;
      if (batch.decode_requests > 0) {
        context = static_cast<double>(batch.decode_context_tokens) * static_cast<double>(own.decode_requests) /
                  static_cast<double>(batch.decode_requests);
      }
      own.decode_context_tokens = static_cast<std::int64_t>(std::floor(context));
      if (!batch.decode_contexts.empty()) {
        own.decode_contexts =
            batch.decode_contexts.subspan(static_cast<std::size_t>(first_decode), static_cast<std::size_t>(own.decode_requests));
        own.decode_max_context_tokens = own.decode_contexts.empty() ? 0 : *std::ranges::max_element(own.decode_contexts);
      }
      first_decode += own.decode_requests;
      visit(own, context - static_cast<double>(own.decode_context_tokens), 1.0 / static_cast<double>(parts));
    }
  }

  std::unique_ptr<StepTime<Scalar>> whole_;  ///< all layers on one stage
  int stages_;
  Scalar hop_us_;
  Scalar hop_us_per_token_;
  std::vector<PrefillChunk> chunks_;
};

}  // namespace rooftune::latency
