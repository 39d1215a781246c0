#pragma once

#include <memory>
#include <utility>

#include "rooftune/core/derivative.hpp"
#include "rooftune/latency/step_time.hpp"

namespace rooftune::sim {

/// Steps that take a factor of what a model says.
template <class Scalar>
class ScaledStepTime final : public latency::StepTime<Scalar> {
 public:
  ScaledStepTime(std::unique_ptr<latency::StepTime<Scalar>> whole, const Scalar& factor) : whole_(std::move(whole)), factor_(factor) {}

  [[nodiscard]] latency::StepPiece<Scalar> piece(const latency::Batch& batch) override {
    latency::StepPiece<Scalar> piece = whole_->piece(batch);
    piece.duration_us *= factor_;
    piece.slope_us_per_token *= factor_;
    return piece;
  }
  [[nodiscard]] latency::StepBreakdown breakdown(const latency::Batch& batch) override {
    latency::StepBreakdown breakdown = whole_->breakdown(batch);
    const double factor = core::value_of(factor_);
    breakdown.total_us *= factor;
    for (latency::StepTerm& term : breakdown.terms) term.duration_us *= factor;
    return breakdown;
  }
  [[nodiscard]] double decode_marginal_us(const latency::Batch& batch) override {
    return whole_->decode_marginal_us(batch) * core::value_of(factor_);
  }
  [[nodiscard]] bool wants_decode_contexts() const override { return whole_->wants_decode_contexts(); }
  [[nodiscard]] const kernels::LookupReport* lookup_report() const override { return whole_->lookup_report(); }

 private:
  std::unique_ptr<latency::StepTime<Scalar>> whole_;
  Scalar factor_;
};

}  // namespace rooftune::sim
