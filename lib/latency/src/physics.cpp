#include "physics.hpp"

#include <algorithm>
#include <cmath>

#include "linear_sum.hpp"
#include "rank_lag.hpp"
#include "rooftune/core/units.hpp"

namespace rooftune::latency {
namespace {

/// Elements that one token moves through memory outside of matrix products and attention: two residual additions with their
/// norms (each reads two rows and writes two), rotary embedding of queries and keys, and the gate of the FFN.
double activation_elements(const domain::ModelSpec& model, double tp) {
  const double norms = 8.0 * model.hidden;
  const double rotary = 2.0 * (model.heads + model.kv_heads) * model.head_dim / tp;
  double gates = 3.0 * model.dense_layers() * model.ffn_width;
  if (model.moe) {
    const domain::MoeSpec& moe = *model.moe;
    gates += 3.0 * moe.moe_layers * (moe.experts_per_token * moe.expert_ffn_width + moe.shared_experts * moe.shared_ffn_width);
  }
  return model.layers * (norms + rotary) + gates / tp;
}

/// FP8 linear layers of one step: QKV and O, gate-up and down (fused experts not counted).
double fp8_calls(const domain::ModelSpec& model) {
  double calls = 0.0;
  if (model.widths.attention_computes_fp8) calls += 2.0 * model.layers;
  if (model.widths.ffn_computes_fp8) {
    calls += 2.0 * model.dense_layers();
    if (model.moe && model.moe->shared_experts > 0) calls += 2.0 * model.moe->moe_layers;
  }
  return calls;
}

}  // namespace

template <class Scalar>
PhysicsStepTime<Scalar>::PhysicsStepTime(const Target& target, const params::Resolved<Scalar>& parameters) {
  const domain::ModelSpec& model = target.model;
  const auto p = [&](std::string_view id) -> const Scalar& { return parameters[id]; };
  const double layers = model.layers;
  const double tp = target.deployment.tp;

  const Scalar bf16_flops_per_us = p("hardware.TFlopsPeak") * 1e6;
  const bool has_fp8 = core::value_of(p("hardware.TFlopsFP8")) > 0.0;
  const auto peak_flops_per_us = [&](bool computes_fp8) {
    return computes_fp8 && has_fp8 ? p("hardware.TFlopsFP8") * 1e6 : bf16_flops_per_us;
  };
  const auto gemm_flops_per_us = [&](bool computes_fp8) -> Scalar {
    return peak_flops_per_us(computes_fp8) * p(computes_fp8 && has_fp8 ? "physics.fp8_gemm_fraction" : "physics.gemm_fraction") * tp;
  };
  const Scalar bytes_per_us = p("hardware.BwPeakTBs") * 1e6;
  const Scalar weight_bytes_per_us = bytes_per_us * p("physics.weight_bandwidth_fraction") * tp;
  pnorm_ = p("physics.pnorm");

  const double attention_elements = layers * domain::attention_weight_elements(model);
  attention_linear_.compute_us_per_token = 2.0 * attention_elements / gemm_flops_per_us(model.widths.attention_computes_fp8);
  attention_linear_.weights_us = attention_elements * model.widths.attention_weight_bytes / weight_bytes_per_us;

  double ffn_elements = model.dense_layers() * domain::ffn_weight_elements(model, model.ffn_width);
  if (model.moe) {
    const domain::MoeSpec& moe = *model.moe;
    ffn_elements += moe.moe_layers * moe.shared_experts * domain::ffn_weight_elements(model, moe.shared_ffn_width);
    mixture_ = true;
    experts_ = moe.experts;
    experts_per_token_ = moe.experts_per_token;
    const double expert_elements = moe.moe_layers * domain::ffn_weight_elements(model, moe.expert_ffn_width);
    const bool fp8_experts = model.widths.ffn_computes_fp8 && has_fp8;
    expert_weights_us_ =
        expert_elements * model.widths.ffn_weight_bytes /
        (bytes_per_us * p(fp8_experts ? "physics.moe_fp8_weight_bandwidth_fraction" : "physics.moe_weight_bandwidth_fraction") * tp);
    const Scalar& grouped_fraction = p(fp8_experts ? "physics.moe_fp8_gemm_fraction" : "physics.moe_gemm_fraction");
    expert_compute_us_per_token_ =
        2.0 * experts_per_token_ * expert_elements / (peak_flops_per_us(model.widths.ffn_computes_fp8) * grouped_fraction * tp);
    moe_overhead_us_ = p("physics.moe_layer_us") * static_cast<double>(moe.moe_layers);
    routing_correlation_ = p("physics.moe_routing_correlation");
  }
  ffn_linear_.compute_us_per_token = 2.0 * ffn_elements / gemm_flops_per_us(model.widths.ffn_computes_fp8);
  ffn_linear_.weights_us = ffn_elements * model.widths.ffn_weight_bytes / weight_bytes_per_us;

  // The LM head runs on one row per sequence: at serving batch sizes its weights' stream is what counts.
  const double lm_head_bytes = static_cast<double>(model.vocabulary) * model.hidden * model.widths.embedding_bytes;
  step_overhead_us_ = p("physics.t_step_us") + p("physics.t_layer_us") * layers + lm_head_bytes / weight_bytes_per_us;
  if (has_fp8) step_overhead_us_ += p("physics.fp8_call_us") * fp8_calls(model);
  per_sequence_us_ = p("physics.t_seq_us");
  if (parameters.is_on("physics.sampler") && model.sampling && model.sampling->truncates()) {
    const double kilotokens = model.vocabulary * 1e-3;
    step_overhead_us_ += p("physics.sampler_us_per_kilotoken") * kilotokens;
    per_sequence_us_ += p("physics.sampler_seq_us_per_kilotoken") * kilotokens;
  }
  prefill_launch_us_ = p("physics.prefill_layer_us") * layers;

  // A GPU holds at least one KV head: with tp above the number of KV heads they are replicated.
  const double kv_heads_per_gpu = std::max(1.0, model.kv_heads / tp);
  const double kv_bytes_per_gpu = 2.0 * layers * kv_heads_per_gpu * model.head_dim * model.widths.kv_cache_bytes;
  kv_us_per_token_ = kv_bytes_per_gpu / (bytes_per_us * p("physics.kv_bandwidth_fraction"));
  mixed_kv_us_per_token_ = kv_us_per_token_ * p("physics.mixed_kv_factor");
  const double flops_per_pair = 4.0 * layers * model.heads * model.head_dim / tp;
  prefill_attention_us_per_pair_ = flops_per_pair / (bf16_flops_per_us * p("physics.prefill_attention_fraction"));

  if (target.deployment.tp > 1) {
    tensor_parallel_ = true;
    allreduce_latency_us_ =
        2.0 * layers * (p("physics.allreduce_us") + rank_lag(target.deployment.tp) * p("physics.allreduce_skew_us"));
    const double ring_bytes_per_token = 2.0 * (tp - 1.0) / tp * model.hidden * model.widths.activation_bytes;
    allreduce_us_per_token_ = 2.0 * layers * ring_bytes_per_token / (p("hardware.link_GBs") * 1e3 * p("physics.allreduce_fraction"));
  }
  activation_us_per_token_ =
      activation_elements(model, tp) * model.widths.activation_bytes / (bytes_per_us * p("physics.weight_bandwidth_fraction"));
  pads_ = parameters.choice("engine.graph_padding") != "off";
}

template <class Scalar>
typename PhysicsStepTime<Scalar>::PrefillSums PhysicsStepTime<Scalar>::sum(std::span<const PrefillChunk> prefills) {
  PrefillSums sums;
  for (const PrefillChunk& chunk : prefills) {
    sums.tokens += chunk.new_tokens;
    sums.context_tokens += chunk.context_tokens;
    const auto tokens = static_cast<double>(chunk.new_tokens);
    sums.attention_pairs += tokens * (static_cast<double>(chunk.context_tokens) + 0.5 * tokens);
  }
  return sums;
}

/// vLLM's default cudagraph_capture_sizes: 1, 2, 4, then multiples of 8 up to 256, then of 16 up to 512.
template <class Scalar>
std::int64_t PhysicsStepTime<Scalar>::padded(std::int64_t decode_requests) const {
  if (!pads_ || decode_requests <= 2) return decode_requests;
  if (decode_requests <= 4) return 4;
  if (decode_requests <= 256) return (decode_requests + 7) / 8 * 8;
  if (decode_requests <= 512) return (decode_requests + 15) / 16 * 16;
  return decode_requests;
}

template <class Scalar>
Scalar PhysicsStepTime<Scalar>::linear_us(std::int64_t tokens) const {
  const auto n = static_cast<double>(tokens);
  return p_norm<Scalar>(n * attention_linear_.compute_us_per_token, attention_linear_.weights_us, pnorm_) +
         p_norm<Scalar>(n * ffn_linear_.compute_us_per_token, ffn_linear_.weights_us, pnorm_);
}

/// Experts that n tokens reach: E (1 - (1 - k/E)^(rho n)), independent uniform routing corrected by rho.
template <class Scalar>
Scalar PhysicsStepTime<Scalar>::moe_us(std::int64_t tokens) const {
  using std::exp;
  const auto n = static_cast<double>(tokens);
  const double log_missed = std::log1p(-experts_per_token_ / experts_);
  const Scalar distinct = experts_ * (1.0 - exp(routing_correlation_ * (n * log_missed)));
  return moe_overhead_us_ + p_norm<Scalar>(n * expert_compute_us_per_token_, distinct * expert_weights_us_, pnorm_);
}

template <class Scalar>
Scalar PhysicsStepTime<Scalar>::allreduce_us(std::int64_t tokens) const {
  return allreduce_latency_us_ + static_cast<double>(tokens) * allreduce_us_per_token_;
}

template <class Scalar>
const Scalar& PhysicsStepTime<Scalar>::find_token_work_us(std::int64_t tokens) {
  Scalar work = linear_us(tokens) + static_cast<double>(tokens) * activation_us_per_token_;
  if (mixture_) work += moe_us(tokens);
  if (tensor_parallel_) work += allreduce_us(tokens);
  return token_work_.keep(tokens, work);
}

template <class Scalar>
const Scalar& PhysicsStepTime<Scalar>::find_decode_work_us(std::int64_t requests) {
  return decode_work_.keep(requests, linear_sum(token_work_us(padded(requests)), Scaled<Scalar>{step_overhead_us_, 1.0},
                                                Scaled<Scalar>{per_sequence_us_, static_cast<double>(requests)}));
}

template <class Scalar>
StepPiece<Scalar> PhysicsStepTime<Scalar>::piece(const Batch& batch) {
  if (!batch.prefills.empty()) return mixed_piece(batch);
  const Scaled<Scalar> kv{kv_us_per_token_, static_cast<double>(batch.decode_context_tokens)};
  return {.duration_us = linear_sum(decode_work_us(batch.decode_requests), kv),
          .slope_us_per_token = kv_us_per_token_,
          .valid_steps = kEveryStep};
}

template <class Scalar>
StepPiece<Scalar> PhysicsStepTime<Scalar>::mixed_piece(const Batch& batch) {
  const PrefillSums prefill = sum(batch.prefills);
  const auto sequences = static_cast<double>(batch.decode_requests + static_cast<std::int64_t>(batch.prefills.size()));
  const Scalar& token_work = token_work_us(padded(batch.decode_requests + prefill.tokens));
  const Scaled<Scalar> kv{mixed_kv_us_per_token_, static_cast<double>(batch.decode_context_tokens + prefill.context_tokens)};
  const Scaled<Scalar> attention{prefill_attention_us_per_pair_, prefill.attention_pairs};
  const Scaled<Scalar> overhead{step_overhead_us_, 1.0};
  const Scaled<Scalar> per_sequence{per_sequence_us_, sequences};
  if (prefill.tokens <= kGraphPrefillTokens) {
    return {.duration_us = linear_sum(token_work, kv, attention, overhead, per_sequence),
            .slope_us_per_token = mixed_kv_us_per_token_};
  }
  const Scalar gpu_us = linear_sum(token_work, kv, attention);
  return {.duration_us = linear_sum(p_norm<Scalar>(gpu_us, prefill_launch_us_, Scalar(kLaunchNorm)), overhead, per_sequence),
          .slope_us_per_token = mixed_kv_us_per_token_};
}

template <class Scalar>
double PhysicsStepTime<Scalar>::duration_us(const Batch& batch) {
  using core::value_of;
  if (!batch.prefills.empty()) return value_of(piece(batch).duration_us);
  return value_of(decode_work_us(batch.decode_requests)) +
         value_of(kv_us_per_token_) * static_cast<double>(batch.decode_context_tokens);
}

template <class Scalar>
double PhysicsStepTime<Scalar>::decode_marginal_us(const Batch& batch) {
  // What one more takes, as masses count requests that come in addition. Where batches are padded, over a whole padding and
  // to both sides: its steps average out.
  const std::int64_t tokens = batch.decode_requests + sum(batch.prefills).tokens;
  const std::int64_t reach = pads_ ? 8 : 1;
  const std::int64_t lower = pads_ ? std::max<std::int64_t>(1, tokens - reach) : tokens;
  const double above_us = core::value_of(token_work_us(padded(tokens + reach)));
  const double below_us = core::value_of(token_work_us(padded(lower)));
  return core::value_of(per_sequence_us_) + (above_us - below_us) / static_cast<double>(tokens + reach - lower);
}

template <class Scalar>
StepBreakdown PhysicsStepTime<Scalar>::breakdown(const Batch& batch) {
  using core::value_of;
  const PrefillSums prefill = sum(batch.prefills);
  const std::int64_t tokens = padded(batch.decode_requests + prefill.tokens);
  const auto n = static_cast<double>(tokens);
  const auto sequences = static_cast<double>(batch.decode_requests + static_cast<std::int64_t>(batch.prefills.size()));
  const double compute_us = n * value_of(attention_linear_.compute_us_per_token + ffn_linear_.compute_us_per_token);
  const double weights_us = value_of(attention_linear_.weights_us + ffn_linear_.weights_us);
  const Scalar& kv_us_per_token = batch.prefills.empty() ? kv_us_per_token_ : mixed_kv_us_per_token_;
  const double kv_us = value_of(kv_us_per_token) * static_cast<double>(batch.decode_context_tokens + prefill.context_tokens);
  StepBreakdown result;
  result.total_us = value_of(piece(batch).duration_us);
  result.terms = {{"overhead", value_of(step_overhead_us_)},
                  {"sequences", value_of(per_sequence_us_) * sequences},
                  {"linear", value_of(linear_us(tokens))},
                  {"activations", n * value_of(activation_us_per_token_)},
                  {"kv_reads", kv_us},
                  {"prefill_attention", value_of(prefill_attention_us_per_pair_) * prefill.attention_pairs},
                  {"allreduce", tensor_parallel_ ? value_of(allreduce_us(tokens)) : 0.0},
                  {"moe", mixture_ ? value_of(moe_us(tokens)) : 0.0},
                  {"prefill_launch", prefill.tokens > kGraphPrefillTokens ? value_of(prefill_launch_us_) : 0.0}};
  const double memory_us = weights_us + kv_us;
  const double busy_us = std::max(compute_us, memory_us);
  result.bound = busy_us < 0.5 * result.total_us ? "overhead" : (compute_us > memory_us ? "compute" : "memory");
  return result;
}

template class PhysicsStepTime<double>;
template class PhysicsStepTime<core::Dual<core::kNarrowWidth>>;
template class PhysicsStepTime<core::Dual<core::kMediumWidth>>;
template class PhysicsStepTime<core::Dual<core::kWideWidth>>;

}  // namespace rooftune::latency
