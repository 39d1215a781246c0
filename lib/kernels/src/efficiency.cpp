#include "rooftune/kernels/efficiency.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>
#include <utility>

#include "rooftune/core/statistics.hpp"
#include "rooftune/kernels/audit.hpp"

namespace rooftune::kernels {
namespace {

bool positive(std::initializer_list<std::int64_t> sizes) {
  return std::ranges::all_of(sizes, [](std::int64_t size) { return size > 0; });
}

bool positive_latency(double latency_us) { return std::isfinite(latency_us) && latency_us > 0.0; }

/// Keeps what `sound` accepts and counts the rest under `reason`.
template <class Row, class Predicate>
void keep_if(std::vector<Row>& rows, const Predicate& sound, std::string reason, std::vector<LeftOut>& left_out) {
  const std::size_t dropped = std::erase_if(rows, [&](const Row& row) { return !sound(row); });
  if (dropped > 0) left_out.push_back({.reason = std::move(reason), .rows = dropped});
}

enum class Repeats { median, fastest };

/// Rows in the order of `key`, one for each; its latency is reduced over the repeats.
template <class Row, class Key>
void merge_repeats(std::vector<Row>& rows, const Key& key, Repeats repeats, std::vector<LeftOut>& left_out,
                   const std::string& reason) {
  std::map<decltype(key(rows.front())), std::pair<Row, std::vector<double>>> groups;
  for (const Row& row : rows) {
    auto& [first, latencies_us] = groups.try_emplace(key(row), row, std::vector<double>{}).first->second;
    latencies_us.push_back(row.latency_us);
  }
  if (groups.size() < rows.size()) left_out.push_back({.reason = reason, .rows = rows.size() - groups.size()});
  rows.clear();
  for (auto& [unused, group] : groups) {
    auto& [row, latencies_us] = group;
    row.latency_us = repeats == Repeats::median ? core::median(latencies_us) : std::ranges::min(latencies_us);
    rows.push_back(row);
  }
}

void normalise_attention(std::vector<AttentionRow>& rows, const domain::GpuSpec& gpu, const std::string& table,
                         std::vector<LeftOut>& left_out) {
  const auto sound = [](const AttentionRow& row) {
    return positive({row.shape.heads, row.shape.kv_heads, row.shape.head_dim, row.batch, row.new_tokens, row.kv_tokens}) &&
           row.kv_tokens >= row.new_tokens && positive_latency(row.latency_us);
  };
  keep_if(rows, sound, table + ": size or latency not positive", left_out);
  const auto possible = [&](const AttentionRow& row) {
    // FP8 KV caches may be multiplied in FP8.
    const NumberFormat fastest = row.kv_format == NumberFormat::fp8 ? NumberFormat::fp8 : row.format;
    return achieved_fraction(flops(row), row.latency_us, fastest, gpu) <= kPeakTolerance;
  };
  keep_if(rows, possible, table + ": faster than the GPU's peak", left_out);
  for (AttentionRow& row : rows) row.reported_mfu.reset();
  const auto key = [](const AttentionRow& row) {
    return std::tuple(row.format, row.kv_format, row.shape, row.window, row.batch, row.new_tokens, row.kv_tokens);
  };
  merge_repeats(rows, key, Repeats::median, left_out, table + ": repeated, median kept");
}

/// Expert layers in FP8 that take longer than the same ones in bf16, with twice the bytes, ran an unsuitable kernel: no engine
/// would (H100 and H200, vLLM 0.24). Judged per layer, by the median over tokens.
void drop_fp8_experts_slower_than_bf16(std::vector<MoeRow>& rows, std::vector<LeftOut>& left_out) {
  const auto layer = [](const MoeRow& row) {
    return std::tuple(row.routing, row.hidden, row.ffn_width, row.experts_per_token, row.experts, row.tp, row.ep);
  };
  using Layer = decltype(layer(rows.front()));
  std::map<std::pair<Layer, std::int64_t>, double> bf16_us;
  for (const MoeRow& row : rows) {
    if (row.format == NumberFormat::bf16) bf16_us[{layer(row), row.tokens}] = row.latency_us;
  }
  std::map<Layer, std::vector<double>> slowdowns;
  for (const MoeRow& row : rows) {
    const auto same = bf16_us.find({layer(row), row.tokens});
    if (row.format == NumberFormat::fp8 && same != bf16_us.end()) slowdowns[layer(row)].push_back(row.latency_us / same->second);
  }
  const auto sound = [&](const MoeRow& row) {
    const auto found = slowdowns.find(layer(row));
    return row.format != NumberFormat::fp8 || found == slowdowns.end() || core::median(found->second) <= 1.0;
  };
  keep_if(rows, sound, "moe: FP8 slower than bf16", left_out);
}

/// Medians of `fraction` among the rows that have the same number of tokens.
class Shares {
 public:
  void add(double tokens, double fraction) { fractions_[tokens].push_back(fraction); }

  [[nodiscard]] std::vector<SharePoint> by_tokens() const {
    std::vector<SharePoint> points;
    for (const auto& [tokens, fractions] : fractions_) {
      points.push_back({.tokens = tokens, .fraction = core::median(fractions), .rows = fractions.size()});
    }
    return points;
  }

  /// Median over all rows with tokens in [lowest, highest].
  [[nodiscard]] std::optional<double> overall(double lowest, double highest) const {
    std::vector<double> all;
    for (const auto& [tokens, fractions] : fractions_) {
      if (tokens >= lowest && tokens <= highest) all.insert(all.end(), fractions.begin(), fractions.end());
    }
    if (all.empty()) return std::nullopt;
    return core::median(all);
  }

 private:
  std::map<double, std::vector<double>> fractions_;
};

bool within(std::int64_t value, std::int64_t lowest, std::int64_t highest) { return value >= lowest && value <= highest; }

}  // namespace

NormalisedKernels normalise(const MeasuredKernels& kernels, const domain::GpuSpec& gpu) {
  NormalisedKernels result{.kernels = kernels, .left_out = {}};
  MeasuredKernels& clean = result.kernels;

  const std::optional<NumberFormat> inferred = audit_mfu(reported(kernels.gemms), gpu, Mask::none).format;
  for (GemmRow& row : clean.gemms) {
    if (!row.format) row.format = inferred;
    row.reported_mfu.reset();
  }
  keep_if(
      clean.gemms,
      [](const GemmRow& row) {
        return positive({row.m, row.n, row.k}) && positive_latency(row.latency_us);
      },
      "gemm: size or latency not positive", result.left_out);
  keep_if(
      clean.gemms, [](const GemmRow& row) { return row.format.has_value(); }, "gemm: format neither given nor implied",
      result.left_out);
  keep_if(
      clean.gemms,
      [&](const GemmRow& row) { return achieved_fraction(flops(row), row.latency_us, *row.format, gpu) <= kPeakTolerance; },
      "gemm: faster than the GPU's peak", result.left_out);
  merge_repeats(
      clean.gemms, [](const GemmRow& row) { return std::tuple(row.format, row.n, row.k, row.m, row.engine); }, Repeats::median,
      result.left_out, "gemm: repeated, median kept");

  normalise_attention(clean.context_attention, gpu, "context attention", result.left_out);
  normalise_attention(clean.generation_attention, gpu, "generation attention", result.left_out);

  keep_if(
      clean.all_reduces,
      [](const AllReduceRow& row) { return row.ranks > 1 && row.message_bytes > 0 && positive_latency(row.latency_us); },
      "all-reduce: ranks, bytes or latency not positive", result.left_out);
  merge_repeats(
      clean.all_reduces, [](const AllReduceRow& row) { return std::tuple(row.ranks, row.message_bytes, row.kind, row.engine); },
      Repeats::fastest, result.left_out, "all-reduce: repeated, fastest kept");

  keep_if(
      clean.moes,
      [](const MoeRow& row) {
        return positive({row.tokens, row.hidden, row.ffn_width, row.experts_per_token, row.experts, row.tp, row.ep}) &&
               positive_latency(row.latency_us);
      },
      "moe: size or latency not positive", result.left_out);
  merge_repeats(
      clean.moes,
      [](const MoeRow& row) {
        return std::tuple(row.format, row.routing, row.hidden, row.ffn_width, row.experts_per_token, row.experts, row.tp, row.ep,
                          row.tokens, row.kernel);
      },
      Repeats::median, result.left_out, "moe: repeated, median kept");
  drop_fp8_experts_slower_than_bf16(clean.moes, result.left_out);

  for (auto* rows : {&clean.latent_context, &clean.latent_generation}) {
    keep_if(
        *rows,
        [](const LatentAttentionRow& row) {
          return positive({row.heads, row.batch, row.new_tokens, row.kv_tokens}) && positive_latency(row.latency_us);
        },
        "latent attention: size or latency not positive", result.left_out);
  }
  keep_if(
      clean.linear_attention,
      [](const LinearAttentionRow& row) {
        return positive({row.batch, row.new_tokens, row.key_heads, row.value_heads}) && positive_latency(row.latency_us);
      },
      "linear attention: size or latency not positive", result.left_out);
  keep_if(
      clean.sparse_attention,
      [](const SparseAttentionRow& row) {
        return positive({row.batch, row.new_tokens, row.kv_tokens, row.heads, row.tp}) && positive_latency(row.latency_us);
      },
      "sparse attention: size or latency not positive", result.left_out);
  keep_if(
      clean.collectives,
      [](const CollectiveRow& row) { return row.ranks > 1 && row.message_bytes > 0 && positive_latency(row.latency_us); },
      "collective: ranks, bytes or latency not positive", result.left_out);
  keep_if(
      clean.expert_exchanges,
      [](const ExpertExchangeRow& row) {
        return row.ranks > 1 && positive({row.tokens, row.hidden, row.experts_per_token, row.experts}) &&
               positive_latency(row.latency_us);
      },
      "expert exchange: ranks, size or latency not positive", result.left_out);
  return result;
}

KernelEfficiency summarise(const MeasuredKernels& kernels, const domain::GpuSpec& gpu) {
  const double peak_bytes_per_us = core::bytes_per_us(gpu.hbm_bandwidth);
  constexpr std::int64_t kLargeWeightElements = std::int64_t{1} << 25;
  constexpr double kLargeKvBytes = 512.0 * 1024 * 1024;
  constexpr std::int64_t kHeadDim = 128;  // what most models have: one width, so that GPUs are compared on equal shapes

  Shares weight_streaming;
  Shares gemm_compute;
  for (const GemmRow& row : kernels.gemms) {
    if (row.format != NumberFormat::bf16) continue;
    const auto tokens = static_cast<double>(row.m);
    if (row.m <= 256 && row.n * row.k >= kLargeWeightElements) {
      weight_streaming.add(tokens, weight_bytes(row) / row.latency_us / peak_bytes_per_us);
    }
    if (within(row.n, 4096, 16384) && within(row.k, 4096, 16384)) {
      gemm_compute.add(tokens, achieved_fraction(flops(row), row.latency_us, NumberFormat::bf16, gpu));
    }
  }
  Shares context_attention;
  for (const AttentionRow& row : kernels.context_attention) {
    if (row.kv_format != NumberFormat::bf16 || row.window > 0 || row.shape.head_dim != kHeadDim) continue;
    if (!within(row.shape.heads, 16, 64)) continue;
    context_attention.add(static_cast<double>(row.new_tokens), achieved_fraction(flops(row), row.latency_us, row.format, gpu));
  }
  Shares kv_streaming;
  for (const AttentionRow& row : kernels.generation_attention) {
    if (row.kv_format != NumberFormat::bf16 || row.window > 0 || row.shape.head_dim != kHeadDim) continue;
    if (row.batch < 8 || kv_bytes(row) < kLargeKvBytes) continue;
    kv_streaming.add(static_cast<double>(row.kv_tokens), kv_bytes(row) / row.latency_us / peak_bytes_per_us);
  }
  std::map<std::int64_t, AllReduceEfficiency> all_reduce;
  for (const AllReduceRow& row : kernels.all_reduces) {
    const auto fresh = AllReduceEfficiency{.ranks = row.ranks, .floor_us = row.latency_us, .bus_gigabytes_per_s = 0.0};
    AllReduceEfficiency& best = all_reduce.try_emplace(row.ranks, fresh).first->second;
    const double ring_bytes =
        2.0 * static_cast<double>(row.ranks - 1) / static_cast<double>(row.ranks) * static_cast<double>(row.message_bytes);
    best.floor_us = std::min(best.floor_us, row.latency_us);
    best.bus_gigabytes_per_s = std::max(best.bus_gigabytes_per_s, ring_bytes / row.latency_us * 1e-3);
  }

  KernelEfficiency result{.gpu = gpu.name,
                          .engine = kernels.engine,
                          .weight_streaming_fraction = weight_streaming.overall(1, 16),
                          .gemm_compute_fraction = gemm_compute.overall(2048, 8192),
                          .kv_streaming_fraction = kv_streaming.overall(0, HUGE_VAL),
                          .context_attention_fraction = context_attention.overall(2048, HUGE_VAL),
                          .weight_streaming_by_tokens = weight_streaming.by_tokens(),
                          .gemm_compute_by_tokens = gemm_compute.by_tokens(),
                          .context_attention_by_tokens = context_attention.by_tokens(),
                          .all_reduce = {}};
  for (const auto& [ranks, efficiency] : all_reduce) result.all_reduce.push_back(efficiency);
  return result;
}

}  // namespace rooftune::kernels
