#include "mfu_kernel_times.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "rooftune/core/contract.hpp"

namespace rooftune::latency {
namespace {

using kernels::NumberFormat;

constexpr std::string_view kRouting = "balanced";
constexpr double kSmallestPrefillBucket = 512.0;
constexpr double kLargestPrefillBucket = 65536.0;

/// Knots of decode attention: 2^(knot / 2) tokens of context.
double knot_tokens(int knot) { return std::exp2(0.5 * knot); }

/// What one GPU holds of `count` heads or columns that `shards` GPUs share; never less than one (replicated KV heads).
std::int64_t shard(std::int64_t count, std::int64_t shards) { return std::max<std::int64_t>(1, count / shards); }

kernels::HeadShape heads_of_one_gpu(const domain::Mixer& attention, std::int64_t shards) {
  return {.heads = shard(attention.heads, shards), .kv_heads = shard(attention.kv_heads, shards), .head_dim = attention.head_dim};
}

NumberFormat kv_format(const Target& target) {
  return kv_bytes_per_element(target.model, target.deployment) < 2.0 ? NumberFormat::fp8 : NumberFormat::bf16;
}

kernels::MoeShape expert_shape(const domain::Experts& experts, std::int64_t shards) {
  return {.hidden = experts.inputs,
          .ffn_width = experts.width,
          .experts_per_token = experts.per_token,
          .experts = experts.count,
          .tp = shards,
          .ep = 1};
}

bool computes_fp8(const domain::Stored& stored, const domain::GpuSpec& gpu) {
  return compute_format(stored.format, {.fp8 = gpu.peak_fp8.has_value()}) == ComputeFormat::fp8;
}

/// Heads of different sequences are independent work just as heads of one sequence are, so a shape with four times the heads of
/// the measured one is looked up as four times the sequences: what a call costs whatever its size is then paid once.
double attention_us(const kernels::GridLookup& lookup, kernels::LookupMode mode, kernels::LookupReport& report, double sequences,
                    double tokens) {
  if (!lookup.exact_shape) report.add(kernels::LookupEvent::nearest_shape);
  return lookup.measured->latency_us(lookup.work_ratio * sequences, tokens, mode, report);
}

/// A lookup in the format that a layer computes in, with the factor that makes up for a format that was not measured.
template <class Lookup>
struct InFormat {
  std::optional<Lookup> lookup;
  double factor = 1.0;
};

/// `find(format)` in FP8 where the layer computes so and the GPU can, else in bf16, scaled by the peaks when only that was measured.
template <class Find>
auto in_format(const Target& target, bool fp8, MfuOptions::Fp8Source source, const Find& find) {
  using Lookup = typename decltype(find(NumberFormat::bf16))::value_type;
  const bool runs_fp8 = fp8 && source == MfuOptions::Fp8Source::fp8_table;
  if (!runs_fp8) return InFormat<Lookup>{.lookup = find(NumberFormat::bf16)};
  if (auto measured = find(NumberFormat::fp8)) return InFormat<Lookup>{.lookup = measured};
  return InFormat<Lookup>{.lookup = find(NumberFormat::bf16), .factor = target.gpu.peak_bf16 / *target.gpu.peak_fp8};
}

}  // namespace

std::optional<std::string> MfuKernelTimes::missing_table(const Target& target) {
  if (target.tables == nullptr) return "no kernel tables were given";
  const kernels::KernelTables& tables = *target.tables;
  if (!tables.gemm(NumberFormat::bf16, 1, 1)) return "no bf16 GEMM table";
  const domain::Mixer* attention = target.model.attention();
  if (attention == nullptr) return "the model has no attention";
  const kernels::HeadShape heads = heads_of_one_gpu(*attention, target.deployment.tp);
  if (!tables.context_attention(kv_format(target), heads)) return "no table of context attention";
  if (!tables.generation_attention(kv_format(target), heads)) return "no table of generation attention";
  if (target.deployment.tp > 1 && !tables.all_reduce(target.deployment.tp)) return "no table of all-reduce";
  const domain::Experts* experts = target.model.experts();
  if (experts != nullptr && !tables.moe(NumberFormat::bf16, expert_shape(*experts, 1), kRouting))
    return "no bf16 table of expert layers";
  return std::nullopt;
}

MfuKernelTimes::MfuKernelTimes(const Target& target, const MfuOptions& options) : options_(options) {
  ROOFTUNE_EXPECTS(!missing_table(target));
  const domain::ModelSpec& model = target.model;
  const kernels::KernelTables& tables = *target.tables;
  const std::int64_t tp = target.deployment.tp;
  // Power: the layer of one GPU, whose time the caller divides.
  const std::int64_t shards = options.tp_split == MfuOptions::TpSplit::shards ? tp : 1;
  layers_ = model.mixers();

  const domain::Mixer& attention = *model.attention();
  const kernels::HeadShape heads = heads_of_one_gpu(attention, shards);
  domain::Deployment shard_deployment = target.deployment;
  shard_deployment.tp = static_cast<int>(shards);
  const Operators operators = operators_of(model, shard_deployment);
  for (const Gemm& gemm : operators.gemms) add_gemm(target, gemm, heads);
  if (!operators.experts.empty()) {
    const domain::Experts& experts = *model.experts();
    const auto measured = in_format(target, computes_fp8(experts.stored, target.gpu), options.fp8_source,
                                    [&](NumberFormat format) { return tables.moe(format, expert_shape(experts, shards), kRouting); });
    experts_ = Product{.lookup = *measured.lookup, .repeats = operators.moe_layers * measured.factor};
    expert_count_ = experts.count;
    experts_per_token_ = experts.per_token;
  }
  if (tp > 1) {
    all_reduce_ = tables.all_reduce(tp);
    all_reduce_bytes_per_token_ = model.hidden * model.activation_bytes;
  }
  context_attention_ = *tables.context_attention(kv_format(target), heads);
  generation_attention_ = *tables.generation_attention(kv_format(target), heads);

  const Operators held = operators_of(model, target.deployment);
  for (const Gemm& gemm : held.gemms) {
    if (gemm.rows == Rows::tokens && gemm.name != kRouterName) fixed_weight_bytes_ += gemm.count * gemm.elements() * gemm.stored.bytes;
  }
  for (const ExpertLayer& layer : held.experts) {
    expert_weight_bytes_ += layer.count * layer.elements() * layer.stored.bytes / (layer.tp * layer.ep);
  }
  for (const Attention& one : held.attentions) {
    for (const ContextRead& read : one.reads) kv_bytes_per_token_ += one.count * read.bytes;
  }
}

/// Fused as engines run them, or as first written: Q, K and V, and gate and up, each by itself.
void MfuKernelTimes::add_gemm(const Target& target, const Gemm& gemm, const kernels::HeadShape& heads) {
  if (gemm.name == kRouterName) return;
  const bool fp8 = computes_fp8(gemm.stored, target.gpu);
  if (gemm.rows == Rows::sequences) {
    if (options_.lm_head == MfuOptions::LmHead::on) {
      lm_head_ = Product{.lookup = *target.tables->gemm(NumberFormat::bf16, gemm.n, gemm.k)};
    }
    return;
  }
  if (options_.gemm_shapes == MfuOptions::GemmShapes::seven && gemm.name == "qkv") {
    add_product(target, fp8, heads.heads * heads.head_dim, gemm.k, gemm.count);
    add_product(target, fp8, heads.kv_heads * heads.head_dim, gemm.k, 2.0 * gemm.count);
  } else if (options_.gemm_shapes == MfuOptions::GemmShapes::seven && gemm.name.ends_with("gate_up")) {
    add_product(target, fp8, gemm.n / 2, gemm.k, 2.0 * gemm.count);
  } else {
    add_product(target, fp8, gemm.n, gemm.k, gemm.count);
  }
}

void MfuKernelTimes::add_product(const Target& target, bool fp8, std::int64_t n, std::int64_t k, double repeats) {
  const auto measured =
      in_format(target, fp8, options_.fp8_source, [&](NumberFormat format) { return target.tables->gemm(format, n, k); });
  products_.push_back({.lookup = *measured.lookup, .repeats = repeats * measured.factor});
}

double MfuKernelTimes::gemms_us(std::int64_t rows) {
  return gemms_us_(rows, [&] {
    double total_us = 0.0;
    for (const Product& product : products_) {
      total_us += product.repeats * product.lookup.latency_us(options_.lookup, report_, static_cast<double>(rows));
    }
    return total_us;
  });
}

double MfuKernelTimes::experts_us(std::int64_t tokens) {
  if (!experts_) return 0.0;
  return experts_us_(
      tokens, [&] { return experts_->repeats * experts_->lookup.latency_us(options_.lookup, report_, static_cast<double>(tokens)); });
}

double MfuKernelTimes::lm_head_us(std::int64_t sequences) {
  if (!lm_head_ || sequences == 0) return 0.0;
  return lm_head_us_(sequences, [&] { return lm_head_->lookup.latency_us(options_.lookup, report_, static_cast<double>(sequences)); });
}

double MfuKernelTimes::all_reduces_us(std::int64_t tokens) {
  if (!all_reduce_) return 0.0;
  return all_reduces_us_(tokens, [&] {
    const double message_bytes = static_cast<double>(tokens) * all_reduce_bytes_per_token_;
    return 2.0 * layers_ * all_reduce_->latency_us(options_.lookup, report_, message_bytes);
  });
}

double MfuKernelTimes::prefill_attention_us(std::span<const PrefillChunk> prefills) {
  const double mask = options_.causal_mask == MfuOptions::CausalMask::full ? 2.0 : 1.0;
  double total_us = 0.0;
  for (const PrefillChunk& chunk : prefills) {
    const auto fresh = static_cast<double>(chunk.new_tokens);
    const double pairs = fresh * (static_cast<double>(chunk.context_tokens) + fresh / 2.0);
    const double prompt_tokens = std::sqrt(2.0 * pairs);
    double measured_us = 0.0;
    if (options_.prefill_bucket == MfuOptions::PrefillBucket::off) {
      measured_us = attention_us(context_attention_, options_.lookup, report_, 1.0, prompt_tokens);
    } else {
      const double bucket = std::clamp(std::exp2(std::ceil(std::log2(prompt_tokens))), kSmallestPrefillBucket, kLargestPrefillBucket);
      const double share = prompt_tokens / bucket;
      measured_us = share * share * attention_us(context_attention_, options_.lookup, report_, 1.0, bucket);
    }
    total_us += layers_ * mask * measured_us;
  }
  return total_us;
}

double MfuKernelTimes::decode_attention_at_knot_us(std::int64_t sequences, int knot) {
  const auto row = static_cast<std::size_t>(sequences);
  const auto column = static_cast<std::size_t>(knot);
  if (row >= decode_attention_us_.size()) decode_attention_us_.resize(row + 1);
  std::vector<double>& known_us = decode_attention_us_[row];
  if (column >= known_us.size()) known_us.resize(column + 1, -1.0);
  if (known_us[column] < 0.0) {
    known_us[column] =
        layers_ * attention_us(generation_attention_, options_.lookup, report_, static_cast<double>(sequences), knot_tokens(knot));
  }
  return known_us[column];
}

DecodeAttentionLine MfuKernelTimes::decode_attention(std::int64_t sequences, double context_tokens) {
  if (sequences == 0) return {};
  const int knot = context_tokens > 1.0 ? static_cast<int>(std::floor(2.0 * std::log2(context_tokens))) : 0;
  const double lower_tokens = knot_tokens(knot);
  const double upper_tokens = knot_tokens(knot + 1);
  const double lower_us = decode_attention_at_knot_us(sequences, knot);
  const double upper_us = decode_attention_at_knot_us(sequences, knot + 1);
  const double slope_us_per_token = (upper_us - lower_us) / (upper_tokens - lower_tokens);
  return {.time_us = lower_us + (context_tokens - lower_tokens) * slope_us_per_token,
          .slope_us_per_token = slope_us_per_token,
          .tokens_to_knot = upper_tokens - context_tokens};
}

double MfuKernelTimes::weight_bytes(std::int64_t tokens) const {
  if (expert_count_ == 0.0) return fixed_weight_bytes_;
  const double distinct = expert_count_ * (1.0 - std::pow(1.0 - experts_per_token_ / expert_count_, static_cast<double>(tokens)));
  return fixed_weight_bytes_ + distinct * expert_weight_bytes_;
}

}  // namespace rooftune::latency
