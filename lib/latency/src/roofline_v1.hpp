#pragma once

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include "mixed_rule.hpp"
#include "rooftune/core/derivative.hpp"
#include "rooftune/core/units.hpp"
#include "rooftune/latency/operators.hpp"
#include "rooftune/latency/step_time.hpp"
#include "ruling_side.hpp"

namespace rooftune::latency {

/// What one phase (all prefills of a step, or all its decodes) asks of the hardware, over all layers and before any split
/// by tensor parallelism. Plain numbers: work does not depend on parameters.
struct RooflineV1PhaseWork {
  double tokens = 0.0;           ///< new tokens
  double attention_pairs = 0.0;  ///< pairs of a new token and a context token
  double bytes = 0.0;            ///< KV cache, activations and weights
};

/// Roofline V1's counts for one model. The original formula knows dense models of one weight width with h * dh = d;
/// the extension (switch roofline_v1.extension) reads the same symbols from the model as it is:
///   gemm FLOPs per token   L (2 (d*hq + 2 d*dkv) + 2 d*hq) + 2*3*d * (FFN width that one token passes),  hq = h dh or d;
///                          with extension the same matrices as every model sees (operators.hpp), whatever their widths
///   attention per pair     L h (4 dh + 4)
///   KV bytes per token     2 L dkv w
///   activations per token  L d w
///   weights                L w (d (hq + 2 dkv) + hq d) + 3 d w * (FFN width that is resident and touched)
/// No LM head, no embeddings, no router. Dense bf16 models with h dh = d give the same bits with and without extension.
class RooflineV1Work {
 public:
  enum class Extension { off, on };
  RooflineV1Work(const domain::ModelSpec& model, Extension extension);

  [[nodiscard]] RooflineV1PhaseWork of_prefills(std::span<const PrefillChunk> prefills) const;
  [[nodiscard]] RooflineV1PhaseWork of_decodes(std::int64_t requests, std::int64_t context_tokens) const;

  [[nodiscard]] double bf16_gemm_flops_per_token() const { return bf16_gemm_flops_per_token_; }
  /// Of products that a GPU with FP8 units computes on those.
  [[nodiscard]] double fp8_gemm_flops_per_token() const { return fp8_gemm_flops_per_token_; }
  [[nodiscard]] double attention_flops_per_pair() const { return attention_flops_per_pair_; }
  [[nodiscard]] double decode_bytes_per_context_token() const;

 private:
  /// Weights that a phase of this many tokens reads: experts that no token chose stay untouched.
  [[nodiscard]] double weight_bytes(double tokens) const;

  double bf16_gemm_flops_per_token_ = 0.0;
  double fp8_gemm_flops_per_token_ = 0.0;
  double attention_flops_per_pair_ = 0.0;
  double kv_bytes_per_token_ = 0.0;
  double activation_bytes_per_token_ = 0.0;
  double always_read_weight_bytes_ = 0.0;  ///< attention, dense FFN, shared experts
  double expert_weight_bytes_ = 0.0;       ///< one routed expert, over all MoE layers
  double experts_ = 0.0;                   ///< routed experts per layer; 0: dense model
  double experts_per_token_ = 0.0;
};

/// Multiplier of TOverheadMicros: 1 up to two requests, then growing with their number and the share that decodes.
[[nodiscard]] double roofline_v1_overhead_factor(std::int64_t prefill_requests, std::int64_t decode_requests);

/// Roofline V1, the first calibrated formula of the Go simulator family. Times in us, rates per us:
///   T_phase = max(gemm / (tp^a F mfu) + attention / (tp^a F vectorPeakFraction),  bytes / (tp^e W bandwidth factors))
///     prefill: a = tpScalingExponent, e = 1;  decode: a = e = decodeTpScalingExponent
///   step    = mixed(T_prefill, T_decode) [weighted mean; switch mixed_rule] + 2 L allReduceLatency [tp > 1] + TOverheadMicros * overhead factor
///             + prefill requests * (prefillOverheadMicros or mixedPrefillOverheadMicros)
/// Source: field notes, section 4, which lists worked values.
template <class Scalar>
class RooflineV1StepTime final : public StepTime<Scalar> {
 public:
  RooflineV1StepTime(const Target& target, const params::Resolved<Scalar>& parameters)
      : work_(target.model,
              parameters.is_on("roofline_v1.extension") ? RooflineV1Work::Extension::on : RooflineV1Work::Extension::off),
        step_overhead_us_(parameters["roofline_v1.TOverheadMicros"]),
        prefill_overhead_us_(parameters["roofline_v1.prefillOverheadMicros"]),
        mixed_prefill_overhead_us_(parameters["roofline_v1.mixedPrefillOverheadMicros"]),
        mixed_rule_(mixed_rule(parameters.choice("roofline_v1.mixed_rule"))),
        mixed_exponent_(parameters["roofline_v1.mixed_exponent"]),
        rounds_to_us_(parameters.is_on("roofline_v1.round_to_us")) {
    const double tp = target.deployment.tp;
    if (target.deployment.tp > 1) all_reduce_us_ = 2.0 * target.model.layers() * parameters["roofline_v1.allReduceLatency"];

    using std::pow;
    const Scalar prefill_split = pow(tp, parameters["roofline_v1.tpScalingExponent"]);
    const Scalar decode_split = pow(tp, parameters["roofline_v1.decodeTpScalingExponent"]);
    const Scalar peak_flops_per_us = parameters["hardware.TFlopsPeak"] * 1e6;
    const Scalar bytes_per_us = parameters["hardware.BwPeakTBs"] * 1e6 * parameters["roofline_v1.BwEffConstant"];
    const Scalar vector_flops_per_us = peak_flops_per_us * parameters["roofline_v1.vectorPeakFraction"];

    // FLOPs as if all were bf16: FP8 products count for less where the GPU computes them faster.
    const Scalar& fp8_peak = parameters["hardware.TFlopsFP8"];
    const bool gpu_has_fp8 = core::value_of(fp8_peak) > 0.0;
    const double fp8_flops = work_.fp8_gemm_flops_per_token();
    const Scalar gemm_flops_per_token = work_.bf16_gemm_flops_per_token() +
                                        (gpu_has_fp8 ? fp8_flops * parameters["hardware.TFlopsPeak"] / fp8_peak : Scalar(fp8_flops));

    const Scalar prefill_mfu = parameters["roofline_v1.mfuPrefill"] * parameters["roofline_v1.mfuPrefillMultiplier"];
    prefill_ = {.us_per_token = gemm_flops_per_token / (prefill_split * peak_flops_per_us * prefill_mfu),
                .us_per_pair = work_.attention_flops_per_pair() / (prefill_split * vector_flops_per_us),
                .us_per_byte = 1.0 / (tp * bytes_per_us * parameters["roofline_v1.prefillBwFactor"])};
    const Scalar decode_mfu = parameters["roofline_v1.mfuDecode"] * parameters["roofline_v1.mfuDecodeMultiplier"];
    decode_ = {.us_per_token = gemm_flops_per_token / (decode_split * peak_flops_per_us * decode_mfu),
               .us_per_pair = work_.attention_flops_per_pair() / (decode_split * vector_flops_per_us),
               .us_per_byte = 1.0 / (decode_split * bytes_per_us * parameters["roofline_v1.decodeBwFactor"])};
    decode_memory_slope_us_per_token_ = work_.decode_bytes_per_context_token() * decode_.us_per_byte;

    for (std::int64_t requests = 0; requests <= target.deployment.settings.max_num_seqs; ++requests) {
      pure_decodes_.push_back(
          {.work_without_context = work_.of_decodes(requests, 0), .overhead_factor = roofline_v1_overhead_factor(0, requests)});
    }
  }

  [[nodiscard]] StepPiece<Scalar> piece(const Batch& batch) override {
    if (batch.prefills.empty()) return decode_piece(batch.decode_requests, batch.decode_context_tokens);
    return {.duration_us = rounded(phases_us(batch) + overheads_us(batch)), .slope_us_per_token = Scalar(0.0), .valid_steps = 1};
  }

  [[nodiscard]] StepBreakdown breakdown(const Batch& batch) override {
    const PhaseTime prefill = prefill_time(batch);
    const PhaseTime decode = decode_time(batch);
    const double overheads_us = core::value_of(this->overheads_us(batch));
    const double phases_us = core::value_of(this->phases_us(batch));
    const PhaseTime& longer = core::value_of(prefill.ruling_us()) > core::value_of(decode.ruling_us()) ? prefill : decode;
    std::string_view bound = longer.is_compute_bound() ? "compute" : "memory";
    if (overheads_us > phases_us) bound = "overhead";
    return {.total_us = core::value_of(rounded(this->phases_us(batch) + this->overheads_us(batch))),
            .terms = {{"prefill compute", core::value_of(prefill.compute_us)},
                      {"prefill memory", core::value_of(prefill.memory_us)},
                      {"decode compute", core::value_of(decode.compute_us)},
                      {"decode memory", core::value_of(decode.memory_us)},
                      {"phases combined", phases_us},
                      {"overheads and all-reduce", overheads_us}},
            .bound = bound};
  }

 private:
  struct PhaseRates {
    Scalar us_per_token{0.0};
    Scalar us_per_pair{0.0};
    Scalar us_per_byte{0.0};
  };
  struct PhaseTime {
    Scalar compute_us{0.0};
    Scalar memory_us{0.0};

    [[nodiscard]] bool is_compute_bound() const { return core::value_of(compute_us) > core::value_of(memory_us); }
    [[nodiscard]] const Scalar& ruling_us() const { return is_compute_bound() ? compute_us : memory_us; }
  };
  /// What a step without prefills needs that depends on its number of requests alone.
  struct PureDecode {
    RooflineV1PhaseWork work_without_context;
    double overhead_factor = 1.0;
  };

  [[nodiscard]] static PhaseTime time_of(const RooflineV1PhaseWork& work, const PhaseRates& rates) {
    return {.compute_us = work.tokens * rates.us_per_token + work.attention_pairs * rates.us_per_pair,
            .memory_us = work.bytes * rates.us_per_byte};
  }
  [[nodiscard]] PhaseTime prefill_time(const Batch& batch) const {
    return batch.prefills.empty() ? PhaseTime{} : time_of(work_.of_prefills(batch.prefills), prefill_);
  }
  [[nodiscard]] PhaseTime decode_time(const Batch& batch) const {
    if (batch.decode_requests == 0) return {};
    return time_of(work_.of_decodes(batch.decode_requests, batch.decode_context_tokens), decode_);
  }

  [[nodiscard]] Scalar phases_us(const Batch& batch) const {
    if (batch.prefills.empty()) return decode_time(batch).ruling_us();
    if (batch.decode_requests == 0) return prefill_time(batch).ruling_us();
    std::int64_t prefill_tokens = 0;
    for (const PrefillChunk& chunk : batch.prefills) prefill_tokens += chunk.new_tokens;
    return combine<Scalar>(mixed_rule_, mixed_weights(prefill_tokens, batch.decode_requests), prefill_time(batch).ruling_us(),
                           decode_time(batch).ruling_us(), mixed_exponent_);
  }

  [[nodiscard]] Scalar overheads_us(const Batch& batch) const {
    const auto prefill_requests = static_cast<std::int64_t>(batch.prefills.size());
    const Scalar& per_prefill_us = batch.decode_requests == 0 ? prefill_overhead_us_ : mixed_prefill_overhead_us_;
    return all_reduce_us_ + step_overhead_us_ * roofline_v1_overhead_factor(prefill_requests, batch.decode_requests) +
           static_cast<double>(prefill_requests) * per_prefill_us;
  }

  [[nodiscard]] StepPiece<Scalar> decode_piece(std::int64_t requests, std::int64_t context_tokens) const {
    const auto index = static_cast<std::size_t>(requests);
    const PureDecode fixed = index < pure_decodes_.size()
                                 ? pure_decodes_[index]
                                 : PureDecode{work_.of_decodes(requests, 0), roofline_v1_overhead_factor(0, requests)};
    const PhaseTime at_no_context = time_of(fixed.work_without_context, decode_);
    const auto context = static_cast<double>(context_tokens);
    const LinearSide<Scalar> compute{.value_us = at_no_context.compute_us + context * decode_.us_per_pair,
                                     .slope_us_per_token = decode_.us_per_pair};
    const LinearSide<Scalar> memory{.value_us = at_no_context.memory_us + context * decode_memory_slope_us_per_token_,
                                    .slope_us_per_token = decode_memory_slope_us_per_token_};
    StepPiece<Scalar> piece = larger_side(memory, compute, requests);
    piece.duration_us += all_reduce_us_ + step_overhead_us_ * fixed.overhead_factor;
    if (!rounds_to_us_) return piece;
    return {.duration_us = rounded(piece.duration_us), .slope_us_per_token = Scalar(0.0), .valid_steps = 1};
  }

  /// Whole microseconds where asked for; derivatives pass through as if it were not rounded.
  [[nodiscard]] Scalar rounded(const Scalar& duration_us) const {
    if (!rounds_to_us_) return duration_us;
    return duration_us + (std::round(core::value_of(duration_us)) - core::value_of(duration_us));
  }

  RooflineV1Work work_;
  PhaseRates prefill_;
  PhaseRates decode_;
  Scalar decode_memory_slope_us_per_token_{0.0};
  Scalar all_reduce_us_{0.0};
  Scalar step_overhead_us_;
  Scalar prefill_overhead_us_;
  Scalar mixed_prefill_overhead_us_;
  MixedRule mixed_rule_;
  Scalar mixed_exponent_;
  bool rounds_to_us_;
  std::vector<PureDecode> pure_decodes_;  ///< by number of requests, up to the engine's max_num_seqs
};

}  // namespace rooftune::latency
