#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/domain/model.hpp"

/// What one GPU of a deployment does in a step, as operators that step-time models price. Sizes are those of one GPU, after
/// tensor parallelism has divided the layers; what only the step knows (tokens, sequences, contexts) is left open.
namespace rooftune::latency {

enum class Rows { tokens, sequences };

/// y[m, n] = x[m, k] w[n, k]^T, `count` times per step; m: the tokens of the step or its sequences (LM head).
struct Gemm {
  std::string name;
  std::int64_t n = 0;
  std::int64_t k = 0;
  domain::Stored stored{};
  double count = 0.0;
  Rows rows = Rows::tokens;
  int attention = -1;  ///< place in Operators::attentions of the one that it belongs to; -1: of none

  [[nodiscard]] double elements() const { return static_cast<double>(n) * static_cast<double>(k); }
};

/// Entries of the cache that a token attends to. A token with t tokens before it has t / tokens_per_entry of them, at most `most`.
struct ContextRead {
  double bytes = 0.0;          ///< per entry
  double decode_flops = 0.0;   ///< per entry and decoding token
  double prefill_flops = 0.0;  ///< per pair of an entry and a new token
  int tokens_per_entry = 1;
  std::int64_t most = 0;  ///< entries; 0: all
  bool restarts = false;  ///< chunks of `most` tokens: only those of its own chunk
  bool computes = false;  ///< decode_flops can be what a decode waits for (latent attention, indexers); else bytes alone rule

  [[nodiscard]] bool is_limited() const { return most > 0; }
  /// Entries that a token with so many before it attends to.
  [[nodiscard]] double entries(double context_tokens) const;
  /// Sum of them over `new_tokens` that follow `context_tokens`, half of each pair among the new ones (causal mask).
  [[nodiscard]] double pairs(double context_tokens, double new_tokens) const;
  /// So many more tokens can follow until the entries of a token stop growing as they do now; 0: they grow for ever, or not at all.
  [[nodiscard]] std::int64_t tokens_to_change(std::int64_t context_tokens) const;
  /// Entries per further token of context at this point.
  [[nodiscard]] double growth(std::int64_t context_tokens) const;
};

/// The attention core of one kind of layer.
struct Attention {
  domain::MixerKind kind = domain::MixerKind::full_attention;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;  ///< at least one: replicated where there are more GPUs
  std::int64_t head_dim = 0;
  std::int64_t value_head_dim = 0;
  std::int64_t window = 0;  ///< sliding_window, chunked; 0 where it does not bind
  std::optional<domain::LatentAttentionSpec> latent{};
  std::optional<domain::SparseSpec> sparse{};
  double kv_bytes_per_element = 2.0;
  std::vector<ContextRead> reads{};
  double count = 0.0;
};

/// Linear attention: every sequence's state is read and written once per step, every token updates it.
struct StateUpdate {
  domain::LinearAttentionSpec linear{};  ///< heads and channels of one GPU
  double bytes_per_sequence = 0.0;
  double flops_per_token = 0.0;
  double count = 0.0;
};

/// Routed experts of one kind of layer: a grouped product over the experts that the step's tokens reach.
struct ExpertLayer {
  std::int64_t experts = 0;  ///< of the whole layer
  std::int64_t per_token = 0;
  std::int64_t inputs = 0;
  std::int64_t width = 0;  ///< of a whole expert
  bool gated = true;
  domain::Stored stored{};
  int tp = 1;  ///< GPUs that share an expert
  int ep = 1;  ///< GPUs that experts are dealt to; tp x ep GPUs in all
  double count = 0.0;

  /// Weights of one expert, all its parts together.
  [[nodiscard]] double elements() const { return (gated ? 3.0 : 2.0) * static_cast<double>(inputs) * static_cast<double>(width); }
  [[nodiscard]] std::int64_t experts_on_gpu() const { return (experts + ep - 1) / ep; }
  [[nodiscard]] std::int64_t width_on_gpu() const { return (width + tp - 1) / tp; }
};

enum class CollectiveKind {
  all_reduce,      ///< among the GPUs that share a layer, over the tokens of their rank
  all_gather,      ///< dispatch: every data-parallel rank gets the tokens of all
  reduce_scatter,  ///< combine: what the experts made of them is added up, and every rank gets its own tokens' back
  sum_at_all,      ///< combine: added up, and every rank gets all (vLLM's "naive" backend)
  dispatch,        ///< every token goes to those ranks alone that have its experts
  combine,         ///< and comes back from them
};

struct Collective {
  CollectiveKind kind = CollectiveKind::all_reduce;
  int ranks = 1;
  /// Of the message that every rank has. Of all ranks' tokens together, where all ranks take part.
  double bytes_per_token = 0.0;
  double count = 0.0;
  /// dispatch, combine: the kernels, as tables name them; empty: such as none holds.
  std::string kernels{};
  std::int64_t hidden = 0;
  std::int64_t experts_per_token = 0;
  std::int64_t experts = 0;
  double bytes_per_element = 2.0;
  /// Tokens of a rank that one call takes; 0: all.
  std::int64_t most_tokens = 0;

  [[nodiscard]] bool is_of_all_ranks() const { return kind != CollectiveKind::all_reduce; }
  /// How often the message passes a link.
  [[nodiscard]] double passes() const { return kind == CollectiveKind::all_reduce || kind == CollectiveKind::sum_at_all ? 2.0 : 1.0; }
};

struct Sampler {
  std::int64_t vocabulary = 0;
  bool truncates = false;  ///< top-p or top-k by default
};

struct Operators {
  std::vector<Gemm> gemms;  ///< LM head included
  std::vector<Attention> attentions;
  std::vector<StateUpdate> states;
  std::vector<ExpertLayer> experts;
  std::vector<Collective> collectives;
  double element_wise_bytes_per_token = 0.0;  ///< norms, rotary embedding, gates, over all layers
  Sampler sampler{};
  double layers = 0.0;  ///< pairs of a mixer and an FFN: what fixed costs per layer count
  double moe_layers = 0.0;
};

/// The router is among the matrix products by this name.
inline constexpr std::string_view kRouterName = "router";
inline constexpr std::string_view kLmHeadName = "lm_head";

[[nodiscard]] Operators operators_of(const domain::ModelSpec& model, const domain::Deployment& deployment);

/// Bytes of weights that one GPU holds, of a pipeline's stages on average: what tensor parallelism does not divide is on every GPU.
[[nodiscard]] double weight_bytes_of_one_gpu(const domain::ModelSpec& model, const domain::Deployment& deployment);

/// Bytes of one element of the KV cache: what the deployment says, else the checkpoint.
[[nodiscard]] double kv_bytes_per_element(const domain::ModelSpec& model, const domain::Deployment& deployment);

/// Units that a product runs on.
enum class ComputeFormat { bf16, fp8, fp4, int8 };

/// Which units a GPU has beside bf16.
struct ComputeUnits {
  bool fp8 = false;
  bool fp4 = false;
  bool int8 = false;
};

/// Weight-only formats, and those that the GPU has no units for, are read as they are and multiplied in bf16. MXFP4 takes FP8
/// activations where there are FP4 units (as vLLM's kernels for Blackwell do), NVFP4 its own kind.
[[nodiscard]] ComputeFormat compute_format(domain::WeightFormat format, const ComputeUnits& units);

}  // namespace rooftune::latency
