#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "rooftune/kernels/gpu_curves.hpp"
#include "rooftune/latency/operators.hpp"
#include "rooftune/latency/step_time.hpp"

namespace rooftune::latency {

/// What the GPU's measured curves say of the operators of one deployment, all layers together: plain times, before any factor.
class KernelPrices {
 public:
  /// How the tables are read; each a switch of the model.
  struct Reading {
    kernels::ExpertLoad load = kernels::ExpertLoad::balanced;
    kernels::ProductRows products_16bit = kernels::ProductRows::own;
    bool decodes_stream = false;  ///< decode attention with the whole context: a straight line in place of the curve
  };

  /// The target must have kernel tables.
  KernelPrices(const Target& target, const Reading& reading, double popularity_exponent);

  /// What depends on the number of tokens in the step alone. Products are split by what bounds them: the part of a product's time
  /// that goes to `computing` is c^2 / (c^2 + w^2), with c and w its times by the roofline's two sides.
  struct TokenWork {
    double streaming_products_us = 0.0;
    double computing_products_us = 0.0;
    double all_reduces_us = 0.0;
    double element_wise_us = 0.0;
  };
  [[nodiscard]] TokenWork token_work(std::int64_t tokens);
  /// Tokens of all data-parallel ranks on their way to the experts and back.
  [[nodiscard]] double dispatch_us(std::int64_t tokens);
  /// Experts, at one routing correlation: what reaching them takes, its derivative in the correlation, and the load's time.
  [[nodiscard]] kernels::ExpertPrice::At experts(std::int64_t tokens, double rho);
  [[nodiscard]] double lm_head_us(std::int64_t sequences);

  /// Attention of decodes over what they read, as a straight line: time, growth per token of every request's context, and for how
  /// many further steps it holds.
  struct Line {
    double us = 0.0;
    double slope_us = 0.0;
    std::int64_t steps = kEveryStep;
  };
  [[nodiscard]] Line decode_attention(const Batch& batch);
  /// Attention of prompts and chunks, linear attention's scans included.
  [[nodiscard]] double prefill_attention_us(std::span<const PrefillChunk> prefills);
  /// States that linear attention reads and writes for every decoding sequence.
  [[nodiscard]] double decode_states_us(std::int64_t sequences);

  [[nodiscard]] bool wants_contexts() const { return wants_contexts_; }
  [[nodiscard]] double all_reduce_count() const { return all_reduce_count_; }
  /// Layers with experts, those whose kernel routes itself in part.
  [[nodiscard]] double expert_surroundings() const { return expert_surroundings_; }
  [[nodiscard]] const kernels::LookupReport& report() const { return report_; }

 private:
  struct Product {
    kernels::GemmPrice price;
    double compute_us_per_token = 0.0;  ///< roofline's two sides
    double weights_us = 0.0;
    double count = 0.0;
  };
  struct Experts {
    kernels::ExpertPrice price;
    double count = 0.0;
  };
  struct Reduce {
    kernels::GemmPrice price;
    double bytes_per_token = 0.0;
    double count = 0.0;
  };
  struct Dispatch {
    Reduce message;
    std::int64_t ranks = 0;
    std::int64_t most_tokens = 0;  ///< of one rank that a call takes; 0: all
  };
  /// Attention of one kind of layer. Without a measured kernel: by bytes and FLOPs of its reads at the efficiency of the GPU's
  /// other kernels.
  struct Mixer {
    Attention attention;
    std::optional<kernels::AttentionPrice> generation;
    std::optional<kernels::AttentionPrice> context;
    std::optional<kernels::ChunkPrice> chunks;                    ///< in its place, of sparse modules whose prompts were measured
    std::optional<kernels::AttentionPrice::Streaming> streaming;  ///< in place of `generation`
    bool is_module = false;                                       ///< projections are in the times
    double index_flops_per_token = 0.0;                           ///< of a sparse module's indexer, whose prompts were not measured
    std::vector<std::vector<double>> knots_us;                    ///< by sequences, then knot; negative: not yet asked for

    /// A sparse module's indexer goes by the whole context, whatever of it is then read.
    [[nodiscard]] bool goes_by_context() const { return is_module && attention.sparse.has_value(); }
  };
  struct State {
    StateUpdate update;
    std::optional<kernels::AttentionPrice> generation;
    std::optional<kernels::AttentionPrice> context;
  };

  void add_mixers(const Operators& operators, bool decodes_stream);
  /// Whole modules in the place of attention and its products, where the tables have the model's.
  void add_module(Mixer& mixer, const Operators& operators, kernels::NumberFormat kv, int place);
  [[nodiscard]] Dispatch dispatch_of(const Collective& collective) const;
  void add_products(const Operators& operators, kernels::ProductRows rows_16bit);
  [[nodiscard]] double knot_us(Mixer& mixer, std::int64_t sequences, int knot);
  [[nodiscard]] double unmeasured_decode_us(const Attention& attention, std::span<const double> entries) const;
  [[nodiscard]] double decode_us(const Mixer& mixer, double sequences, double tokens) const;
  [[nodiscard]] double chunks_us(const Mixer& mixer, std::span<const PrefillChunk> prefills) const;
  [[nodiscard]] double prefill_us(const Mixer& mixer, std::span<const PrefillChunk> prefills) const;
  void note(kernels::Coverage coverage);

  const kernels::GpuCurves& curves_;
  kernels::RooflineForm form_;  ///< of bf16 products: what is not measured runs like these
  std::vector<Product> products_;
  std::optional<Product> lm_head_;
  std::vector<Experts> experts_;
  std::vector<Reduce> reduces_;
  std::vector<Dispatch> dispatches_;
  std::vector<Mixer> mixers_;
  std::vector<State> states_;
  double element_wise_bytes_per_token_ = 0.0;
  double all_reduce_count_ = 0.0;
  double expert_surroundings_ = 0.0;
  bool wants_contexts_ = false;
  kernels::LookupReport report_;
};

}  // namespace rooftune::latency
