#include "rooftune/latency/operators.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "rooftune/kernels/gpu_curves.hpp"

namespace rooftune::latency {
namespace {

using domain::Linear;
using domain::MixerKind;
using domain::Split;

std::int64_t share(std::int64_t whole, std::int64_t gpus) { return (whole + gpus - 1) / gpus; }

Gemm gemm_of_one_gpu(const Linear& linear, int tp, double count) {
  Gemm gemm{.name = linear.name, .n = linear.outputs, .k = linear.inputs, .stored = linear.stored, .count = count};
  if (linear.blocks > 1) {
    gemm.n /= linear.blocks;
    gemm.k /= linear.blocks;
    gemm.count *= static_cast<double>(share(linear.blocks, tp));
    return gemm;
  }
  if (linear.split == Split::inputs) gemm.k = share(linear.inputs, tp);
  if (linear.split == Split::outputs) {
    const std::int64_t own = share(linear.outputs - linear.kv_outputs, tp);
    const std::int64_t kv = linear.kv_heads > 0 ? share(linear.kv_outputs, std::min(tp, linear.kv_heads)) : 0;
    gemm.n = own + kv;
  }
  return gemm;
}

/// The tokens that a window leaves to attend to, or 0 where no request can outgrow it.
std::int64_t binding(std::int64_t window, const domain::EngineSettings& settings) {
  const bool can_outgrow = settings.max_model_len == 0 || window < settings.max_model_len;  // 0: not settled yet
  return can_outgrow ? window : 0;
}

std::vector<ContextRead> reads_of(const domain::Mixer& mixer, const Attention& attention, const domain::EngineSettings& settings) {
  const double bytes = attention.kv_bytes_per_element;
  const auto heads = static_cast<double>(attention.heads);
  ContextRead read;
  if (mixer.latent) {
    // Decoding multiplies with the latent itself; prefill expands it to keys and values first.
    const double row = mixer.latent->kv_rank + mixer.latent->rope_head_dim;
    read.bytes = row * bytes;
    read.decode_flops = 2.0 * heads * (row + mixer.latent->kv_rank);
    read.prefill_flops = mixer.sparse ? read.decode_flops : 2.0 * heads * (mixer.head_dim + mixer.value_head_dim);
    read.computes = true;
  } else {
    const double row = mixer.head_dim + (mixer.keys_are_values ? 0.0 : mixer.value_head_dim);
    read.bytes = static_cast<double>(attention.kv_heads) * row * bytes;
    read.decode_flops = read.prefill_flops = 2.0 * heads * (mixer.head_dim + mixer.value_head_dim);
    read.computes = mixer.keys_are_values;
  }
  std::vector<ContextRead> reads;
  if (mixer.kind == MixerKind::sliding_window || mixer.kind == MixerKind::chunked) {
    read.most = attention.window;
    read.restarts = mixer.kind == MixerKind::chunked && attention.window > 0;
    reads.push_back(read);
    if (!mixer.sparse || attention.window == 0) return reads;
    read.restarts = false;
  }
  if (const auto& sparse = mixer.sparse) {
    read.tokens_per_entry = sparse->tokens_per_entry;
    const std::int64_t attended_tokens = std::int64_t{1} * sparse->attended_entries * sparse->tokens_per_entry;
    const bool binds = sparse->attended_entries > 0 && binding(attended_tokens, settings) > 0;
    read.most = binds ? sparse->attended_entries : 0;
    reads.push_back(read);
    // Below that the engine attends to everything and scores nothing.
    if (binds && sparse->index_heads > 0) {
      const double flops = 2.0 * sparse->index_heads * sparse->index_head_dim;
      reads.push_back({.bytes = sparse->index_bytes_per_entry,
                       .decode_flops = flops,
                       .prefill_flops = flops,
                       .tokens_per_entry = sparse->tokens_per_entry,
                       .computes = true});
    }
    return reads;
  }
  reads.push_back(read);
  return reads;
}

Attention attention_of_one_gpu(const domain::Mixer& mixer, double kv_bytes, const domain::Deployment& deployment, double count) {
  const int tp = deployment.tp;
  Attention attention{.kind = mixer.kind,
                      .heads = share(mixer.heads, tp),
                      .kv_heads = std::max<std::int64_t>(1, mixer.kv_heads / tp),
                      .head_dim = mixer.head_dim,
                      .value_head_dim = mixer.value_head_dim,
                      .window = binding(mixer.window, deployment.settings),
                      .latent = mixer.latent,
                      .sparse = mixer.sparse,
                      .kv_bytes_per_element = kv_bytes,
                      .count = count};
  attention.reads = reads_of(mixer, attention, deployment.settings);
  return attention;
}

StateUpdate state_of_one_gpu(const domain::LinearAttentionSpec& linear, int tp, double count) {
  StateUpdate state{.linear = linear, .count = count};
  state.linear.heads = static_cast<int>(share(linear.heads, tp));
  state.linear.convolved = static_cast<int>(share(linear.convolved, tp));
  state.bytes_per_sequence = 2.0 * domain::state_bytes_per_request(state.linear);
  // Per element of the state: decay and outer product, and the product with the query; the delta rule first reads what it corrects.
  const double products = linear.kind == domain::LinearKind::mamba2 ? 2.0 : 3.0;
  state.flops_per_token = 2.0 * products * state.linear.heads * linear.key_dim * linear.value_dim;
  return state;
}

/// Each GPU holds a slice of every expert, or, with expert parallelism in the same group, some experts whole. The group is that of
/// all data-parallel ranks (docs.vllm.ai, "Data Parallel Deployment": of size DP x TP).
ExpertLayer experts_of(const domain::Experts& experts, const domain::Deployment& deployment, double count) {
  const bool whole = deployment.settings.enable_expert_parallel;
  const int group = deployment.tp * deployment.settings.data_parallel_size;
  return {.experts = experts.count,
          .per_token = experts.per_token,
          .inputs = experts.inputs,
          .width = experts.width,
          .gated = experts.gated,
          .stored = experts.stored,
          .tp = whole ? 1 : group,
          .ep = whole ? group : 1,
          .count = count};
}

/// Elements that one token moves through memory outside of matrix products and attention: two residual additions with their
/// norms (each reads two rows and writes two), rotary embedding of queries and keys, and the gates of FFNs.
double element_wise(const domain::ModelSpec& model, double tp) {
  const auto rows_of_gate = [](bool gated) { return gated ? 3.0 : 2.0; };
  double whole = 0.0;
  double divided = 0.0;
  for (const auto& [count, layer] : model.groups) {
    const auto& [mixer, ffn] = layer;
    if (mixer.kind != MixerKind::none) whole += count * 4.0 * model.hidden;
    if (!ffn.is_none()) whole += count * 4.0 * model.hidden;
    divided += count * 2.0 * (mixer.heads + mixer.kv_heads) * mixer.head_dim;
    if (mixer.linear) divided += count * 2.0 * mixer.linear->convolved;
    divided += count * rows_of_gate(ffn.gated) * (ffn.width + ffn.shared_width);
    if (ffn.experts) divided += count * rows_of_gate(ffn.experts->gated) * ffn.experts->per_token * ffn.experts->width;
  }
  return whole + divided / tp;
}

/// One after every mixer and FFN; experts beside a dense FFN have their own.
double all_reduces(const domain::ModelSpec& model) {
  double count = 0.0;
  for (const auto& [layers, layer] : model.groups) {
    if (layer.mixer.kind != MixerKind::none) count += layers;
    if (layer.ffn.width > 0) count += layers;
    if (layer.ffn.experts) count += layers;
  }
  return count;
}

/// Kernels that send a token to the ranks of its experts alone, as tables name them: DeepEP's two kinds. Others have no table.
std::string_view exchange_kernels(domain::All2AllBackend backend) {
  if (backend == domain::All2AllBackend::deepep_low_latency) return "low_latency";
  if (backend == domain::All2AllBackend::deepep_high_throughput) return "high_throughput";
  return "";
}

/// Tokens that a rank sends with one call of DeepEP's low-latency kernels: vLLM's VLLM_MOE_DP_CHUNK_SIZE, 256 by default.
constexpr std::int64_t kLowLatencyTokens = 256;

/// The experts of one kind of layer get each token where they are, and send back what they made of it.
void add_exchange(const domain::Experts& experts, double count, int ranks, domain::All2AllBackend backend, double activation_bytes,
                  std::vector<Collective>& collectives) {
  const std::string_view kernels = exchange_kernels(backend);
  const double copies = kernels::exchange_copies(kernels, ranks, experts.per_token);
  Collective exchange{.ranks = ranks,
                      .count = count,
                      .kernels = std::string(kernels),
                      .hidden = experts.inputs,
                      .experts_per_token = experts.per_token,
                      .experts = experts.count,
                      .most_tokens = kernels == "low_latency" ? kLowLatencyTokens : 0};
  for (const CollectiveKind kind : {CollectiveKind::dispatch, CollectiveKind::combine}) {
    exchange.kind = kind;
    // Experts in FP8 blocks take tokens quantised as these are, with one float for 128 of them.
    const bool quantised = kind == CollectiveKind::dispatch && experts.stored.format == domain::WeightFormat::fp8_block;
    exchange.bytes_per_element = quantised ? 1.0 + 4.0 / 128.0 : activation_bytes;
    // A rank sends the copies of its own tokens: one in `ranks` of all.
    exchange.bytes_per_token = copies / ranks * static_cast<double>(experts.inputs) * exchange.bytes_per_element;
    collectives.push_back(exchange);
  }
}

/// Tokens of several ranks on their way to the routed experts and back, as vLLM's all2all backends do it. `allgather_reducescatter`:
/// all come together with their router's scores, and go apart again. `naive`: each rank sends its own to all others, and what comes
/// out is added up everywhere. All others send a token to those ranks alone that have its experts, where experts are dealt whole.
void add_dispatch(const domain::ModelSpec& model, const domain::Deployment& deployment, std::vector<Collective>& collectives) {
  const auto backend = deployment.settings.all2all_backend.value_or(domain::All2AllBackend::allgather_reducescatter);
  const int ranks = deployment.settings.data_parallel_size;
  const bool is_naive = backend == domain::All2AllBackend::naive;
  const bool exchanges = !is_naive && backend != domain::All2AllBackend::allgather_reducescatter;
  for (const auto& [layers, layer] : model.groups) {
    if (!layer.ffn.experts) continue;
    const double count = layers;
    if (exchanges && deployment.settings.enable_expert_parallel) {
      add_exchange(*layer.ffn.experts, count, deployment.tp * ranks, backend, model.activation_bytes, collectives);
      continue;
    }
    const double row = static_cast<double>(layer.ffn.experts->inputs) * model.activation_bytes;
    const double scores = static_cast<double>(layer.ffn.experts->count) * model.activation_bytes;
    // One broadcast after the other, each of one rank's tokens.
    const double calls = is_naive ? ranks : 1.0;
    collectives.push_back(
        {.kind = CollectiveKind::all_gather, .ranks = ranks, .bytes_per_token = (row + scores) / calls, .count = calls * count});
    collectives.push_back({.kind = is_naive ? CollectiveKind::sum_at_all : CollectiveKind::reduce_scatter,
                           .ranks = ranks,
                           .bytes_per_token = row,
                           .count = count});
  }
}

/// Norms over the heads of all GPUs: one more per layer, of two numbers a token (vLLM's MiniMaxText01RMSNormTP).
double norm_all_reduces(const domain::ModelSpec& model) {
  double count = 0.0;
  for (const auto& [layers, layer] : model.groups) {
    if (layer.mixer.norm_spans_heads) count += layers;
  }
  return count;
}

}  // namespace

double ContextRead::entries(double context_tokens) const {
  if (restarts) return std::fmod(context_tokens, static_cast<double>(most));
  const double all = context_tokens / tokens_per_entry;
  return is_limited() ? std::min(all, static_cast<double>(most)) : all;
}

double ContextRead::pairs(double context_tokens, double new_tokens) const {
  const double end = context_tokens + new_tokens;
  if (restarts) {
    const auto chunk = static_cast<double>(most);
    const auto below = [&](double tokens) {
      const double rest = std::fmod(tokens, chunk);
      return 0.5 * ((tokens - rest) * chunk + rest * rest);
    };
    return below(end) - below(context_tokens);
  }
  const double limit = static_cast<double>(most) * tokens_per_entry;
  if (!is_limited() || end <= limit) return new_tokens * (context_tokens + 0.5 * new_tokens) / tokens_per_entry;
  const double growing = std::max(0.0, limit - context_tokens);
  return (growing * (context_tokens + 0.5 * growing) + (new_tokens - growing) * limit) / tokens_per_entry;
}

std::int64_t ContextRead::tokens_to_change(std::int64_t context_tokens) const {
  if (!is_limited()) return 0;
  if (restarts) return most - context_tokens % most;
  return std::max<std::int64_t>(0, most * tokens_per_entry - context_tokens);
}

double ContextRead::growth(std::int64_t context_tokens) const {
  const bool grows = !is_limited() || restarts || context_tokens < most * tokens_per_entry;
  return grows ? 1.0 / tokens_per_entry : 0.0;
}

double weight_bytes_of_one_gpu(const domain::ModelSpec& model, const domain::Deployment& deployment) {
  const int tp = deployment.tp;
  const double table = static_cast<double>(model.vocabulary) * model.hidden / tp;
  double bytes = 2.0 * (model.vision_elements + model.layer_input_elements) / tp;
  if (!model.tied_embeddings) bytes += table * model.embedding.bytes;  // the LM head is among the products
  const Operators operators = operators_of(model, deployment);
  for (const Gemm& gemm : operators.gemms) bytes += gemm.count * gemm.elements() * gemm.stored.bytes;
  for (const ExpertLayer& layer : operators.experts) {
    bytes += layer.count * static_cast<double>(layer.experts) * layer.elements() * layer.stored.bytes / (layer.tp * layer.ep);
  }
  for (const StateUpdate& state : operators.states) {
    bytes += state.count * 2.0 * state.linear.convolved * state.linear.kernel;
  }
  return bytes / deployment.pp;
}

double kv_bytes_per_element(const domain::ModelSpec& model, const domain::Deployment& /*deployment*/) { return model.kv_cache_bytes; }

ComputeFormat compute_format(domain::WeightFormat format, const ComputeUnits& units) {
  using enum domain::WeightFormat;
  switch (format) {
    case bf16:
    case int8_weight_only:
    case int4_weight_only: return ComputeFormat::bf16;
    case fp8:
    case fp8_block: return units.fp8 ? ComputeFormat::fp8 : ComputeFormat::bf16;
    case int8: return units.int8 ? ComputeFormat::int8 : ComputeFormat::bf16;
    case mxfp4: return units.fp4 && units.fp8 ? ComputeFormat::fp8 : ComputeFormat::bf16;
    case nvfp4: return units.fp4 ? ComputeFormat::fp4 : ComputeFormat::bf16;
  }
  return ComputeFormat::bf16;
}

Operators operators_of(const domain::ModelSpec& model, const domain::Deployment& deployment) {
  Operators operators;
  const int tp = deployment.tp;
  const double kv_bytes = kv_bytes_per_element(model, deployment);
  for (const auto& [count, layer] : model.groups) {
    const auto& [mixer, ffn] = layer;
    const bool attends = !mixer.linear && mixer.kind != MixerKind::none;
    for (const Linear& linear : mixer.linears) {
      operators.gemms.push_back(gemm_of_one_gpu(linear, tp, count));
      if (attends) operators.gemms.back().attention = static_cast<int>(operators.attentions.size());
    }
    if (mixer.linear) {
      operators.states.push_back(state_of_one_gpu(*mixer.linear, tp, count));
    } else if (attends) {
      operators.attentions.push_back(attention_of_one_gpu(mixer, kv_bytes, deployment, count));
    }
    for (const Linear& linear : ffn.linears) operators.gemms.push_back(gemm_of_one_gpu(linear, tp, count));
    if (ffn.experts) operators.experts.push_back(experts_of(*ffn.experts, deployment, count));
  }
  operators.gemms.push_back({.name = std::string(kLmHeadName),
                             .n = share(model.vocabulary, tp),
                             .k = model.hidden,
                             .stored = model.lm_head,
                             .count = 1.0,
                             .rows = Rows::sequences});
  if (tp > 1) {
    operators.collectives.push_back({.kind = CollectiveKind::all_reduce,
                                     .ranks = tp,
                                     .bytes_per_token = model.hidden * model.activation_bytes,
                                     .count = all_reduces(model)});
    if (const double count = norm_all_reduces(model); count > 0.0) {
      constexpr double kTwoSumsOfSquares = 2.0 * 4.0;  // in 32 bits, of queries and keys
      operators.collectives.push_back(
          {.kind = CollectiveKind::all_reduce, .ranks = tp, .bytes_per_token = kTwoSumsOfSquares, .count = count});
    }
  }
  if (deployment.settings.data_parallel_size > 1) add_dispatch(model, deployment, operators.collectives);
  operators.element_wise_bytes_per_token = element_wise(model, tp) * model.activation_bytes;
  operators.sampler = {.vocabulary = model.vocabulary, .truncates = model.sampling && model.sampling->truncates()};
  operators.layers = 0.5 * (model.mixers() + model.ffns());
  operators.moe_layers = model.moe_layers();
  return operators;
}

}  // namespace rooftune::latency
