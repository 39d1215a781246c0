#pragma once

#include <cstdint>
#include <iterator>
#include <span>
#include <vector>

#include "linear_sum.hpp"
#include "p_norm.hpp"
#include "prefill_sums.hpp"
#include "remembered.hpp"
#include "rooftune/latency/operators.hpp"
#include "rooftune/latency/step_time.hpp"

namespace rooftune::latency {

/// Step time from first principles with fitted efficiencies:
///
///   step = t_step + L t_layer + fp8 calls + sampler + t_seq (D + R)        overheads
///        + linear(n) + n activation bytes / (W e_weights) + lm_head        weights and GEMMs, norms, gates
///        + kv C, times mixed_kv_factor in steps that prefill               KV reads; there, on GPUs whose kernel packs no heads,
///                                                                          beside mixed_query_rows of attention per head and context
///        + kv' sum of min(context, window)                                 the same of windows, chunks and sparse attention
///        + state (D + R) + scan P                                          linear attention
///        + attention                                                       prefill attention
///        + 2 L (latency + lag(tp) skew                         if tp > 1   all-reduce: every rank waits for the slowest,
///               + 2 (tp-1)/tp n d b / (link e_ar))                         ring volume
///        + moe(n)                                                          experts
///
/// Without a CUDA graph (P > 64) the host launches layer by layer beside the GPU, and the slower of the two counts:
/// the GPU terms become their 8-norm with L prefill_layer.
///
/// with n = D + P tokens in the step, D decodes, R prefill requests, P prefill tokens, C tokens of context read, and
///   linear(n) = pnorm(2 n params / (F e_gemm), weight bytes / (W e_weights)) of one GPU's share, for each format of the weights.
/// Where data-parallel ranks share the experts, those see all ranks' tokens, which an all-gather brings and a reduce-scatter takes
/// back: a latency of an all-reduce each, and (r - 1) / r of the message at an all-reduce's rate.
/// FP4 and INT8 products take their own peak and FP8's share of it. Routers are part of what an MoE layer costs.
/// Source of the operators: operators.hpp.
template <class Scalar>
class PhysicsStepTime final : public StepTime<Scalar> {
 public:
  PhysicsStepTime(const Target& target, const params::Resolved<Scalar>& parameters);

  [[nodiscard]] StepPiece<Scalar> piece(const Batch& batch) override;
  [[nodiscard]] StepBreakdown breakdown(const Batch& batch) override;
  [[nodiscard]] double duration_us(const Batch& batch) override;
  [[nodiscard]] double decode_marginal_us(const Batch& batch) override;
  [[nodiscard]] bool wants_decode_contexts() const override { return !limited_reads_.empty(); }

 private:
  /// vLLM runs larger prefill steps without a CUDA graph.
  static constexpr std::int64_t kGraphPrefillTokens = 64;
  static constexpr std::int64_t kLargestGraph = 512;

  /// Matrix products of one format.
  struct Linear {
    Scalar compute_us_per_token{0.0};
    Scalar weights_us{0.0};
  };

  /// Experts of one kind of layer.
  struct ExpertTimes {
    Scalar weights_us{0.0};  ///< one expert's weights in all its layers
    Scalar compute_us_per_token{0.0};
    double experts = 0.0;
    double per_token = 0.0;
    int ranks = 1;      ///< that whole experts are dealt to
    Scalar dealt{0.0};  ///< by how much their loads differ because some experts are wanted more (kernels/dealt_experts.hpp)
  };

  /// What attends to part of the context only.
  struct LimitedRead {
    ContextRead reach;
    Scalar us_per_entry{0.0};
    Scalar prefill_us_per_pair{0.0};
  };

  /// Of a step that prefills, what is not in its number of tokens.
  struct MixedTerms {
    Scaled<Scalar> kv;
    Scaled<Scalar> attention;
    Scaled<Scalar> overhead;
    Scaled<Scalar> sequences;
  };

  void set_linears(const Operators& operators, const params::Resolved<Scalar>& parameters);
  void set_experts(const Operators& operators, const params::Resolved<Scalar>& parameters);
  void set_attention(const Operators& operators, const params::Resolved<Scalar>& parameters);
  void set_states(const Operators& operators, const params::Resolved<Scalar>& parameters);
  void set_collectives(const Operators& operators, const params::Resolved<Scalar>& parameters);

  /// Reads of windows and the like by all decodes of the step, with their slope and how long it holds.
  [[nodiscard]] StepPiece<Scalar> limited_decode_reads(const Batch& batch) const;
  [[nodiscard]] Scalar limited_prefill_us(std::span<const PrefillChunk> prefills) const;
  [[nodiscard]] std::int64_t padded(std::int64_t decode_requests) const;
  // Pieces of steps that only decode, and of those that prefill. The first of each is for what is_plain_, and of a size that was
  // asked for before; it ends with what it calls, so that it needs no frame.
  [[nodiscard]] StepPiece<Scalar> decode_piece(const Scalar& work_us, const Batch& batch) const {
    const Scaled<Scalar> kv{kv_us_per_token_, static_cast<double>(batch.decode_context_tokens)};
    return {.duration_us = linear_sum(work_us, kv), .slope_us_per_token = kv_us_per_token_, .valid_steps = kEveryStep};
  }
  [[nodiscard, gnu::noinline]] StepPiece<Scalar> any_decode_piece(const Batch& batch);
  [[nodiscard, gnu::noinline]] StepPiece<Scalar> mixed_piece(const Batch& batch);
  [[nodiscard, gnu::noinline]] StepPiece<Scalar> any_mixed_piece(const Batch& batch);
  [[nodiscard]] MixedTerms mixed_terms(const Batch& batch, const PrefillSums& prefill) const {
    return {.kv = {mixed_kv_us_per_token_, static_cast<double>(batch.decode_context_tokens + prefill.context_tokens)},
            .attention = {prefill_attention_us_per_pair_, prefill.attention_pairs},
            .overhead = {step_overhead_us_, 1.0},
            .sequences = {per_sequence_us_, static_cast<double>(batch.decode_requests + std::ssize(batch.prefills))}};
  }
  /// One of several ranks: what its own tokens take, and all ranks' tokens in the experts.
  [[nodiscard]] Scalar rank_work_us(const RankTokens& given, std::int64_t tokens);
  [[nodiscard]] const Scalar& rank_decode_work_us(const Batch& batch);
  [[nodiscard]] const Scalar& rank_mixed_work_us(const Batch& batch, std::int64_t tokens);
  /// At how many tokens a rank's own layers and all ranks' experts run.
  struct Sizes {
    std::int64_t own = 0;
    std::int64_t all = 0;
  };
  [[nodiscard]] Sizes sizes_of(const RankTokens& given, std::int64_t tokens) const;
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
  /// The experts of all ranks, and the tokens' way to them and back.
  [[nodiscard]] const Scalar& shared_work_us(std::int64_t tokens);

  Scalar step_overhead_us_{0.0};  ///< everything that no batch changes
  Scalar per_sequence_us_{0.0};
  Scalar prefill_launch_us_{0.0};
  Scalar pnorm_{1.0};
  std::vector<Linear> linears_;
  Scalar activation_us_per_token_{0.0};
  Scalar kv_us_per_token_{0.0};
  Scalar mixed_kv_us_per_token_{0.0};  ///< the same in steps that also prefill
  Scalar prefill_attention_us_per_pair_{0.0};
  Scalar allreduce_latency_us_{0.0};
  Scalar allreduce_us_per_token_{0.0};
  Scalar mixed_kv_factor_{1.0};
  std::vector<LimitedRead> limited_reads_;
  Scalar scan_us_per_token_{0.0};
  std::vector<ExpertTimes> experts_;
  Scalar moe_overhead_us_{0.0};
  Scalar routing_correlation_{1.0};
  Scalar dispatch_latency_us_{0.0};
  Scalar dispatch_us_per_token_{0.0};
  Scalar rank_decode_work_us_{0.0};  ///< the last one
  Scalar rank_mixed_work_us_{0.0};   ///< likewise
  int ranks_ = 1;                    ///< data-parallel ones of one engine
  bool tensor_parallel_ = false;
  bool pads_ = false;
  bool scans_ = false;
  bool is_plain_ = false;  ///< one rank that attends to the whole context everywhere

  Remembered<Scalar> token_work_;    ///< by tokens in the step; of one of several ranks without the experts
  Remembered<Scalar> shared_work_;   ///< by tokens of all ranks
  Remembered<Scalar> decode_work_;   ///< by decoding requests
  Remembered<double> marginals_us_;  ///< of one rank, by tokens in the step
};

}  // namespace rooftune::latency
