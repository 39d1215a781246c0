#include "roofline_v1.hpp"

namespace rooftune::latency {
namespace {

// Shares of the counted bytes that reach memory, for one new token and for more (field notes, section 4).
constexpr double kKvReadShareOfOneToken = 0.80;
constexpr double kKvReadShareOfManyTokens = 0.92;
constexpr double kActivationShareOfOneToken = 0.75;
constexpr double kActivationShareOfManyTokens = 0.85;

/// The original formula of one dense model: one FFN width, one number of bytes per parameter, h * dh = d.
struct Original {
  explicit Original(const domain::ModelSpec& model) {
    const domain::Mixer* attention = model.attention();
    const domain::Experts* experts = model.experts();
    if (attention != nullptr) {
      heads = attention->heads;
      kv_width = attention->kv_heads * model.hidden / heads;
    }
    ffn_width = model.ffn_width() > 0 || experts == nullptr ? model.ffn_width() : experts->width;
    // The FFN holds most parameters.
    if (experts != nullptr) {
      bytes = experts->stored.bytes;
    } else if (!model.groups.empty() && !model.groups.front().layer.ffn.linears.empty()) {
      bytes = model.groups.front().layer.ffn.linears.front().stored.bytes;
    }
  }

  double heads = 1.0;
  double kv_width = 0.0;
  double ffn_width = 0.0;
  double bytes = 2.0;
};

bool is_counted(const domain::Linear& linear) { return linear.name != kRouterName; }

bool computes_fp8(const domain::Stored& stored) { return compute_format(stored.format, {.fp8 = true}) == ComputeFormat::fp8; }

}  // namespace

RooflineV1Work::RooflineV1Work(const domain::ModelSpec& model, Extension extension) {
  const double hidden = model.hidden;
  if (extension == Extension::off) {
    const Original original(model);
    const double layers = model.layers();
    const double attention_elements = hidden * (hidden + 2.0 * original.kv_width) + hidden * hidden;
    const double ffn_elements = layers * 3.0 * hidden * original.ffn_width;
    bf16_gemm_flops_per_token_ = layers * 2.0 * attention_elements + 2.0 * ffn_elements;
    attention_flops_per_pair_ = layers * original.heads * (4.0 * (hidden / original.heads) + 4.0);
    always_read_weight_bytes_ = layers * attention_elements * original.bytes + ffn_elements * original.bytes;
    kv_bytes_per_token_ = 2.0 * layers * original.kv_width * original.bytes;
    activation_bytes_per_token_ = layers * hidden * original.bytes;
    return;
  }
  const auto add_product = [&](double elements, const domain::Stored& stored) {
    (computes_fp8(stored) ? fp8_gemm_flops_per_token_ : bf16_gemm_flops_per_token_) += 2.0 * elements;
  };
  for (const auto& [count, layer] : model.groups) {
    attention_flops_per_pair_ += count * layer.mixer.heads * (2.0 * (layer.mixer.head_dim + layer.mixer.value_head_dim) + 4.0);
    for (const std::vector<domain::Linear>* linears : {&layer.mixer.linears, &layer.ffn.linears}) {
      for (const domain::Linear& linear : *linears) {
        if (!is_counted(linear)) continue;
        const double elements = count * domain::elements(linear);
        add_product(elements, linear.stored);
        always_read_weight_bytes_ += elements * linear.stored.bytes;
      }
    }
    if (const auto& experts = layer.ffn.experts) {
      const double expert_elements = count * domain::elements(*experts);
      add_product(experts->per_token * expert_elements, experts->stored);
      expert_weight_bytes_ += expert_elements * experts->stored.bytes;
      experts_ = experts->count;
      experts_per_token_ = experts->per_token;
    }
  }
  kv_bytes_per_token_ = domain::kv_bytes_per_token(model);
  activation_bytes_per_token_ = model.layers() * hidden * model.activation_bytes;
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
