#include "rooftune/domain/digest.hpp"

namespace rooftune::domain {

// Every function takes its type apart as a whole: see core::Digest. Names are as in the types.

static void add_to(core::Digest& digest, const Speculation& value) {
  const auto& [method, num_speculative_tokens, mean_accepted_length, acceptance_per_position, draft_model, draft_layers] = value;
  digest.add(method, num_speculative_tokens, mean_accepted_length, acceptance_per_position, draft_model, draft_layers);
}

static void add_to(core::Digest& digest, const EnginePool& value) {
  const auto& [engines, tp] = value;
  digest.add(engines, tp);
}

static void add_to(core::Digest& digest, const PrefillDecode& value) {
  const auto& [prefill, decode] = value;
  digest.add(prefill, decode);
}

static void add_to(core::Digest& digest, const EngineSettings& value) {
  const auto& [version, max_model_len, max_num_batched_tokens, max_num_seqs, gpu_mem_util, cpu_offload, total_kv_blocks, cpu_kv_blocks,
               block_size, enable_prefix_caching, enable_chunked_prefill, long_prefill_token_threshold, async_scheduling,
               scheduler_reserve_full_isl, watermark, kv_cache_dtype, quantization, cudagraph_mode, cudagraph_capture_sizes,
               max_cudagraph_capture_size, enable_expert_parallel, data_parallel_size, all2all_backend, fuse_allreduce_rms,
               speculative] = value;
  digest.add(version, max_model_len, max_num_batched_tokens, max_num_seqs, gpu_mem_util, cpu_offload, total_kv_blocks, cpu_kv_blocks,
             block_size, enable_prefix_caching, enable_chunked_prefill, long_prefill_token_threshold, async_scheduling,
             scheduler_reserve_full_isl, watermark, kv_cache_dtype, quantization, cudagraph_mode, cudagraph_capture_sizes,
             max_cudagraph_capture_size, enable_expert_parallel, data_parallel_size, all2all_backend, fuse_allreduce_rms, speculative);
}

static void add_to(core::Digest& digest, const Deployment& value) {
  const auto& [model, hardware, tp, dp, pp, precision, engine, settings, prefill_decode] = value;
  digest.add(model, hardware, tp, dp, pp, precision, engine, settings, prefill_decode);
}

static void add_to(core::Digest& digest, const Arrival& value) {
  const auto& [process, concurrency, gamma_coefficient_of_variation, start, ramp, turnaround_us, rate_ramp, first_rate, last_rate] =
      value;
  digest.add(process, concurrency, gamma_coefficient_of_variation, start, ramp, turnaround_us, rate_ramp, first_rate, last_rate);
}

static void add_to(core::Digest& digest, const LengthDistribution& value) {
  const auto& [mean_tokens, standard_deviation_tokens, min_tokens, max_tokens, shape] = value;
  digest.add(mean_tokens, standard_deviation_tokens, min_tokens, max_tokens, shape);
}

static void add_to(core::Digest& digest, const Stage& value) {
  const auto& [rate, duration, num_requests, concurrency] = value;
  digest.add(rate, duration, num_requests, concurrency);
}

static void add_to(core::Digest& digest, const ThinkTime& value) {
  const auto& [mean, shape] = value;
  digest.add(mean, shape);
}

static void add_to(core::Digest& digest, const WarmUp& value) {
  const auto& [requests, concurrency, prompt] = value;
  digest.add(requests, concurrency, prompt);
}

static void add_to(core::Digest& digest, const TracedRequest& value) {
  const auto& [stage, arrival_s, input_tokens, output_tokens, prefix_group, shared_prefix_tokens, conversation] = value;
  digest.add(stage, arrival_s, input_tokens, output_tokens, prefix_group, shared_prefix_tokens, conversation);
}

static void add_to(core::Digest& digest, const Workload& value) {
  const auto& [name, type, pattern, distinct_prompts, prompt_groups, turns_per_conversation, turns, think_time, system_prompt_tokens,
               prompt, prompt_spread_fraction, output, numpy_seed, temperature, arrival, warm_up, stages, trace] = value;
  digest.add(name, type, pattern, distinct_prompts, prompt_groups, turns_per_conversation, turns, think_time, system_prompt_tokens,
             prompt, prompt_spread_fraction, output, numpy_seed, temperature, arrival, warm_up, stages, trace);
}

static void add_to(core::Digest& digest, const Latencies& value) {
  const auto& [value_ms, itl_mean_ms, succeeded, failed] = value;
  digest.add(value_ms, itl_mean_ms, succeeded, failed);
}

static void add_to(core::Digest& digest, const Measurement& value) {
  const auto& [measured_at, unknown_statistic, summary, stages] = value;
  digest.add(measured_at, unknown_statistic, summary, stages);
}

void add_to(core::Digest& digest, const Experiment& value) {
  const auto& [id, sweep, role, deployment, workload, measured, flags] = value;
  digest.add(id, sweep, role, deployment, workload, measured, flags);
}

static void add_to(core::Digest& digest, const Stored& value) {
  const auto& [format, bytes] = value;
  digest.add(format, bytes);
}

static void add_to(core::Digest& digest, const Linear& value) {
  const auto& [name, inputs, outputs, split, kv_outputs, kv_heads, blocks, stored] = value;
  digest.add(name, inputs, outputs, split, kv_outputs, kv_heads, blocks, stored);
}

static void add_to(core::Digest& digest, const LatentAttentionSpec& value) {
  const auto& [query_rank, kv_rank, nope_head_dim, rope_head_dim, value_head_dim] = value;
  digest.add(query_rank, kv_rank, nope_head_dim, rope_head_dim, value_head_dim);
}

static void add_to(core::Digest& digest, const SparseSpec& value) {
  const auto& [attended_entries, tokens_per_entry, index_heads, index_head_dim, index_bytes_per_entry] = value;
  digest.add(attended_entries, tokens_per_entry, index_heads, index_head_dim, index_bytes_per_entry);
}

static void add_to(core::Digest& digest, const LinearAttentionSpec& value) {
  const auto& [kind, heads, key_dim, value_dim, convolved, kernel, state_bytes, convolution_bytes] = value;
  digest.add(kind, heads, key_dim, value_dim, convolved, kernel, state_bytes, convolution_bytes);
}

static void add_to(core::Digest& digest, const Mixer& value) {
  const auto& [kind, heads, kv_heads, head_dim, value_head_dim, keys_are_values, shares_cache, norm_spans_heads, window, latent,
               sparse, linear, linears] = value;
  digest.add(kind, heads, kv_heads, head_dim, value_head_dim, keys_are_values, shares_cache, norm_spans_heads, window, latent, sparse,
             linear, linears);
}

static void add_to(core::Digest& digest, const Experts& value) {
  const auto& [count, per_token, inputs, width, gated, stored] = value;
  digest.add(count, per_token, inputs, width, gated, stored);
}

static void add_to(core::Digest& digest, const Ffn& value) {
  const auto& [gated, width, shared_width, experts, linears] = value;
  digest.add(gated, width, shared_width, experts, linears);
}

static void add_to(core::Digest& digest, const LayerGroup& value) {
  const auto& [count, layer] = value;
  const auto& [mixer, ffn] = layer;
  digest.add(count, mixer, ffn);
}

static void add_to(core::Digest& digest, const DefaultSampling& value) {
  const auto& [temperature, top_p, top_k, source] = value;
  digest.add(temperature, top_p, top_k, source);
}

void add_to(core::Digest& digest, const ModelSpec& value) {
  const auto& [name, architecture, hidden, vocabulary, tied_embeddings, max_positions, groups, embedding, lm_head, kv_cache_bytes,
               activation_bytes, vision_elements, layer_input_elements, prediction_elements, sampling, notes, source] = value;
  digest.add(name, architecture, hidden, vocabulary, tied_embeddings, max_positions, groups, embedding, lm_head, kv_cache_bytes,
             activation_bytes, vision_elements, layer_input_elements, prediction_elements, sampling, notes, source);
}

void add_to(core::Digest& digest, const GpuSpec& value) {
  const auto& [name, aliases, peak_bf16, peak_fp8, peak_fp4, peak_int8, hbm_bandwidth, interconnect, link_bandwidth, memory,
               reported_memory, source] = value;
  digest.add(name, aliases, peak_bf16, peak_fp8, peak_fp4, peak_int8, hbm_bandwidth, interconnect, link_bandwidth, memory,
             reported_memory, source);
}

}  // namespace rooftune::domain
