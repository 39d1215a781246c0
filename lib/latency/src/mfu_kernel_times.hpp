#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rooftune/kernels/kernel_tables.hpp"
#include "rooftune/latency/operators.hpp"
#include "rooftune/latency/step_time.hpp"

namespace rooftune::latency {

/// The structural choices of roofline_mfu; the registry says what each means.
struct MfuOptions {
  enum class GemmShapes { fused, seven };
  enum class CausalMask { half, full };
  enum class PrefillBucket { off, power_of_two };
  enum class TpSplit { shards, power };
  enum class Fp8Source { fp8_table, bf16_table };
  enum class LmHead { off, on };

  GemmShapes gemm_shapes = GemmShapes::fused;
  CausalMask causal_mask = CausalMask::half;
  PrefillBucket prefill_bucket = PrefillBucket::off;
  TpSplit tp_split = TpSplit::shards;
  Fp8Source fp8_source = Fp8Source::fp8_table;
  LmHead lm_head = LmHead::on;
  kernels::LookupMode lookup = kernels::LookupMode::interpolate;
};

/// Decode attention as a straight line in the context of one sequence, up to the next knot.
struct DecodeAttentionLine {
  double time_us = 0.0;
  double slope_us_per_token = 0.0;  ///< per token of one sequence's context, all sequences growing together
  double tokens_to_knot = 0.0;      ///< context that may be added before the line ends
};

/// What measured kernels say about one deployment: plain times of all layers together, before any correction factor.
/// Times that depend on a number of tokens or sequences alone are remembered.
class MfuKernelTimes {
 public:
  MfuKernelTimes(const Target& target, const MfuOptions& options);

  /// Which table is missing for this target ("no bf16 GEMM table"), or nothing.
  [[nodiscard]] static std::optional<std::string> missing_table(const Target& target);

  /// Linear layers over `rows` tokens, LM head left out.
  [[nodiscard]] double gemms_us(std::int64_t rows);
  /// Fused expert layers over `tokens`; 0 for dense models.
  [[nodiscard]] double experts_us(std::int64_t tokens);
  [[nodiscard]] double lm_head_us(std::int64_t sequences);
  [[nodiscard]] double all_reduces_us(std::int64_t tokens);
  /// A chunk with context computes as many query-key pairs as some prompt from scratch, and takes as long as that: tables have
  /// no rows with cached prefixes.
  [[nodiscard]] double prefill_attention_us(std::span<const PrefillChunk> prefills);
  /// `sequences` with the same context each. Knots lie at every half power of two.
  [[nodiscard]] DecodeAttentionLine decode_attention(std::int64_t sequences, double context_tokens);
  /// Bytes that one GPU reads for a step over `tokens`: weights (experts that no token chose stay untouched) and KV cache.
  [[nodiscard]] double weight_bytes(std::int64_t tokens) const;
  [[nodiscard]] double kv_bytes_per_token() const { return kv_bytes_per_token_; }

  [[nodiscard]] const kernels::LookupReport& report() const { return report_; }

 private:
  /// One matrix product per layer, in so many layers.
  struct Product {
    kernels::CurveLookup lookup;
    double repeats = 1.0;  ///< layers, and a factor for a format that was not measured
  };
  /// A value per number of tokens, filled when first asked for.
  class Remembered {
   public:
    template <class Compute>
    double operator()(std::int64_t index, const Compute& compute) {
      const auto slot = static_cast<std::size_t>(index);
      if (slot >= kSize) return compute();
      if (values_.empty()) values_.assign(kSize, -1.0);
      if (values_[slot] < 0.0) values_[slot] = compute();
      return values_[slot];
    }

   private:
    static constexpr std::size_t kSize = 640;  // decode batches and small mixed steps; larger prefills come as they come
    std::vector<double> values_;
  };

  void add_gemm(const Target& target, const Gemm& gemm, const kernels::HeadShape& heads);
  void add_product(const Target& target, bool fp8, std::int64_t n, std::int64_t k, double repeats);
  [[nodiscard]] double decode_attention_at_knot_us(std::int64_t sequences, int knot);

  MfuOptions options_;
  kernels::LookupReport report_;
  std::vector<Product> products_;
  std::optional<Product> experts_;
  std::optional<Product> lm_head_;
  std::optional<kernels::CurveLookup> all_reduce_;
  kernels::GridLookup context_attention_;
  kernels::GridLookup generation_attention_;
  double layers_ = 0.0;
  double all_reduce_bytes_per_token_ = 0.0;
  double fixed_weight_bytes_ = 0.0;
  double expert_weight_bytes_ = 0.0;
  double expert_count_ = 0.0;
  double experts_per_token_ = 0.0;
  double kv_bytes_per_token_ = 0.0;
  Remembered gemms_us_;
  Remembered experts_us_;
  Remembered lm_head_us_;
  Remembered all_reduces_us_;
  std::vector<std::vector<double>> decode_attention_us_;  ///< by sequences, then knot; negative: not yet asked for
};

}  // namespace rooftune::latency
