#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <optional>
#include <string_view>

#include "mfu_kernel_times.hpp"
#include "mixed_rule.hpp"
#include "rank_lag.hpp"
#include "rooftune/latency/step_time.hpp"
#include "ruling_side.hpp"

namespace rooftune::latency {

/// Reads the switches of group roofline_mfu.
template <class Scalar>
[[nodiscard]] MfuOptions mfu_options(const params::Resolved<Scalar>& parameters) {
  const auto is = [&](std::string_view id, std::string_view word) { return parameters.choice(id) == word; };
  MfuOptions options;
  if (is("roofline_mfu.gemm_shapes", "seven")) options.gemm_shapes = MfuOptions::GemmShapes::seven;
  if (is("roofline_mfu.causal_mask", "full")) options.causal_mask = MfuOptions::CausalMask::full;
  if (is("roofline_mfu.prefill_bucket", "power_of_two")) options.prefill_bucket = MfuOptions::PrefillBucket::power_of_two;
  if (is("roofline_mfu.tp_split", "power")) options.tp_split = MfuOptions::TpSplit::power;
  if (is("roofline_mfu.fp8_source", "bf16_table")) options.fp8_source = MfuOptions::Fp8Source::bf16_table;
  if (is("roofline_mfu.lm_head", "off")) options.lm_head = MfuOptions::LmHead::off;
  if (is("roofline_mfu.lookup", "floor")) options.lookup = kernels::LookupMode::floor;
  if (is("roofline_mfu.lookup", "ceiling")) options.lookup = kernels::LookupMode::ceiling;
  if (is("roofline_mfu.lookup", "nearest")) options.lookup = kernels::LookupMode::nearest;
  return options;
}

/// Roofline V2: every operation takes FLOPs / (F MFU(shape)), which is the time that a kernel benchmark measured for its shape.
///
///   kernels = f_gemm (sum of a layer's GEMMs + LM head) + f_moe experts + prefill attention / divisor + f_decode decode attention
///   phase   = max(kernels / split, (weight bytes + KV bytes) / (W memory_bandwidth_fraction))     split = 1 for shards, tp^e for power
///   step    = phase over all tokens (joint), or the phases of prefills and of decodes combined by mixed_rule
///             + 2 L (f_ar all-reduce + lag(tp) skew) + t_step + L t_layer + sampler + t_seq * requests
///
/// Source: field notes, section 4; each of its review findings is a switch.
template <class Scalar>
class RooflineMfuStepTime final : public StepTime<Scalar> {
 public:
  RooflineMfuStepTime(const Target& target, const params::Resolved<Scalar>& parameters)
      : times_(target, mfu_options(parameters)),
        rows_are_tokens_(parameters.choice("roofline_mfu.gemm_rows") == "tokens"),
        has_memory_term_(parameters.is_on("roofline_mfu.memory_term")),
        gemm_factor_(parameters["roofline_mfu.gemm_time_factor"]),
        decode_attention_factor_(parameters["roofline_mfu.decode_attention_time_factor"]),
        prefill_attention_factor_(1.0 / parameters["roofline_mfu.prefill_attention_divisor"]),
        expert_factor_(parameters["roofline_mfu.moe_time_factor"]),
        all_reduce_factor_(parameters["roofline_mfu.all_reduce_time_factor"]),
        us_per_byte_(1.0 / (parameters["hardware.BwPeakTBs"] * 1e6 * parameters["roofline_mfu.memory_bandwidth_fraction"])),
        step_overhead_us_(parameters["roofline_mfu.t_step_us"] +
                          parameters["roofline_mfu.t_layer_us"] * double(target.model.layers())),
        sequence_us_(parameters["roofline_mfu.t_seq_us"]),
        mixed_exponent_(parameters["roofline_mfu.mixed_exponent"]) {
    if (target.model.sampling && target.model.sampling->truncates()) {
      const double kilotokens = target.model.vocabulary * 1e-3;
      step_overhead_us_ += parameters["roofline_mfu.sampler_us_per_kilotoken"] * kilotokens;
      sequence_us_ += parameters["roofline_mfu.sampler_seq_us_per_kilotoken"] * kilotokens;
    }
    skew_us_ = 2.0 * target.model.layers() * rank_lag(target.deployment.tp) * parameters["roofline_mfu.all_reduce_skew_us"];
    const std::string_view aggregation = parameters.choice("roofline_mfu.decode_context");
    if (aggregation == "max") decode_context_ = DecodeContext::max;
    if (aggregation == "bucketed") decode_context_ = DecodeContext::bucketed;
    const std::string_view rule = parameters.choice("roofline_mfu.mixed_rule");
    if (rule != "joint") mixed_rule_ = mixed_rule(rule);
    if (parameters.choice("roofline_mfu.tp_split") == "power") {
      using std::pow;
      const Scalar split = pow(double(target.deployment.tp), parameters["roofline_mfu.tp_exponent"]);
      for (Scalar* factor : {&gemm_factor_, &decode_attention_factor_, &prefill_attention_factor_, &expert_factor_}) *factor /= split;
    }
  }

  [[nodiscard]] bool wants_decode_contexts() const override { return decode_context_ != DecodeContext::sum; }
  [[nodiscard]] const kernels::LookupReport* lookup_report() const override { return &times_.report(); }

  [[nodiscard]] StepPiece<Scalar> piece(const Batch& batch) override {
    const Scalar outside_us = overheads_us(batch) + all_reduces_us(batch);
    if (!batch.prefills.empty()) {
      return {.duration_us = kernels_us(batch) + outside_us, .slope_us_per_token = Scalar(0.0), .valid_steps = 1};
    }
    const Terms terms = terms_of(batch);
    const Scalar kernel_slope = decode_attention_factor_ * terms.decode_attention.slope_us_per_total_token;
    const LinearSide<Scalar> kernels{.value_us = terms.kernels_us(), .slope_us_per_token = kernel_slope};
    const LinearSide<Scalar> memory{.value_us = terms.memory_us, .slope_us_per_token = times_.kv_bytes_per_token() * us_per_byte_};
    StepPiece<Scalar> piece{
        .duration_us = kernels.value_us, .slope_us_per_token = kernels.slope_us_per_token, .valid_steps = kEveryStep};
    if (has_memory_term_) piece = larger_side(kernels, memory, batch.decode_requests);
    piece.duration_us += outside_us;
    piece.valid_steps = std::min(piece.valid_steps, terms.decode_attention.valid_steps);
    return piece;
  }

  [[nodiscard]] StepBreakdown breakdown(const Batch& batch) override {
    const Terms terms = terms_of(batch);
    const double kernels_us = core::value_of(terms.kernels_us());
    const double memory_us = core::value_of(terms.memory_us);
    const double overheads_us = core::value_of(this->overheads_us(batch));
    const double all_reduces_us = core::value_of(this->all_reduces_us(batch));
    const double total_us = core::value_of(piece(batch).duration_us);
    std::string_view bound = memory_us > kernels_us ? "memory" : "kernels";
    if (overheads_us + all_reduces_us > total_us / 2.0) bound = overheads_us > all_reduces_us ? "overhead" : "all-reduce";
    return {.total_us = total_us,
            .terms = {{"linear layers", core::value_of(terms.gemms_us)},
                      {"experts", core::value_of(terms.experts_us)},
                      {"prefill attention", core::value_of(terms.prefill_attention_us)},
                      {"decode attention", core::value_of(terms.decode_attention_us)},
                      {"reading weights and KV cache", memory_us},
                      {"all-reduce", all_reduces_us},
                      {"overheads", overheads_us}},
            .bound = bound};
  }

 private:
  enum class DecodeContext { sum, max, bucketed };

  /// Decode attention of a batch, before correction factors.
  struct DecodeAttention {
    double time_us = 0.0;
    double slope_us_per_total_token = 0.0;
    std::int64_t valid_steps = kEveryStep;
  };

  /// A pass over a batch, or over one phase of it.
  struct Terms {
    Scalar gemms_us{0.0};
    Scalar experts_us{0.0};
    Scalar prefill_attention_us{0.0};
    Scalar decode_attention_us{0.0};
    Scalar memory_us{0.0};
    DecodeAttention decode_attention;

    [[nodiscard]] Scalar kernels_us() const { return gemms_us + experts_us + prefill_attention_us + decode_attention_us; }
  };

  [[nodiscard]] static std::int64_t prefill_tokens(const Batch& batch) {
    std::int64_t tokens = 0;
    for (const PrefillChunk& chunk : batch.prefills) tokens += chunk.new_tokens;
    return tokens;
  }

  [[nodiscard]] Terms terms_of(const Batch& batch) {
    const auto prefills = static_cast<std::int64_t>(batch.prefills.size());
    const std::int64_t tokens = prefill_tokens(batch) + batch.decode_requests;
    const std::int64_t sequences = prefills + batch.decode_requests;
    const std::int64_t rows = rows_are_tokens_ ? tokens : sequences;
    std::int64_t context_tokens = batch.decode_context_tokens + batch.decode_requests;
    for (const PrefillChunk& chunk : batch.prefills) context_tokens += chunk.context_tokens + chunk.new_tokens;

    Terms terms;
    terms.gemms_us = gemm_factor_ * (times_.gemms_us(rows) + times_.lm_head_us(sequences));
    terms.experts_us = expert_factor_ * times_.experts_us(rows);
    terms.prefill_attention_us = prefill_attention_factor_ * times_.prefill_attention_us(batch.prefills);
    terms.decode_attention = decode_attention(batch);
    terms.decode_attention_us = decode_attention_factor_ * terms.decode_attention.time_us;
    terms.memory_us = us_per_byte_ * (times_.weight_bytes(tokens) + times_.kv_bytes_per_token() * static_cast<double>(context_tokens));
    return terms;
  }

  [[nodiscard]] Scalar pass_us(const Batch& batch) {
    const Terms terms = terms_of(batch);
    const Scalar kernels = terms.kernels_us();
    return has_memory_term_ && core::value_of(terms.memory_us) > core::value_of(kernels) ? terms.memory_us : kernels;
  }

  /// Everything but overheads and all-reduces.
  [[nodiscard]] Scalar kernels_us(const Batch& batch) {
    if (!mixed_rule_ || batch.prefills.empty() || batch.decode_requests == 0) return pass_us(batch);
    Batch decodes = batch;
    decodes.prefills = {};
    const Scalar prefill_us = pass_us({.prefills = batch.prefills, .decode_contexts = {}});
    return combine<Scalar>(*mixed_rule_, mixed_weights(prefill_tokens(batch), batch.decode_requests), prefill_us, pass_us(decodes),
                           mixed_exponent_);
  }

  [[nodiscard]] DecodeAttention decode_attention(const Batch& batch) {
    if (batch.decode_requests == 0) return {};
    if (decode_context_ == DecodeContext::bucketed) return bucketed_decode_attention(batch);
    const auto requests = static_cast<double>(batch.decode_requests);
    // Each request also attends to the token that it computes.
    const double context_tokens =
        1.0 + (decode_context_ == DecodeContext::max ? static_cast<double>(batch.decode_max_context_tokens)
                                                     : static_cast<double>(batch.decode_context_tokens) / requests);
    const DecodeAttentionLine line = times_.decode_attention(batch.decode_requests, context_tokens);
    return {.time_us = line.time_us,
            .slope_us_per_total_token = line.slope_us_per_token / requests,
            .valid_steps = 1 + static_cast<std::int64_t>(line.tokens_to_knot)};
  }

  /// Requests in one power-of-two bucket run as if all had its largest context; buckets run one after the other.
  [[nodiscard]] DecodeAttention bucketed_decode_attention(const Batch& batch) {
    std::array<std::int64_t, 64> requests_by_bucket{};
    DecodeAttention result;
    for (const std::int64_t context : batch.decode_contexts) {
      const auto attended = static_cast<std::uint64_t>(context + 1);
      const std::uint64_t edge = std::bit_ceil(attended);
      ++requests_by_bucket[static_cast<std::size_t>(std::countr_zero(edge))];
      result.valid_steps = std::min(result.valid_steps, static_cast<std::int64_t>(edge - attended) + 1);
    }
    for (std::size_t bucket = 0; bucket < requests_by_bucket.size(); ++bucket) {
      if (requests_by_bucket[bucket] == 0) continue;
      result.time_us += times_.decode_attention(requests_by_bucket[bucket], std::exp2(static_cast<double>(bucket))).time_us;
    }
    return result;
  }

  [[nodiscard]] Scalar overheads_us(const Batch& batch) const {
    return step_overhead_us_ +
           sequence_us_ * static_cast<double>(static_cast<std::int64_t>(batch.prefills.size()) + batch.decode_requests);
  }
  [[nodiscard]] Scalar all_reduces_us(const Batch& batch) {
    return all_reduce_factor_ * times_.all_reduces_us(prefill_tokens(batch) + batch.decode_requests) + skew_us_;
  }

  MfuKernelTimes times_;
  bool rows_are_tokens_;
  bool has_memory_term_;
  DecodeContext decode_context_ = DecodeContext::sum;
  std::optional<MixedRule> mixed_rule_;  ///< empty: one pass over all tokens
  Scalar gemm_factor_;
  Scalar decode_attention_factor_;
  Scalar prefill_attention_factor_;
  Scalar expert_factor_;
  Scalar all_reduce_factor_;
  Scalar skew_us_{0.0};  ///< of all layers
  Scalar us_per_byte_;
  Scalar step_overhead_us_;
  Scalar sequence_us_;
  Scalar mixed_exponent_;
};

}  // namespace rooftune::latency
