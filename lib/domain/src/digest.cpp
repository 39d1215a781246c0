#include "rooftune/domain/digest.hpp"

namespace rooftune::domain {

// Every function takes its type apart as a whole: see core::Digest. Names are as in the types.

static void add_to(core::Digest& digest, const EngineSettings& value) {
  const auto& [version, max_model_len, max_num_batched_tokens, max_num_seqs, gpu_mem_util, cpu_offload, total_kv_blocks, cpu_kv_blocks,
               block_size, enable_prefix_caching, enable_chunked_prefill, long_prefill_token_threshold] = value;
  digest.add(version, max_model_len, max_num_batched_tokens, max_num_seqs, gpu_mem_util, cpu_offload, total_kv_blocks, cpu_kv_blocks,
             block_size, enable_prefix_caching, enable_chunked_prefill, long_prefill_token_threshold);
}

static void add_to(core::Digest& digest, const Deployment& value) {
  const auto& [model, hardware, tp, dp, pp, precision, engine, settings] = value;
  digest.add(model, hardware, tp, dp, pp, precision, engine, settings);
}

static void add_to(core::Digest& digest, const Arrival& value) {
  const auto& [process, concurrency, gamma_coefficient_of_variation] = value;
  digest.add(process, concurrency, gamma_coefficient_of_variation);
}

static void add_to(core::Digest& digest, const LengthDistribution& value) {
  const auto& [mean_tokens, standard_deviation_tokens, min_tokens, max_tokens] = value;
  digest.add(mean_tokens, standard_deviation_tokens, min_tokens, max_tokens);
}

static void add_to(core::Digest& digest, const Stage& value) {
  const auto& [rate, duration, num_requests] = value;
  digest.add(rate, duration, num_requests);
}

static void add_to(core::Digest& digest, const TracedRequest& value) {
  const auto& [stage, arrival_s, input_tokens, output_tokens, prefix_group, shared_prefix_tokens] = value;
  digest.add(stage, arrival_s, input_tokens, output_tokens, prefix_group, shared_prefix_tokens);
}

static void add_to(core::Digest& digest, const Workload& value) {
  const auto& [name, type, pattern, distinct_prompts, prompt_groups, turns_per_conversation, system_prompt_tokens, prompt,
               prompt_spread_fraction, output, arrival, stages, trace] = value;
  digest.add(name, type, pattern, distinct_prompts, prompt_groups, turns_per_conversation, system_prompt_tokens, prompt,
             prompt_spread_fraction, output, arrival, stages, trace);
}

static void add_to(core::Digest& digest, const Latencies& value) {
  const auto& [value_ms, itl_mean_ms, succeeded, failed] = value;
  digest.add(value_ms, itl_mean_ms, succeeded, failed);
}

static void add_to(core::Digest& digest, const Measurement& value) {
  const auto& [measured_at, summary, stages] = value;
  digest.add(measured_at, summary, stages);
}

void add_to(core::Digest& digest, const Experiment& value) {
  const auto& [id, role, deployment, workload, measured, flags] = value;
  digest.add(id, role, deployment, workload, measured, flags);
}

static void add_to(core::Digest& digest, const MoeSpec& value) {
  const auto& [moe_layers, experts, experts_per_token, expert_ffn_width, shared_experts, shared_ffn_width] = value;
  digest.add(moe_layers, experts, experts_per_token, expert_ffn_width, shared_experts, shared_ffn_width);
}

static void add_to(core::Digest& digest, const LatentAttentionSpec& value) {
  const auto& [query_rank, kv_rank, nope_head_dim, rope_head_dim, value_head_dim] = value;
  digest.add(query_rank, kv_rank, nope_head_dim, rope_head_dim, value_head_dim);
}

static void add_to(core::Digest& digest, const ElementWidths& value) {
  const auto& [attention_weight_bytes, ffn_weight_bytes, embedding_bytes, kv_cache_bytes, activation_bytes, attention_computes_fp8,
               ffn_computes_fp8] = value;
  digest.add(attention_weight_bytes, ffn_weight_bytes, embedding_bytes, kv_cache_bytes, activation_bytes, attention_computes_fp8,
             ffn_computes_fp8);
}

static void add_to(core::Digest& digest, const DefaultSampling& value) {
  const auto& [temperature, top_p, top_k, source] = value;
  digest.add(temperature, top_p, top_k, source);
}

void add_to(core::Digest& digest, const ModelSpec& value) {
  const auto& [name, architecture, attention, layers, hidden, heads, kv_heads, head_dim, ffn_width, vocabulary, tied_embeddings,
               max_positions, moe, latent_attention, widths, sampling, source] = value;
  digest.add(name, architecture, attention, layers, hidden, heads, kv_heads, head_dim, ffn_width, vocabulary, tied_embeddings,
             max_positions, moe, latent_attention, widths, sampling, source);
}

void add_to(core::Digest& digest, const GpuSpec& value) {
  const auto& [name, aliases, peak_bf16, peak_fp8, hbm_bandwidth, interconnect, link_bandwidth, memory, source] = value;
  digest.add(name, aliases, peak_bf16, peak_fp8, hbm_bandwidth, interconnect, link_bandwidth, memory, source);
}

}  // namespace rooftune::domain
