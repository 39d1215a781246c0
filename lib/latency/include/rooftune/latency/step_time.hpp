#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "rooftune/core/scalar.hpp"
#include "rooftune/domain/experiment.hpp"
#include "rooftune/domain/gpu.hpp"
#include "rooftune/domain/model.hpp"
#include "rooftune/kernels/kernel_tables.hpp"
#include "rooftune/params/resolved.hpp"

namespace rooftune::latency {

/// Part of a prompt that one step computes.
struct PrefillChunk {
  std::int64_t context_tokens = 0;  ///< tokens of this request already in the KV cache
  std::int64_t new_tokens = 0;      ///< tokens that this step computes
};

/// Tokens of a step in which several data-parallel ranks go through the experts together.
struct RankTokens {
  std::int64_t all = 0;      ///< of all ranks; 0: there is one rank alone
  std::int64_t busiest = 0;  ///< of the rank that has the most
};

/// What one engine step works on.
struct Batch {
  std::span<const PrefillChunk> prefills;
  std::int64_t decode_requests = 0;
  std::int64_t decode_context_tokens = 0;         ///< sum over the decoding requests of tokens already in the KV cache
  std::int64_t decode_max_context_tokens = 0;     ///< the longest of them; filled only where the model asks (wants_decode_contexts)
  std::span<const std::int64_t> decode_contexts;  ///< each of them; filled only where the model asks
  RankTokens ranks{};                             ///< of one rank among several: what all have
};

inline constexpr std::int64_t kEveryStep = std::numeric_limits<std::int64_t>::max();

/// Step time as a linear piece. While a batch only decodes, every step adds `decode_requests` tokens of context; the
/// duration of step i (counting from 0) is then duration_us + i * decode_requests * slope_us_per_token.
template <class Scalar>
struct StepPiece {
  Scalar duration_us{0.0};
  Scalar slope_us_per_token{0.0};  ///< per token of total decode context
  std::int64_t valid_steps = 1;    ///< number of steps (this one included) for which the piece holds
};

/// One term of a step's duration, for traces and breakdowns.
struct StepTerm {
  std::string_view name;
  double duration_us = 0.0;
};

/// Where a step's time goes. Terms need not add up where a model takes maxima or norms; `total_us` is the step time.
struct StepBreakdown {
  double total_us = 0.0;
  std::vector<StepTerm> terms;
  std::string_view bound;  ///< which resource rules: "compute", "memory", "overhead" ...
};

/// A step-time model made ready for one deployment and one set of parameter values. Objects cache what depends on the
/// batch size alone, so they are cheap to call and not shared between threads.
template <class Scalar>
class StepTime {
 public:
  StepTime() = default;
  StepTime(const StepTime&) = delete;
  StepTime& operator=(const StepTime&) = delete;
  virtual ~StepTime() = default;

  [[nodiscard]] virtual StepPiece<Scalar> piece(const Batch& batch) = 0;
  [[nodiscard]] virtual StepBreakdown breakdown(const Batch& batch) = 0;
  /// The value of piece(batch).duration_us.
  [[nodiscard]] virtual double duration_us(const Batch& batch) { return core::value_of(piece(batch).duration_us); }
  /// By how much one more decoding request, with no context of its own, lengthens the step (value only).
  [[nodiscard]] virtual double decode_marginal_us(const Batch& batch) {
    Batch larger = batch;
    ++larger.decode_requests;
    return duration_us(larger) - duration_us(batch);
  }
  /// True when the model needs each request's context, not only the sum.
  [[nodiscard]] virtual bool wants_decode_contexts() const { return false; }
  /// How well measured kernels covered what was asked, for models that look them up; else null. Remembered times count once.
  [[nodiscard]] virtual const kernels::LookupReport* lookup_report() const { return nullptr; }
};

/// The deployment that a step-time model is made ready for.
struct Target {
  const domain::ModelSpec& model;
  const domain::GpuSpec& gpu;
  const domain::Deployment& deployment;
  const kernels::KernelTables* tables = nullptr;  ///< measured on this GPU; only models that look kernels up need them
};

}  // namespace rooftune::latency
