#pragma once

#include <cstdint>
#include <span>

#include "p_norm.hpp"
#include "remembered.hpp"
#include "rooftune/latency/step_time.hpp"

namespace rooftune::latency {

/// Step time from first principles with fitted efficiencies:
///
///   step = t_step + L t_layer + fp8 calls + sampler + t_seq (D + R)        overheads
///        + linear(n) + n activation bytes / (W e_weights) + lm_head        weights and GEMMs, norms, gates
///        + kv C, times mixed_kv_factor in steps that prefill               KV reads
///        + attention                                                       prefill attention
///        + 2 L (latency + lag(tp) skew                         if tp > 1   all-reduce: every rank waits for the slowest,
///               + 2 (tp-1)/tp n d b / (link e_ar))                         ring volume
///        + moe(n)                                                          experts
///
/// Without a CUDA graph (P > 64) the host launches layer by layer beside the GPU, and the slower of the two counts:
/// the GPU terms become pnorm(GPU terms, L prefill_layer).
///
/// with n = D + P tokens in the step, D decodes, R prefill requests, P prefill tokens, C tokens of context read, and
///   linear(n) = pnorm(2 n params / (tp F e_gemm), weight bytes / (tp W e_weights)).
template <class Scalar>
class PhysicsStepTime final : public StepTime<Scalar> {
 public:
  PhysicsStepTime(const Target& target, const params::Resolved<Scalar>& parameters);

  [[nodiscard]] StepPiece<Scalar> piece(const Batch& batch) override;
  [[nodiscard]] StepBreakdown breakdown(const Batch& batch) override;
  [[nodiscard]] double duration_us(const Batch& batch) override;
  [[nodiscard]] double decode_marginal_us(const Batch& batch) override;

 private:
  /// vLLM runs larger prefill steps without a CUDA graph.
  static constexpr std::int64_t kGraphPrefillTokens = 64;
  /// Joins host and GPU time of steps without a graph: close to the larger of the two, yet differentiable.
  static constexpr double kLaunchNorm = 8.0;

  struct Linear {
    Scalar compute_us_per_token{0.0};
    Scalar weights_us{0.0};
  };

  struct PrefillSums {
    std::int64_t tokens = 0;
    std::int64_t context_tokens = 0;
    double attention_pairs = 0.0;  ///< query-key pairs, causal: sum of c (ctx + c/2)
  };

  [[nodiscard]] static PrefillSums sum(std::span<const PrefillChunk> prefills);
  [[nodiscard]] std::int64_t padded(std::int64_t decode_requests) const;
  [[nodiscard]] StepPiece<Scalar> mixed_piece(const Batch& batch);
  /// What depends on the number of tokens in the step alone.
  [[nodiscard]] const Scalar& token_work_us(std::int64_t tokens) {
    const Scalar* const known = token_work_.find(tokens);
    return known != nullptr ? *known : find_token_work_us(tokens);
  }
  [[nodiscard, gnu::noinline]] const Scalar& find_token_work_us(std::int64_t tokens);
  /// A step that only decodes, without the KV cache it reads.
  [[nodiscard]] const Scalar& decode_work_us(std::int64_t requests) {
    const Scalar* const known = decode_work_.find(requests);
    return known != nullptr ? *known : find_decode_work_us(requests);
  }
  [[nodiscard, gnu::noinline]] const Scalar& find_decode_work_us(std::int64_t requests);
  [[nodiscard]] Scalar linear_us(std::int64_t tokens) const;
  [[nodiscard]] Scalar moe_us(std::int64_t tokens) const;
  [[nodiscard]] Scalar allreduce_us(std::int64_t tokens) const;

  Scalar step_overhead_us_{0.0};  ///< everything that no batch changes
  Scalar per_sequence_us_{0.0};
  Scalar prefill_launch_us_{0.0};
  Scalar pnorm_{1.0};
  Linear attention_linear_;
  Linear ffn_linear_;
  Scalar activation_us_per_token_{0.0};
  Scalar kv_us_per_token_{0.0};
  Scalar mixed_kv_us_per_token_{0.0};  ///< the same in steps that also prefill
  Scalar prefill_attention_us_per_pair_{0.0};
  Scalar allreduce_latency_us_{0.0};
  Scalar allreduce_us_per_token_{0.0};
  Scalar expert_weights_us_{0.0};  ///< one expert's weights in all MoE layers
  Scalar expert_compute_us_per_token_{0.0};
  Scalar moe_overhead_us_{0.0};
  Scalar routing_correlation_{1.0};
  double experts_ = 0.0;
  double experts_per_token_ = 0.0;
  bool tensor_parallel_ = false;
  bool mixture_ = false;
  bool pads_ = false;

  Remembered<Scalar> token_work_;   ///< by tokens in the step
  Remembered<Scalar> decode_work_;  ///< by decoding requests
};

}  // namespace rooftune::latency
