#include "rooftune/latency/kernel_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "measured_modules.hpp"
#include "rooftune/latency/operators.hpp"

namespace rooftune::latency {
namespace {

using kernels::AllReduceRow;
using kernels::AttentionRow;
using kernels::GemmRow;
using kernels::HeadShape;
using kernels::KernelPlan;
using kernels::NumberFormat;

constexpr std::array<std::int64_t, 21> kGemmTokens{1,   2,   4,   8,   16,  32,  48,   64,   96,   128, 160,
                                                   192, 256, 320, 384, 512, 768, 1024, 2048, 4096, 8192};
constexpr std::array<std::int64_t, 14> kExpertTokens{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192};
constexpr std::array<std::int64_t, 10> kContextTokens{16, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};
constexpr std::array<std::int64_t, 4> kContextBatches{1, 2, 4, 8};
constexpr std::int64_t kMostContextTokens = 32768;  // of all sequences together
/// New tokens, tokens attended to: chunks of long prompts.
constexpr std::array<std::pair<std::int64_t, std::int64_t>, 5> kChunks{
    {{512, 2048}, {512, 8192}, {2048, 4096}, {2048, 8192}, {2048, 16384}}};
constexpr std::array<std::int64_t, 9> kGenerationBatches{1, 2, 4, 8, 16, 32, 64, 128, 256};
constexpr std::array<std::int64_t, 8> kGenerationTokens{128, 512, 1024, 2048, 4096, 8192, 16384, 32768};
constexpr std::int64_t kMostKvBytes = std::int64_t{16} << 30;  // of one measurement
constexpr int kSmallestMessageLog2 = 10;
constexpr int kLargestMessageLog2 = 28;
constexpr std::int64_t kVocabularyPadding = 64;
constexpr int kUsualContext = 131072;

/// Adds rows that are not there yet, in the order of asking.
template <class Row, class Key>
class Unique {
 public:
  explicit Unique(std::vector<Row>& rows) : rows_(rows) {}
  void add(const Key& key, const Row& row) {
    if (seen_.insert(key).second) rows_.push_back(row);
  }

 private:
  std::vector<Row>& rows_;
  std::set<Key> seen_;
};

/// The format of a table's rows, or nothing where there are none for it.
std::optional<NumberFormat> planned_format(domain::WeightFormat format) {
  using enum domain::WeightFormat;
  switch (format) {
    case bf16: return NumberFormat::bf16;
    case fp8: return NumberFormat::fp8;
    case fp8_block: return NumberFormat::fp8_block;
    case int4_weight_only: return NumberFormat::int4;
    case mxfp4: return NumberFormat::mxfp4;
    case nvfp4: return NumberFormat::nvfp4;
    case int8:
    case int8_weight_only: return std::nullopt;
  }
  return std::nullopt;
}

class Planner {
 public:
  explicit Planner(KernelPlan& plan)
      : plan_(plan),
        gemms_(plan.gemms),
        context_(plan.context_attention),
        generation_(plan.generation_attention),
        all_reduces_(plan.all_reduces),
        moes_(plan.moes),
        collectives_(plan.collectives),
        linear_(plan.linear_attention),
        latent_context_(plan.latent_context),
        latent_generation_(plan.latent_generation),
        sparse_(plan.sparse_attention) {}

  void add(const domain::ModelSpec& model, std::int64_t tp) {
    domain::Deployment deployment;
    deployment.tp = static_cast<int>(tp);
    deployment.settings.max_model_len = model.max_positions > 0 ? model.max_positions : kUsualContext;
    const Operators operators = operators_of(model, deployment);
    for (const Gemm& gemm : operators.gemms) add_gemm(model, gemm);
    for (std::size_t place = 0; place < operators.attentions.size(); ++place)
      add_attention(model, operators.attentions[place], operators.gemms, static_cast<int>(place));
    for (const StateUpdate& state : operators.states) add_recurrence(model, state.linear);
    for (const ExpertLayer& layer : operators.experts) {
      add_experts(model, layer, tp, 1);
      if (tp > 1 && layer.experts % tp == 0) add_experts(model, layer, 1, tp);
    }
    if (tp > 1) add_collectives(tp);
  }

 private:
  void leave_out(const domain::ModelSpec& model, std::string_view what) {
    std::string line = fmt::format("{}: {}", model.name, what);
    if (std::ranges::find(plan_.left_out, line) == plan_.left_out.end()) plan_.left_out.push_back(std::move(line));
  }

  void add_gemm(const domain::ModelSpec& model, const Gemm& gemm) {
    if (gemm.name == kRouterName) return;  // part of the fixed cost of a layer
    std::int64_t n = gemm.n;
    if (gemm.name == kLmHeadName) n = (n + kVocabularyPadding - 1) / kVocabularyPadding * kVocabularyPadding;
    std::vector<NumberFormat> formats{NumberFormat::bf16};
    if (const auto own = planned_format(gemm.stored.format)) {
      if (*own != NumberFormat::bf16) formats.push_back(*own);
    } else {
      leave_out(model, "products in INT8");
    }
    for (const NumberFormat format : formats) {
      for (const std::int64_t m : kGemmTokens) {
        GemmRow row;
        row.format = format;
        row.m = m;
        row.n = n;
        row.k = gemm.k;
        gemms_.add({format, m, n, gemm.k}, row);
      }
    }
  }

  void add_attention(const domain::ModelSpec& model, const Attention& attention, const std::vector<Gemm>& products, int place) {
    const MeasuredModule* const module = measured_module(attention, products, place);
    if (module != nullptr && module->is_latent()) {
      const NumberFormat own = format_of("o", products);
      // The same for both: a sparse module's prompts are priced by those of the latent one.
      add_latent_prompts(attention.heads, own);
      if (attention.sparse) {
        add_sparse(*module, attention.heads);
      } else {
        add_latent_decodes(attention.heads, own);
      }
      return;
    }
    if (attention.latent || attention.sparse || attention.kind == domain::MixerKind::chunked) {
      const bool is_chunked = attention.kind == domain::MixerKind::chunked;
      leave_out(model, fmt::format("{}{}", attention.sparse ? "sparse " : "",
                                   is_chunked ? "attention in chunks" : domain::mixer_kind_name(attention.kind)));
      return;
    }
    const HeadShape shape{.heads = attention.heads, .kv_heads = attention.kv_heads, .head_dim = attention.head_dim};
    const std::int64_t window = attention.window;
    const auto row = [&](std::int64_t batch, std::int64_t new_tokens, std::int64_t kv_tokens) {
      AttentionRow one;
      one.shape = shape;
      one.batch = batch;
      one.new_tokens = new_tokens;
      one.kv_tokens = kv_tokens;
      one.window = window;
      return one;
    };
    for (const std::int64_t tokens : kContextTokens) {
      for (const std::int64_t batch : kContextBatches) {
        if (batch * tokens <= kMostContextTokens) context_.add({shape, batch, tokens, tokens, window}, row(batch, tokens, tokens));
      }
    }
    for (const auto& [tokens, attended] : kChunks) context_.add({shape, 1, tokens, attended, window}, row(1, tokens, attended));
    for (const std::int64_t batch : kGenerationBatches) {
      for (const std::int64_t tokens : kGenerationTokens) {
        if (4 * batch * tokens * shape.kv_heads * shape.head_dim <= kMostKvBytes)
          generation_.add({shape, batch, 1, tokens, window}, row(batch, 1, tokens));
      }
    }
  }

  /// How a product of this name is kept, where tables have the format; else 16 bits.
  static NumberFormat format_of(std::string_view name, const std::vector<Gemm>& products) {
    const auto found = std::ranges::find(products, name, &Gemm::name);
    return found != products.end() ? planned_format(found->stored.format).value_or(NumberFormat::bf16) : NumberFormat::bf16;
  }

  /// Formats that a module's products are measured in: 16 bits, and its own.
  static std::set<NumberFormat> formats_beside_bf16(NumberFormat own) { return {NumberFormat::bf16, own}; }

  void add_latent_prompts(std::int64_t heads, NumberFormat own) {
    for (const NumberFormat format : formats_beside_bf16(own)) {
      for (const std::int64_t tokens : kContextTokens) {
        for (const std::int64_t batch : kContextBatches) {
          if (batch * tokens > kMostContextTokens) continue;
          kernels::LatentAttentionRow row{.format = format, .heads = heads, .batch = batch};
          row.new_tokens = row.kv_tokens = tokens;
          latent_context_.add({format, heads, batch, tokens}, row);
        }
      }
    }
  }

  void add_latent_decodes(std::int64_t heads, NumberFormat own) {
    for (const NumberFormat format : formats_beside_bf16(own)) {
      for (const std::int64_t batch : kGenerationBatches) {
        for (const std::int64_t tokens : kGenerationTokens) {
          kernels::LatentAttentionRow row{.format = format, .heads = heads, .batch = batch, .new_tokens = 1};
          row.kv_tokens = tokens;
          latent_generation_.add({format, heads, batch, tokens}, row);
        }
      }
    }
  }

  void add_sparse(const MeasuredModule& module, std::int64_t heads) {
    for (const std::int64_t batch : kGenerationBatches) {
      for (const std::int64_t tokens : kGenerationTokens) {
        kernels::SparseAttentionRow row{
            .op = "dsa", .model = std::string(module.model), .phase = "generation", .batch = batch, .new_tokens = 1};
        row.kv_tokens = tokens;
        row.heads = heads;
        sparse_.add({row.model, heads, batch, tokens}, row);
      }
    }
  }

  void add_recurrence(const domain::ModelSpec& model, const domain::LinearAttentionSpec& linear) {
    constexpr int kDeltaHeadDim = 128;
    const bool is_mamba = linear.kind == domain::LinearKind::mamba2;
    // Tables name no dimensions: their rows have these.
    if (linear.key_dim != (is_mamba ? kMambaStateSize : kDeltaHeadDim) ||
        linear.value_dim != (is_mamba ? kMambaHeadDim : kDeltaHeadDim)) {
      leave_out(model, fmt::format("{} with heads of other dimensions", domain::linear_kind_name(linear.kind)));
      return;
    }
    const std::int64_t key_heads = domain::key_heads(linear);
    const auto add = [&](const char* phase, std::int64_t batch, std::int64_t tokens) {
      // vLLM's kernel for a decode step of Kimi's convolves, too.
      const bool is_whole = linear.kind == domain::LinearKind::kimi_delta && std::string_view(phase) == "generation";
      for (const char* part : {"recurrence", "convolution"}) {
        const kernels::LinearAttentionRow row{.op = std::string(linear_operator(linear.kind)),
                                              .phase = phase,
                                              .part = is_whole ? "whole" : part,
                                              .batch = batch,
                                              .new_tokens = tokens,
                                              .key_heads = key_heads,
                                              .value_heads = linear.heads};
        linear_.add({row.op, row.phase, row.part, batch, tokens, key_heads, row.value_heads}, row);
      }
    };
    for (const std::int64_t batch : kContextBatches) {
      for (const std::int64_t tokens : kContextTokens) {
        if (batch * tokens <= kMostContextTokens) add("context", batch, tokens);
      }
    }
    for (const std::int64_t batch : kGenerationBatches) add("generation", batch, 1);
  }

  void add_experts(const domain::ModelSpec& model, const ExpertLayer& layer, std::int64_t tp, std::int64_t ep) {
    const auto own = planned_format(layer.stored.format);
    if (!own) {
      leave_out(model, "experts in INT8");
      return;
    }
    if (!layer.gated || layer.inputs != model.hidden) {
      leave_out(model, layer.gated ? "experts on a latent" : "experts without a gate");
      return;
    }
    for (const std::int64_t tokens : kExpertTokens) {
      const kernels::MoeRow row{.format = *own,
                                .tokens = tokens,
                                .hidden = layer.inputs,
                                .ffn_width = layer.width,
                                .experts_per_token = layer.per_token,
                                .experts = layer.experts,
                                .tp = tp,
                                .ep = ep,
                                .routing = "balanced"};
      moes_.add({*own, tokens, row.hidden, row.ffn_width, row.experts_per_token, row.experts, tp, ep}, row);
    }
  }

  void add_collectives(std::int64_t ranks) {
    for (int exponent = kSmallestMessageLog2; exponent <= kLargestMessageLog2; ++exponent) {
      const std::int64_t bytes = std::int64_t{1} << exponent;
      const AllReduceRow row{.ranks = ranks, .message_bytes = bytes, .latency_us = 0.0};
      all_reduces_.add({ranks, bytes}, row);
      for (const char* op : {"all_gather", "reduce_scatter", "alltoall"})
        collectives_.add({op, ranks, bytes}, {.op = op, .ranks = ranks, .message_bytes = bytes});
    }
  }

  using AttentionKey = std::tuple<HeadShape, std::int64_t, std::int64_t, std::int64_t, std::int64_t>;
  using MoeKey =
      std::tuple<NumberFormat, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t>;

  KernelPlan& plan_;
  Unique<GemmRow, std::tuple<NumberFormat, std::int64_t, std::int64_t, std::int64_t>> gemms_;
  Unique<AttentionRow, AttentionKey> context_;
  Unique<AttentionRow, AttentionKey> generation_;
  Unique<AllReduceRow, std::pair<std::int64_t, std::int64_t>> all_reduces_;
  Unique<kernels::MoeRow, MoeKey> moes_;
  Unique<kernels::CollectiveRow, std::tuple<std::string, std::int64_t, std::int64_t>> collectives_;
  using LinearKey = std::tuple<std::string, std::string, std::string, std::int64_t, std::int64_t, std::int64_t, std::int64_t>;
  using LatentKey = std::tuple<NumberFormat, std::int64_t, std::int64_t, std::int64_t>;
  Unique<kernels::LinearAttentionRow, LinearKey> linear_;
  Unique<kernels::LatentAttentionRow, LatentKey> latent_context_;
  Unique<kernels::LatentAttentionRow, LatentKey> latent_generation_;
  Unique<kernels::SparseAttentionRow, std::tuple<std::string, std::int64_t, std::int64_t, std::int64_t>> sparse_;
};

}  // namespace

core::Result<kernels::KernelPlan> plan_measurements(std::span<const domain::ModelSpec> models, std::span<const std::int64_t> tp) {
  core::Diagnostics problems;
  for (const domain::ModelSpec& model : models) {
    const domain::Mixer* attention = model.attention();
    if (attention == nullptr) continue;
    for (const std::int64_t degree : tp) {
      if (attention->heads % degree == 0) continue;
      problems.push_back({.position = {},
                          .problem = fmt::format("{}: {} heads cannot be split over TP {}", model.name, attention->heads, degree),
                          .remedy = "leave that TP out"});
    }
  }
  if (!problems.empty()) return tl::unexpected(std::move(problems));

  KernelPlan plan;
  plan.tp.assign(tp.begin(), tp.end());
  Planner planner(plan);
  for (const domain::ModelSpec& model : models) {
    plan.models.push_back(model.name);
    for (const std::int64_t degree : tp) planner.add(model, degree);
  }
  return plan;
}

}  // namespace rooftune::latency
