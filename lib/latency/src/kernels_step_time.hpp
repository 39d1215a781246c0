#pragma once

#include <cstdint>
#include <span>

#include "graph_plan.hpp"
#include "kernel_prices.hpp"
#include "remembered.hpp"
#include "rooftune/latency/step_time.hpp"

namespace rooftune::latency {

/// Step time from the GPU's own measured curves, operator by operator, with a few factors and host terms of its own:
///
///   step = t_step + L t_layer + L_moe moe_layer + sampler + t_seq (D + R)          host, and kernels too small for tables
///        + L piecewise_layer                                where attention runs outside of the graph
///        + gemm_streaming G_s(n) + gemm_computing G_c(n) + lm_head(D + R)           products, split by what bounds them
///        + expert_reading R(n, rho) + expert_load X(n)                              experts by the number that n tokens reach
///        + all_reduce (dispatch and combine of all ranks' tokens)                   where data-parallel ranks share the experts
///        + all_reduce A(n bytes) + 2 L lag(tp) skew                                 by release, ranks and bytes
///        + decode_attention K(D, mean context), times mixed_attention in steps that prefill
///        + prefill_attention P(chunks) + states(D) + element-wise bytes
///
/// Where no graph holds the step, the host launches layer by layer beside the GPU, and the slower of the two counts: the GPU's
/// terms become pnorm(terms, L launch_layer) with exponent 8.
///
/// Capital letters are look-ups (kernel_prices.hpp); n = D + P tokens, D decodes, R prefill requests, P prefill tokens. Products
/// and collectives of a step in a graph run at the captured size that holds n.
template <class Scalar>
class KernelsStepTime final : public StepTime<Scalar> {
 public:
  KernelsStepTime(const Target& target, const params::Resolved<Scalar>& parameters);

  [[nodiscard]] StepPiece<Scalar> piece(const Batch& batch) override;
  [[nodiscard]] StepBreakdown breakdown(const Batch& batch) override;
  [[nodiscard]] double decode_marginal_us(const Batch& batch) override;
  [[nodiscard]] bool wants_decode_contexts() const override { return prices_.wants_contexts(); }
  [[nodiscard]] const kernels::LookupReport* lookup_report() const override { return &prices_.report(); }

 private:
  struct Prefill {
    std::int64_t tokens = 0;
    std::int64_t requests = 0;
  };
  [[nodiscard]] static Prefill sum(std::span<const PrefillChunk> prefills);
  [[nodiscard]] std::int64_t padded(std::int64_t tokens) const { return pads_ ? graphs_.padded(tokens) : tokens; }
  /// What depends on the number of tokens in the step alone.
  [[nodiscard]] const Scalar& token_work_us(std::int64_t tokens);
  [[nodiscard]] Scalar experts_us(std::int64_t tokens);
  /// The experts of all ranks, and the tokens' way to them and back.
  [[nodiscard]] const Scalar& shared_work_us(std::int64_t tokens);
  /// At how many tokens a rank's own layers and all ranks' experts run, and how.
  struct Sizes {
    std::int64_t own = 0;
    std::int64_t all = 0;
    GraphPlan::Mode mode = GraphPlan::Mode::whole;
  };
  [[nodiscard]] Sizes sizes_of(const Batch& batch, std::int64_t tokens) const;
  [[nodiscard]] Scalar rank_decode_work_us(const Batch& batch);
  [[nodiscard]] Scalar all_reduces_us(double measured_us) const;
  /// A step that only decodes, without the KV cache it reads.
  [[nodiscard]] const Scalar& decode_work_us(std::int64_t requests);
  /// Host time of a step of so many tokens and sequences.
  [[nodiscard]] Scalar host_us(GraphPlan::Mode mode, std::int64_t sequences) const;

  KernelPrices prices_;
  GraphPlan graphs_;
  bool pads_ = true;
  Scalar step_us_{0.0};
  Scalar piecewise_us_{0.0};
  Scalar launch_us_{0.0};
  Scalar per_sequence_us_{0.0};
  Scalar gemm_streaming_{1.0};
  Scalar gemm_computing_{1.0};
  Scalar expert_reading_{1.0};
  Scalar expert_load_{1.0};
  Scalar routing_correlation_{1.0};
  Scalar all_reduce_{1.0};
  Scalar skew_us_{0.0};
  Scalar popularity_exponent_{0.0};
  int ranks_ = 1;  ///< data-parallel ones of one engine
  Scalar decode_attention_{1.0};
  Scalar mixed_attention_{1.0};
  Scalar prefill_attention_{1.0};

  Remembered<Scalar> token_work_;   ///< by tokens in the step; of one of several ranks without the experts
  Remembered<Scalar> shared_work_;  ///< by tokens of all ranks
  Remembered<Scalar> decode_work_;  ///< by decoding requests
};

}  // namespace rooftune::latency
