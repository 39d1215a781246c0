#include "rooftune/kernels/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <tuple>
#include <utility>

namespace rooftune::kernels {
namespace {

// The sizes of scripts/kernel_plan.py, so that both print the same plan.
constexpr std::array<std::int64_t, 21> kGemmTokens{1,   2,   4,   8,   16,  32,  48,   64,   96,   128, 160,
                                                   192, 256, 320, 384, 512, 768, 1024, 2048, 4096, 8192};
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

bool has_fp8_layers(const domain::ModelSpec& model) {
  const auto is_fp8 = [](const domain::Linear& linear) {
    return linear.stored.format == domain::WeightFormat::fp8 || linear.stored.format == domain::WeightFormat::fp8_block;
  };
  return std::ranges::any_of(model.groups, [&](const domain::LayerGroup& group) {
    return std::ranges::any_of(group.layer.mixer.linears, is_fp8) || std::ranges::any_of(group.layer.ffn.linears, is_fp8);
  });
}

class Planner {
 public:
  explicit Planner(KernelPlan& plan)
      : gemms_(plan.gemms), context_(plan.context_attention), generation_(plan.generation_attention), all_reduces_(plan.all_reduces) {}

  void add(const domain::ModelSpec& model, std::int64_t tp) {
    const domain::Mixer& attention = *model.attention();
    const HeadShape shape{.heads = attention.heads / tp,
                          // Engines replicate KV heads where there are fewer than GPUs.
                          .kv_heads = std::max<std::int64_t>(1, attention.kv_heads / tp),
                          .head_dim = attention.head_dim};
    add_gemms(model, tp, shape, NumberFormat::bf16);
    if (has_fp8_layers(model)) add_gemms(model, tp, shape, NumberFormat::fp8);
    add_attention(shape);
    if (tp == 1) return;
    for (int exponent = kSmallestMessageLog2; exponent <= kLargestMessageLog2; ++exponent) {
      const AllReduceRow row{.ranks = tp, .message_bytes = std::int64_t{1} << exponent, .latency_us = 0.0};
      all_reduces_.add({row.ranks, row.message_bytes}, row);
    }
  }

 private:
  void add_gemms(const domain::ModelSpec& model, std::int64_t tp, const HeadShape& shape, NumberFormat format) {
    const std::int64_t hidden = model.hidden;
    const std::int64_t vocabulary = (model.vocabulary + tp * kVocabularyPadding - 1) / (tp * kVocabularyPadding) * kVocabularyPadding;
    std::vector<std::pair<std::int64_t, std::int64_t>> layers{
        {(shape.heads + 2 * shape.kv_heads) * shape.head_dim, hidden}, {hidden, shape.heads * shape.head_dim}, {vocabulary, hidden}};
    const auto add_ffn = [&](std::int64_t width) {
      layers.emplace_back(2 * width / tp, hidden);
      layers.emplace_back(hidden, width / tp);
    };
    for (const auto& [count, layer] : model.groups) {
      if (layer.ffn.width > 0) add_ffn(layer.ffn.width);
      if (layer.ffn.shared_width > 0) add_ffn(layer.ffn.shared_width);
    }
    for (const auto& [n, k] : layers) {
      for (const std::int64_t m : kGemmTokens) {
        GemmRow row;
        row.format = format;
        row.m = m;
        row.n = n;
        row.k = k;
        gemms_.add({format, m, n, k}, row);
      }
    }
  }

  void add_attention(const HeadShape& shape) {
    const auto row = [&](std::int64_t batch, std::int64_t new_tokens, std::int64_t kv_tokens) {
      AttentionRow attention;
      attention.shape = shape;
      attention.batch = batch;
      attention.new_tokens = new_tokens;
      attention.kv_tokens = kv_tokens;
      return attention;
    };
    for (const std::int64_t tokens : kContextTokens) {
      for (const std::int64_t batch : kContextBatches) {
        if (batch * tokens <= kMostContextTokens) context_.add({shape, batch, tokens, tokens}, row(batch, tokens, tokens));
      }
    }
    for (const auto& [tokens, attended] : kChunks) context_.add({shape, 1, tokens, attended}, row(1, tokens, attended));
    for (const std::int64_t batch : kGenerationBatches) {
      for (const std::int64_t tokens : kGenerationTokens) {
        if (4 * batch * tokens * shape.kv_heads * shape.head_dim <= kMostKvBytes)
          generation_.add({shape, batch, 1, tokens}, row(batch, 1, tokens));
      }
    }
  }

  using AttentionKey = std::tuple<HeadShape, std::int64_t, std::int64_t, std::int64_t>;

  Unique<GemmRow, std::tuple<NumberFormat, std::int64_t, std::int64_t, std::int64_t>> gemms_;
  Unique<AttentionRow, AttentionKey> context_;
  Unique<AttentionRow, AttentionKey> generation_;
  Unique<AllReduceRow, std::pair<std::int64_t, std::int64_t>> all_reduces_;
};

}  // namespace

core::Result<KernelPlan> plan_measurements(std::span<const domain::ModelSpec> models, std::span<const std::int64_t> tp) {
  core::Diagnostics problems;
  const auto refuse = [&](std::string problem, std::string remedy) {
    problems.push_back({.position = {}, .problem = std::move(problem), .remedy = std::move(remedy)});
  };
  for (const domain::ModelSpec& model : models) {
    const domain::Mixer* attention = model.attention();
    if (attention == nullptr || attention->latent) {
      refuse(fmt::format("{}: {} is not covered", model.name,
                         attention == nullptr ? domain::mixer_kind_name(domain::MixerKind::linear) : "multi-head latent attention"),
             "leave this model out");
    }
    if (attention == nullptr) continue;
    for (const std::int64_t degree : tp) {
      if (attention->heads % degree != 0)
        refuse(fmt::format("{}: {} heads cannot be split over TP {}", model.name, attention->heads, degree), "leave that TP out");
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

}  // namespace rooftune::kernels
