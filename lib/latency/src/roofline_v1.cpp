#include "roofline_v1.hpp"

namespace rooftune::latency {
namespace {

// Shares of the counted bytes that reach memory, for one new token and for more (field notes, section 4).
constexpr double kKvReadShareOfOneToken = 0.80;
constexpr double kKvReadShareOfManyTokens = 0.92;
constexpr double kActivationShareOfOneToken = 0.75;
constexpr double kActivationShareOfManyTokens = 0.85;

}  // namespace

RooflineV1Work::RooflineV1Work(const domain::ModelSpec& model, Extension extension) {
  const bool extended = extension == Extension::on;
  const double layers = model.layers;
  const double hidden = model.hidden;
  const double head_dim = extended ? model.head_dim : hidden / model.heads;
  const double query_width = extended ? model.heads * head_dim : hidden;
  const double kv_width = model.kv_heads * head_dim;
  const double attention_elements = hidden * (query_width + 2.0 * kv_width) + query_width * hidden;

  attention_gemm_flops_per_token_ = layers * 2.0 * attention_elements;
  attention_flops_per_pair_ = layers * model.heads * (4.0 * head_dim + 4.0);

  // The original reads one FFN width and one number of bytes per parameter; the FFN holds most parameters.
  const bool routed = extended && model.moe.has_value();
  const int dense_width = model.ffn_width > 0 || !model.moe ? model.ffn_width : model.moe->expert_ffn_width;
  const double dense_layers = routed ? model.dense_layers() : model.layers;
  const double ffn_weight_bytes = model.widths.ffn_weight_bytes;
  const double attention_weight_bytes = extended ? model.widths.attention_weight_bytes : ffn_weight_bytes;
  const double kv_bytes = extended ? model.widths.kv_cache_bytes : ffn_weight_bytes;
  const double activation_bytes = extended ? model.widths.activation_bytes : ffn_weight_bytes;

  double active_ffn_elements = dense_layers * domain::ffn_weight_elements(model, dense_width);
  double always_read_ffn_elements = active_ffn_elements;
  if (routed) {
    const double expert_elements = model.moe->moe_layers * domain::ffn_weight_elements(model, model.moe->expert_ffn_width);
    const double shared_elements =
        model.moe->moe_layers * model.moe->shared_experts * domain::ffn_weight_elements(model, model.moe->shared_ffn_width);
    active_ffn_elements += model.moe->experts_per_token * expert_elements + shared_elements;
    always_read_ffn_elements += shared_elements;
    expert_weight_bytes_ = expert_elements * ffn_weight_bytes;
    experts_ = model.moe->experts;
    experts_per_token_ = model.moe->experts_per_token;
  }
  ffn_gemm_flops_per_token_ = 2.0 * active_ffn_elements;
  always_read_weight_bytes_ = layers * attention_elements * attention_weight_bytes + always_read_ffn_elements * ffn_weight_bytes;
  kv_bytes_per_token_ = 2.0 * layers * kv_width * kv_bytes;
  activation_bytes_per_token_ = layers * hidden * activation_bytes;
  attention_computes_fp8_ = extended && model.widths.attention_computes_fp8;
  ffn_computes_fp8_ = extended && model.widths.ffn_computes_fp8;
}

double RooflineV1Work::weight_bytes(double tokens) const {
  if (experts_ == 0.0) return always_read_weight_bytes_;
  const double distinct_experts = experts_ * (1.0 - std::pow(1.0 - experts_per_token_ / experts_, tokens));
  return always_read_weight_bytes_ + distinct_experts * expert_weight_bytes_;
}

double RooflineV1Work::decode_bytes_per_context_token() const { return kKvReadShareOfOneToken * kv_bytes_per_token_; }

RooflineV1PhaseWork RooflineV1Work::of_prefills(std::span<const PrefillChunk> prefills) const {
  RooflineV1PhaseWork work;
  for (const PrefillChunk& chunk : prefills) {
    const auto done = static_cast<double>(chunk.context_tokens);
    const auto fresh = static_cast<double>(chunk.new_tokens);
    const bool one_token = chunk.new_tokens == 1;
    const double mean_context = one_token ? done : done + (fresh - 1.0) / 2.0;
    const double kv_read_share = one_token ? kKvReadShareOfOneToken : kKvReadShareOfManyTokens;
    const double activation_share = one_token ? kActivationShareOfOneToken : kActivationShareOfManyTokens;
    work.tokens += fresh;
    work.attention_pairs += fresh * mean_context;
    work.bytes += kv_bytes_per_token_ * (fresh + done * kv_read_share) + activation_bytes_per_token_ * fresh * activation_share;
  }
  work.bytes += weight_bytes(work.tokens);
  return work;
}

RooflineV1PhaseWork RooflineV1Work::of_decodes(std::int64_t requests, std::int64_t context_tokens) const {
  const auto tokens = static_cast<double>(requests);
  const auto context = static_cast<double>(context_tokens);
  return {.tokens = tokens,
          .attention_pairs = context,
          .bytes = (kv_bytes_per_token_ + activation_bytes_per_token_ * kActivationShareOfOneToken) * tokens +
                   decode_bytes_per_context_token() * context + weight_bytes(tokens)};
}

double roofline_v1_overhead_factor(std::int64_t prefill_requests, std::int64_t decode_requests) {
  const auto requests = static_cast<double>(prefill_requests + decode_requests);
  if (requests <= 2.0) return 1.0;
  return 1.0 + 0.15 * std::log2(requests / 2.0) * (0.3 + 2.0 * static_cast<double>(decode_requests) / requests);
}

}  // namespace rooftune::latency
