#pragma once

#include "rooftune/latency/step_time.hpp"

namespace rooftune::latency {

/// step = b0 + b1 P + b2 D in us: P prefill tokens, D decoding requests. Knows nothing of model or hardware, so its
/// coefficients hold for one (model, GPU, TP) only.
/// Source: field notes, section 4; its delays a0, a1, a2 are the shared front end's parameters.
template <class Scalar>
class BlackboxStepTime final : public StepTime<Scalar> {
 public:
  BlackboxStepTime(const Target& /*target*/, const params::Resolved<Scalar>& parameters)
      : step_us_(parameters["blackbox.step_us"]),
        per_prefill_token_us_(parameters["blackbox.per_prefill_token_us"]),
        per_decode_us_(parameters["blackbox.per_decode_us"]) {}

  [[nodiscard]] StepPiece<Scalar> piece(const Batch& batch) override {
    return {.duration_us = step_us_ + prefill_us(batch) + decode_us(batch),
            .slope_us_per_token = Scalar(0.0),
            .valid_steps = batch.prefills.empty() ? kEveryStep : 1};
  }

  [[nodiscard]] StepBreakdown breakdown(const Batch& batch) override {
    return {.total_us = core::value_of(piece(batch).duration_us),
            .terms = {{"step", core::value_of(step_us_)},
                      {"prefill tokens", core::value_of(prefill_us(batch))},
                      {"decodes", core::value_of(decode_us(batch))}},
            .bound = "not known to this model"};
  }

 private:
  [[nodiscard]] Scalar prefill_us(const Batch& batch) const {
    std::int64_t tokens = 0;
    for (const PrefillChunk& chunk : batch.prefills) tokens += chunk.new_tokens;
    return static_cast<double>(tokens) * per_prefill_token_us_;
  }
  [[nodiscard]] Scalar decode_us(const Batch& batch) const { return static_cast<double>(batch.decode_requests) * per_decode_us_; }

  Scalar step_us_;
  Scalar per_prefill_token_us_;
  Scalar per_decode_us_;
};

}  // namespace rooftune::latency
