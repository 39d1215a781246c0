#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rooftune/domain/gpu.hpp"
#include "rooftune/domain/release.hpp"
#include "rooftune/kernels/curve.hpp"
#include "rooftune/kernels/dealt_experts.hpp"
#include "rooftune/kernels/kernel_tables.hpp"
#include "rooftune/kernels/price_curve.hpp"
#include "rooftune/kernels/tables.hpp"

namespace rooftune::kernels {

/// How a price came about, best first.
enum class Coverage {
  measured,  ///< this very shape
  scaled,    ///< from the nearest measured shapes, by what a roofline says of both
  bounded,   ///< nothing comparable was measured: the data sheet, at the efficiency that the GPU's other kernels reach
};

/// What a roofline with a constant per call says of one operator; rates are what the GPU's measured kernels reach.
struct RooflineForm {
  double call_us = 0.0;
  double flops_per_us = 0.0;
  double bytes_per_us = 0.0;

  [[nodiscard]] double us(double flops, double bytes) const;
};

/// A matrix product over tokens.
struct GemmPrice {
  PriceCurve by_tokens;
  Coverage coverage = Coverage::measured;
};

/// Which measured products speak for one: its own rows (or those of its nearest shapes), or all large shapes together. A library
/// chooses the kernel of a shape and size anew with every release: between releases what is typical lasts, what is special does not.
enum class ProductRows { own, typical };

/// How tokens are dealt to experts once there are enough to reach all: evenly, or by a power law (exponent 1.2), whose most loaded
/// rank is the one that counts.
enum class ExpertLoad { balanced, power_law };

/// A fused expert layer of one GPU over the tokens of the step (of the whole group, with expert parallelism).
class ExpertPrice {
 public:
  struct At {
    double reading_us = 0.0;       ///< what reaching the experts takes
    double per_rho_us = 0.0;       ///< its derivative in the routing correlation
    double load_us = 0.0;          ///< what the tokens take beyond that
    double per_exponent_us = 0.0;  ///< its derivative in the exponent of the experts' popularity
  };

  /// `spread`: time over tokens when every token reaches experts of its own as long as there are any (the benchmarks' "balanced").
  /// `loaded`: the same with the load that `at` assumes once all are reached, balanced or (`is_skewed`) skewed.
  /// `reached_share`: of all experts, those that the benchmark's routing could reach.
  ExpertPrice(PriceCurve spread, PriceCurve loaded, bool is_skewed, double experts, double experts_per_token, double reached_share,
              Coverage covered)
      : coverage(covered),
        spread_(std::move(spread)),
        loaded_(std::move(loaded)),
        is_skewed_(is_skewed),
        experts_(experts),
        per_token_(experts_per_token),
        reached_(reached_share) {}

  /// Experts that n tokens reach: E (1 - (1 - k/E)^(rho n)). Their weights are what the benchmark takes for the number of tokens
  /// that reaches as many; whatever it takes for n tokens beyond reaching all comes on top. Dealt whole: of the busiest GPU.
  [[nodiscard]] At at(double tokens, double rho) const;

  Coverage coverage = Coverage::measured;
  /// GPUs that whole experts are dealt to: the layer takes as long as the one that its tokens happen to load most (dealt_experts.hpp).
  int ranks = 1;
  /// By how much their loads differ beside that, because some experts are wanted more than others.
  DealtVariance dealt{};
  /// The kernel chooses the experts itself; else router scores go through kernels of their own first.
  bool routes_itself = false;

 private:
  PriceCurve spread_;
  PriceCurve loaded_;
  bool is_skewed_;
  double experts_;
  double per_token_;
  double reached_;
};

/// Attention over sequences x tokens, looked up as so many sequences of the measured shape.
struct AttentionPrice {
  /// One decode per sequence as a straight line: what a call takes, and what one more token of one sequence's cache adds.
  struct Streaming {
    double call_us = 0.0;
    double us_per_token = 0.0;

    [[nodiscard]] double us(double sequences, double tokens) const { return call_us + sequences * tokens * us_per_token; }
  };

  const LatencyGrid* grid = nullptr;
  double sequences_factor = 1.0;
  double bytes_per_token = 0.0;  ///< of one measured sequence's cache; 0: not known
  std::int64_t window = 0;       ///< of the measured kernel; 0: all tokens
  Coverage coverage = Coverage::measured;
  /// Of whole modules with a number of heads between two that were measured: the other one, and its share.
  const LatencyGrid* beside = nullptr;
  double share_beside = 0.0;

  [[nodiscard]] double us(double sequences, double tokens) const;
  /// What a call takes whatever its size.
  [[nodiscard]] double smallest_us() const;
  /// Up to here so many sequences were measured.
  [[nodiscard]] double most_tokens(double sequences) const;
  /// By the smallest call and the rate, in the median, of caches that no L2 holds; without any such row by that of the largest.
  /// Of decodes with `bytes_per_token`.
  [[nodiscard]] Streaming streaming() const;
};

/// Sparse-attention modules whose prompts were measured inside a graph: chunks of so many new tokens behind so many cached ones.
struct ChunkPrice {
  AttentionPrice by_cached;  ///< over (new tokens, cached tokens + 1)
  double most_cached_tokens = 0.0;

  [[nodiscard]] double us(double new_tokens, double cached_tokens) const;
  [[nodiscard]] double smallest_us() const { return by_cached.smallest_us(); }
};

/// Tokens on their way to experts that are dealt to ranks.
struct ExchangeShape {
  std::int64_t ranks = 0;
  std::int64_t hidden = 0;
  std::int64_t experts_per_token = 0;
  std::int64_t experts = 0;
  friend auto operator<=>(const ExchangeShape&, const ExchangeShape&) = default;
};
/// How often a token goes out: to each of its experts (low latency), or once to every rank that has some of them.
[[nodiscard]] double exchange_copies(std::string_view kind, std::int64_t ranks, std::int64_t experts_per_token);

/// Everything measured on one GPU as one release of the engine runs it, ready to price shapes. Rows with flags are left out: their
/// times are not those of an engine. Two kinds stay: rows with grouped routing, read by what they reached, and products whose
/// weights came from the L2 cache, which take no less than streaming them from memory does.
class GpuCurves {
 public:
  /// `fused`: whether all-reduces do the norm after them (all_reduce.hpp); empty: the release's default.
  GpuCurves(const MeasuredKernels& kernels, const domain::GpuSpec& gpu, std::optional<domain::Release> release,
            std::optional<bool> fused = {});
  GpuCurves(const GpuCurves&) = delete;
  GpuCurves& operator=(const GpuCurves&) = delete;

  /// y[m, n] = x[m, k] w[n, k]^T over m. Shapes that were not measured: the three nearest ones' ratio to the roofline at every m.
  /// With typical rows every shape takes the ratio to the roofline that large shapes have in the median at that m.
  [[nodiscard]] GemmPrice gemm(NumberFormat format, std::int64_t n, std::int64_t k, ProductRows rows = ProductRows::own) const;
  [[nodiscard]] ExpertPrice experts(NumberFormat format, const MoeShape& shape, ExpertLoad load) const;
  /// Causal attention of new sequences over (sequences, tokens each). With a window that was not measured: the kernel without one,
  /// which the caller gives no more tokens than the window lets it see. Empty when there is no row at all.
  [[nodiscard]] std::optional<AttentionPrice> context_attention(NumberFormat kv, const HeadShape& heads, std::int64_t window) const;
  /// One query per sequence over (sequences, context tokens of each).
  [[nodiscard]] std::optional<AttentionPrice> generation_attention(NumberFormat kv, const HeadShape& heads, std::int64_t window) const;
  /// Whole latent-attention modules of DeepSeek-V3's dimensions, `heads` on one GPU: projections included.
  [[nodiscard]] std::optional<AttentionPrice> latent_context(NumberFormat format, NumberFormat kv, std::int64_t heads) const;
  [[nodiscard]] std::optional<AttentionPrice> latent_generation(NumberFormat format, NumberFormat kv, std::int64_t heads) const;
  /// Decodes of whole sparse-attention modules (indexer and projections included, FP8 weights in blocks) with the dimensions of a
  /// measured model, over (sequences, context tokens of each). `op`: "dsa", "msa", "dsv4_csa", "dsv4_hca".
  [[nodiscard]] std::optional<AttentionPrice> sparse_generation(std::string_view op, std::string_view model, NumberFormat kv,
                                                                std::int64_t heads) const;
  /// Prompts of the same. Those of "dsa" were measured eagerly: no curve is made of them.
  [[nodiscard]] std::optional<ChunkPrice> sparse_context(std::string_view op, std::string_view model, NumberFormat kv,
                                                         std::int64_t heads) const;
  /// Convolution and recurrence of a linear-attention layer, `op` "gdn" or "kda", `phase` "context" or "generation", over
  /// (sequences, new tokens of each).
  [[nodiscard]] std::optional<AttentionPrice> linear_attention(std::string_view op, std::string_view phase, std::int64_t key_heads,
                                                               std::int64_t value_heads) const;
  /// Over bytes of the message.
  [[nodiscard]] GemmPrice all_reduce(std::int64_t ranks) const;
  /// NCCL's all_gather (over bytes of what is gathered) or reduce_scatter (of what every rank gives).
  [[nodiscard]] GemmPrice collective(std::string_view op, std::int64_t ranks) const;

  /// DeepEP's dispatch or combine (`op`) over tokens of each rank; `kind` "low_latency" or "high_throughput". A shape that was not
  /// measured is the nearest one with as many bytes; another number of ranks by what goes to others. Empty: no row of the kind.
  [[nodiscard]] std::optional<GemmPrice> expert_exchange(std::string_view kind, std::string_view op, const ExchangeShape& shape) const;

  /// What matrix products of a format reach, measured where there are rows of it.
  [[nodiscard]] RooflineForm form(NumberFormat format) const;

 private:
  /// Products of one format: time of every shape over one ladder of m; 0 where it was not measured.
  struct Products {
    std::vector<double> ladder;
    std::vector<std::pair<std::int64_t, std::int64_t>> shapes;  ///< (n, k)
    std::vector<std::vector<double>> us;                        ///< by shape, then place on the ladder
    std::vector<std::vector<double>> log_ratio;                 ///< of the same to the roofline
    std::vector<double> typical_log_ratio;                      ///< by place on the ladder
    RooflineForm form;
  };
  struct MeasuredExperts {
    NumberFormat format = NumberFormat::bf16;
    MoeShape shape;
    std::string routing;
    bool grouped_routing = false;
    bool routes_itself = false;
    std::vector<std::pair<double, double>> us;  ///< (tokens, time), rising
  };
  /// Work of one GPU: FLOPs of n tokens, and bytes of the experts that balanced routing reaches.
  [[nodiscard]] static double expert_roofline_us(const RooflineForm& form, NumberFormat format, const MoeShape& shape, double tokens);
  [[nodiscard]] const MeasuredExperts* nearest_experts(NumberFormat format, const MoeShape& shape, std::string_view routing) const;
  [[nodiscard]] PriceCurve expert_curve(const MeasuredExperts& measured, NumberFormat format, const MoeShape& shape) const;
  [[nodiscard]] RooflineForm expert_form(NumberFormat format) const;
  struct HeadsKey {
    NumberFormat kv = NumberFormat::bf16;
    std::int64_t window = 0;
    HeadShape heads;
    friend auto operator<=>(const HeadsKey&, const HeadsKey&) = default;
  };
  struct LatentKey {
    NumberFormat format = NumberFormat::bf16;
    NumberFormat kv = NumberFormat::bf16;
    std::int64_t heads = 0;
    friend auto operator<=>(const LatentKey&, const LatentKey&) = default;
  };
  struct SparseKey {
    std::string op;
    std::string model;
    NumberFormat kv = NumberFormat::bf16;
    std::int64_t heads = 0;
    friend auto operator<=>(const SparseKey&, const SparseKey&) = default;
  };
  struct LinearKey {
    std::string op;
    std::string phase;
    std::int64_t key_heads = 0;
    std::int64_t value_heads = 0;
    friend auto operator<=>(const LinearKey&, const LinearKey&) = default;
  };

  void add_products(const MeasuredKernels& kernels, std::optional<domain::Release> release);
  static void set_typical_ratios(Products& products, NumberFormat format);
  void add_experts(const MeasuredKernels& kernels);
  void add_attention(const MeasuredKernels& kernels);
  void add_modules(const MeasuredKernels& kernels);
  void add_sparse_modules(const MeasuredKernels& kernels);
  void add_exchanges(const MeasuredKernels& kernels);
  /// That of so many ranks, or of the nearest number by what a ring moves; `passes` times (r - 1) / r of the message.
  [[nodiscard]] GemmPrice by_ranks(const std::map<std::int64_t, PriceCurve>& curves, std::int64_t ranks, double passes) const;
  [[nodiscard]] static std::map<HeadsKey, LatencyGrid> heads_grids(const std::vector<AttentionRow>& rows, double work_power);
  [[nodiscard]] static std::optional<AttentionPrice> nearest_heads(const std::map<HeadsKey, LatencyGrid>& grids, NumberFormat kv,
                                                                   const HeadShape& heads, std::int64_t window);

  domain::GpuSpec gpu_;
  std::map<NumberFormat, Products> gemms_;
  std::vector<MeasuredExperts> experts_;
  std::map<NumberFormat, RooflineForm> expert_forms_;
  std::map<HeadsKey, LatencyGrid> context_;
  std::map<HeadsKey, LatencyGrid> generation_;
  std::map<LatentKey, LatencyGrid> latent_context_;
  std::map<LatentKey, LatencyGrid> latent_generation_;
  std::map<SparseKey, LatencyGrid> sparse_generation_;
  std::map<SparseKey, LatencyGrid> sparse_context_;
  std::map<SparseKey, double> most_cached_;
  std::map<LinearKey, LatencyGrid> linear_;
  std::map<std::int64_t, PriceCurve> all_reduces_;
  std::map<std::string, std::map<std::int64_t, PriceCurve>, std::less<>> collectives_;
  std::map<std::pair<std::string, std::string>, std::map<ExchangeShape, PriceCurve>> exchanges_;  ///< by kind and op
};

}  // namespace rooftune::kernels
