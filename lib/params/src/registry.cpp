#include "rooftune/params/registry.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <string>
#include <vector>

#include "rooftune/core/contract.hpp"
#include "rooftune/params/declared.hpp"

namespace rooftune::params {
namespace {

using enum Transform;
using enum Scope;

constexpr std::string_view kGoFamily = "hardware_config.json of the Go simulator family (inference-sim), defaults of 2026-01";
constexpr std::string_view kHandTuned = "off in the Go family's defaults; hand tuning turned it on";
constexpr std::string_view kDatasheet = "NVIDIA H100 SXM data sheet; every GPU's own sheet overrides it";
constexpr std::string_view kPhysics = "order of magnitude of vLLM on H100; fitted on the shipped runs";
constexpr std::string_view kKernels = "share of peak measured by kernel benchmarks on H100 (bench_data/efficiency.json)";

constexpr std::string_view kTables = "the benchmark is right";
constexpr std::string_view kReview = "review finding (field notes, section 4)";
constexpr std::string_view kSamplerSource = "vLLM sorts the vocabulary for them each step";
constexpr std::string_view kCaptureSizes = "vLLM cudagraph_capture_sizes";

// What several models have.
constexpr std::string_view kSamplerPerStep =
    "top-p/top-k sampling per 1000 vocabulary entries, per step, for models that sample so by default";
constexpr std::string_view kSamplerPerSequence = "the same per sequence in the step";
constexpr std::string_view kSkew = "mean time by which one rank is behind in an all-reduce; the others wait for the last of them";
constexpr std::string_view kMixedExponent = "exponent of mixed_rule p_norm; 1 adds the phases";
constexpr std::string_view kPerSequence = "host work per sequence in the step";
constexpr std::string_view kSampler = "sampling costs time for models that use top-p or top-k by default";

// clang-format off
constexpr std::array kParameters{
  // id, unit, lower, initial, upper, transform, scope, meaning, source
  ParameterSpec{"hardware.TFlopsPeak", "TFLOP/s", 1, 989.5, 1e5, log, gpu, "dense bf16 peak", kDatasheet},
  ParameterSpec{"hardware.TFlopsFP8", "TFLOP/s", 0, 1979, 2e5, linear, gpu, "dense FP8 peak; 0: no FP8 units", kDatasheet},
  ParameterSpec{"hardware.TFlopsFP4", "TFLOP/s", 0, 0, 4e5, linear, gpu, "dense FP4 peak; 0: no FP4 units", kDatasheet},
  ParameterSpec{"hardware.TFlopsINT8", "TOP/s", 0, 1979, 2e5, linear, gpu, "dense INT8 peak; 0: none known", kDatasheet},
  ParameterSpec{"hardware.BwPeakTBs", "TB/s", 0.01, 3.35, 100, log, gpu, "peak memory bandwidth", kDatasheet},
  ParameterSpec{"hardware.link_GBs", "GB/s", 0.1, 450, 1e4, log, gpu, "GPU-to-GPU link, one direction", kDatasheet},
  ParameterSpec{"hardware.MemoryGiB", "GiB", 1, 80, 1e4, log, gpu, "memory of one GPU", kDatasheet},

  ParameterSpec{"engine.host_link_GBs", "GB/s", 0.1, 63, 2000, log, gpu, "link of one GPU to the host's memory, one direction, at which offloaded KV blocks are read back", "PCIe 5.0 x16 (PCI-SIG), before protocol overhead"},
  ParameterSpec{"engine.draft_pass_us", "us", 0, 0, 10000, linear, shared, "speculative decoding: what one pass of the drafter, or one drafted n-gram token, takes beside its layers", "not measured: 0 prices a pass by its layers alone"},
  ParameterSpec{"engine.kv_transfer_GBs", "GB/s", 0.1, 50, 2000, log, gpu, "prefill and decode apart: link of one GPU over which a prompt's KV cache moves, one direction", "one 400 Gb/s port for each GPU (NVIDIA ConnectX-7), before protocol overhead"},
  ParameterSpec{"engine.kv_transfer_start_us", "us", 1, 1000, 1e6, log, shared, "prefill and decode apart: from the end of a prompt to the first byte of its KV cache on the link: reply, router, handshake", "taken as a client's turnaround; docs/prefill_and_decode.md has a fit"},
  ParameterSpec{"engine.prefill_pool_factor", "1", 0.1, 1, 10, log, gpu, "prefill and decode apart: steps of the prefill engines over what the step-time model says", "1: engines of a pool step as any other"},
  ParameterSpec{"engine.decode_pool_factor", "1", 0.1, 1, 10, log, gpu, "the same of the decode engines", "1: engines of a pool step as any other"},
  ParameterSpec{"engine.expert_popularity_exponent", "1", 0, 0, 3, linear, shared, "experts dealt whole to GPUs: the i-th most wanted expert of a layer takes a share of the tokens in proportion to i to the minus this; 0: all alike, and chance alone loads one GPU more than another", "0 unless fitted; kernel tables measure loads of 1.2 beside even ones (bench_data, moe.csv)"},

  ParameterSpec{"frontend.constant_us", "us", 1, 5000, 100000, log, shared, "HTTP, tokenisation and scheduling before the queue, per request", kPhysics},
  ParameterSpec{"frontend.per_prompt_token_us", "us/token", 0.001, 5, 100, log, shared, "front-end time per prompt token, before the queue", kPhysics},
  ParameterSpec{"frontend.per_output_token_us", "us/token", 0.001, 10, 5000, log, shared, "detokenisation and streaming per output token", kPhysics},

  ParameterSpec{"client.turnaround_us", "us", 1, 1000, 1e6, log, shared, "clients of a closed loop: from a reply to the same client's next request", "what a benchmark client and the server front end take on one machine: about 1 ms"},

  ParameterSpec{"roofline_v1.mfuPrefill", "fraction", 0.02, 0.65, 4, log, gpu, "model FLOP utilisation of prefill GEMMs", kGoFamily},
  ParameterSpec{"roofline_v1.mfuDecode", "fraction", 0.005, 0.12, 4, log, gpu, "model FLOP utilisation of decode GEMMs", kGoFamily},
  ParameterSpec{"roofline_v1.mfuPrefillMultiplier", "1", 0.05, 1, 20, log, gpu, "correction of mfuPrefill", kHandTuned},
  ParameterSpec{"roofline_v1.mfuDecodeMultiplier", "1", 0.05, 1, 20, log, gpu, "correction of mfuDecode", kHandTuned},
  ParameterSpec{"roofline_v1.BwEffConstant", "fraction", 0.1, 0.72, 1.5, log, gpu, "reachable share of memory bandwidth", kGoFamily},
  ParameterSpec{"roofline_v1.prefillBwFactor", "1", 0.05, 1, 5, log, gpu, "bandwidth correction in prefill", kHandTuned},
  ParameterSpec{"roofline_v1.decodeBwFactor", "1", 0.05, 1, 5, log, gpu, "bandwidth correction in decode", kHandTuned},
  ParameterSpec{"roofline_v1.vectorPeakFraction", "fraction", 0.005, 0.10, 2, log, gpu, "share of the matrix peak that attention's vector work reaches", kGoFamily},
  ParameterSpec{"roofline_v1.tpScalingExponent", "1", 0, 1, 2, linear, gpu, "prefill compute shrinks with TP to this power", kHandTuned},
  ParameterSpec{"roofline_v1.decodeTpScalingExponent", "1", 0, 1, 2, linear, gpu, "decode work shrinks with TP to this power", kHandTuned},
  ParameterSpec{"roofline_v1.TOverheadMicros", "us", 1, 500, 50000, log, gpu, "fixed overhead of a step", kGoFamily},
  ParameterSpec{"roofline_v1.perLayerOverhead", "us", 0, 20, 1000, linear, gpu, "in the files of the Go family; has no effect", kGoFamily},
  ParameterSpec{"roofline_v1.allReduceLatency", "us", 0.1, 20, 1000, log, gpu, "one all-reduce when TP > 1; two per layer", kGoFamily},
  ParameterSpec{"roofline_v1.prefillOverheadMicros", "us", 0, 0, 20000, linear, gpu, "per prefill request in a step without decodes", kHandTuned},
  ParameterSpec{"roofline_v1.mixedPrefillOverheadMicros", "us", 0, 0, 20000, linear, gpu, "per prefill request in a step with decodes", kHandTuned},
  ParameterSpec{"roofline_v1.mixed_exponent", "1", 1, 5, 50, log, shared, kMixedExponent, kPhysics},

  ParameterSpec{"roofline_mfu.t_step_us", "us", 1, 1000, 50000, log, shared, "scheduler and launch overhead per step", kPhysics},
  ParameterSpec{"roofline_mfu.t_layer_us", "us", 0.01, 20, 500, log, shared, "small kernels and launch gaps per layer", kPhysics},
  ParameterSpec{"roofline_mfu.t_seq_us", "us", 0.01, 20, 500, log, shared, kPerSequence, kPhysics},
  ParameterSpec{"roofline_mfu.sampler_us_per_kilotoken", "us", 0.001, 5, 500, log, shared, kSamplerPerStep, kPhysics},
  ParameterSpec{"roofline_mfu.sampler_seq_us_per_kilotoken", "us", 0.001, 0.15, 20, log, shared, kSamplerPerSequence, kPhysics},
  ParameterSpec{"roofline_mfu.gemm_time_factor", "1", 0.2, 1, 5, log, gpu, "linear layers in the engine over the benchmark's", kTables},
  ParameterSpec{"roofline_mfu.decode_attention_time_factor", "1", 0.2, 1, 5, log, gpu, "decode attention in the engine over the benchmark's", kTables},
  ParameterSpec{"roofline_mfu.prefill_attention_divisor", "1", 0.2, 1, 5, log, gpu, "prefill attention is faster than the table by this; 1.8 as first written, where the full square was counted", kTables},
  ParameterSpec{"roofline_mfu.moe_time_factor", "1", 0.2, 1, 5, log, gpu, "expert layers in the engine over the benchmark's", kTables},
  ParameterSpec{"roofline_mfu.all_reduce_time_factor", "1", 0.2, 1, 20, log, gpu, "all-reduce in the engine over the benchmark's", kTables},
  ParameterSpec{"roofline_mfu.all_reduce_skew_us", "us", 0.001, 3, 200, log, shared, kSkew, kPhysics},
  ParameterSpec{"roofline_mfu.memory_bandwidth_fraction", "fraction", 0.2, 0.84, 1, log, gpu, "share of peak bandwidth in the memory term", kKernels},
  ParameterSpec{"roofline_mfu.tp_exponent", "1", 0, 1, 2, linear, gpu, "work shrinks with TP to this power where tp_split is power", kHandTuned},
  ParameterSpec{"roofline_mfu.mixed_exponent", "1", 1, 5, 50, log, shared, kMixedExponent, kPhysics},

  ParameterSpec{"blackbox.step_us", "us", 1, 5000, 200000, log, deployment, "b0: time of an empty step", "order of magnitude on H100"},
  ParameterSpec{"blackbox.per_prefill_token_us", "us/token", 0.001, 10, 1000, log, deployment, "b1: per prefill token in the step", "order of magnitude on H100"},
  ParameterSpec{"blackbox.per_decode_us", "us", 0.001, 50, 5000, log, deployment, "b2: per decoding request in the step", "order of magnitude on H100"},

  ParameterSpec{"physics.t_step_us", "us", 1, 200, 50000, log, shared, "scheduler and launch overhead per step", kPhysics},
  ParameterSpec{"physics.t_layer_us", "us", 0.1, 24.7, 500, log, gpu, "fixed kernel time per layer: four GEMM calls and one attention call", kKernels},
  ParameterSpec{"physics.t_seq_us", "us", 0.01, 5, 500, log, shared, kPerSequence, kPhysics},
  ParameterSpec{"physics.prefill_layer_us", "us", 0.1, 100, 2000, log, shared, "host time to launch one layer in steps without a CUDA graph (more than 64 prefill tokens); runs beside the GPU", kPhysics},
  ParameterSpec{"physics.sampler_us_per_kilotoken", "us", 0.01, 5, 500, log, shared, kSamplerPerStep, kPhysics},
  ParameterSpec{"physics.sampler_seq_us_per_kilotoken", "us", 0.001, 0.15, 20, log, shared, kSamplerPerSequence, kPhysics},
  ParameterSpec{"physics.gemm_fraction", "fraction", 0.1, 0.834, 1, log, gpu, "share of peak FLOP/s that linear layers reach", kKernels},
  ParameterSpec{"physics.fp8_gemm_fraction", "fraction", 0.05, 0.57, 1, log, gpu, "share of peak FP8 FLOP/s that FP8 linear layers reach, quantisation of activations included", kKernels},
  ParameterSpec{"physics.fp8_call_us", "us", 0.01, 3.1, 200, log, gpu, "quantisation of activations before one FP8 linear layer", kKernels},
  ParameterSpec{"physics.weight_bandwidth_fraction", "fraction", 0.2, 0.873, 1, log, gpu, "share of peak bandwidth at which weights stream", kKernels},
  ParameterSpec{"physics.kv_bandwidth_fraction", "fraction", 0.1, 0.897, 1, log, gpu, "share of peak bandwidth at which the KV cache is read", kKernels},
  ParameterSpec{"physics.mixed_kv_factor", "1", 0.5, 1, 8, log, gpu, "KV reads of a step that also prefills, relative to a decode-only step: such steps run the prefill attention kernel, which on some GPUs neither packs query heads nor splits long contexts", kPhysics},
  ParameterSpec{"physics.mixed_query_rows", "1", 1, 1, 256, log, gpu, "query rows that attention computes for each query head of a decode in a step that also prefills; 1 where its kernel packs the heads of a KV head, 64 with FlashAttention 2", "FlashAttention 2's paged kernel works on tiles of 64 rows and packs heads only when every sequence decodes (ADR 0014)"},
  ParameterSpec{"physics.prefill_attention_fraction", "fraction", 0.02, 0.287, 1, log, gpu, "share of peak FLOP/s that prefill attention reaches (causal FLOPs)", kKernels},
  ParameterSpec{"physics.pnorm", "1", 1, 2.5, 50, log, shared, "exponent that joins compute and weight streaming: 1 adds, infinity takes the larger", kPhysics},
  ParameterSpec{"physics.allreduce_us", "us", 0.1, 4.5, 200, log, gpu, "latency of one all-reduce; two per layer when TP > 1", kKernels},
  ParameterSpec{"physics.allreduce_skew_us", "us", 0.01, 3, 200, log, shared, kSkew, kPhysics},
  ParameterSpec{"physics.allreduce_fraction", "fraction", 0.02, 0.53, 1, log, gpu, "share of the link's bandwidth that all-reduce reaches", kKernels},
  ParameterSpec{"physics.moe_weight_bandwidth_fraction", "fraction", 0.02, 0.89, 1, log, gpu, "share of peak bandwidth at which bf16 expert weights stream", kKernels},
  ParameterSpec{"physics.moe_fp8_weight_bandwidth_fraction", "fraction", 0.02, 0.89, 1, log, gpu, "share of peak bandwidth at which FP8 expert weights stream", "as bf16 experts: FP8 rows of the kernel tables are not what engines run"},
  ParameterSpec{"physics.moe_gemm_fraction", "fraction", 0.02, 0.45, 1, log, gpu, "share of peak FLOP/s that grouped bf16 expert GEMMs reach", kKernels},
  ParameterSpec{"physics.moe_fp8_gemm_fraction", "fraction", 0.01, 0.06, 1, log, gpu, "share of peak FP8 FLOP/s that grouped FP8 expert GEMMs reach, quantisation of activations included", "0.145 by kernel benchmarks on H100 (bench_data/efficiency.json), over 2.4: so much of its tables' time do the experts of a served FP8 mixture take (MiniMax-M2.5, configs/tuned/h100.serving.json)"},
  ParameterSpec{"physics.moe_layer_us", "us", 0.1, 35, 2000, log, shared, "routing and permutation per MoE layer", kKernels},
  ParameterSpec{"physics.moe_routing_correlation", "1", 0.1, 1, 3, log, shared, "rho: effective number of independently routed tokens per token", kPhysics},

  ParameterSpec{"kernels.t_step_us", "us", 1, 500, 50000, log, shared, "scheduler and launch of a step", kPhysics},
  ParameterSpec{"kernels.t_layer_us", "us", 0.1, 11, 500, log, gpu, "kernels per layer that no table holds: norms, rotary embedding, gates, and the gaps between kernels of a graph", "what is left of H100's 25 us per layer without the products' and attention's own constants"},
  ParameterSpec{"kernels.t_seq_us", "us", 0.01, 5, 500, log, shared, kPerSequence, kPhysics},
  ParameterSpec{"kernels.piecewise_layer_us", "us", 0.1, 11, 500, log, shared, "added per layer where attention is launched between the pieces of a CUDA graph (mixed steps; all steps where the graph mode is piecewise)", "MiniMax-M2.5 on H100 with piecewise graphs: 22 us a layer where whole graphs take 11"},
  ParameterSpec{"kernels.moe_layer_us", "us", 0.1, 10, 500, log, shared, "added per layer with experts: router scores, top-k, sorting tokens by expert, adding up", "kernels too small for the tables, which time the experts alone"},
  ParameterSpec{"kernels.launch_layer_us", "us", 0.1, 150, 5000, log, shared, "host time to launch one layer in steps that no CUDA graph holds; runs beside the GPU", kPhysics},
  ParameterSpec{"kernels.launch_moe_layer_us", "us", 0.001, 0.01, 5000, log, shared, "host time to launch the experts of one layer in such steps, beyond launch_layer_us", "0.8 to 1.7 ms where it was fitted: gpt-oss and MiniMax-M2.5 on public serving points, Llama-4-Scout on the shipped runs"},
  ParameterSpec{"kernels.sampler_us_per_kilotoken", "us", 0.01, 5, 500, log, shared, kSamplerPerStep, kPhysics},
  ParameterSpec{"kernels.sampler_seq_us_per_kilotoken", "us", 0.001, 0.15, 20, log, shared, kSamplerPerSequence, kPhysics},
  ParameterSpec{"kernels.gemm_streaming_factor", "1", 0.5, 1, 2, log, gpu, "products bound by weights, in the engine over the benchmark", kTables},
  ParameterSpec{"kernels.gemm_computing_factor", "1", 0.5, 1.1, 3, log, gpu, "products bound by compute, in the engine over the benchmark, whose constant operands draw less power", kTables},
  ParameterSpec{"kernels.decode_attention_factor", "1", 0.3, 1, 4, log, gpu, "decode attention in the engine over the benchmark", kTables},
  ParameterSpec{"kernels.mixed_attention_factor", "1", 0.5, 1, 8, log, gpu, "decode attention in steps that also prefill, relative to decode-only steps", kTables},
  ParameterSpec{"kernels.prefill_attention_factor", "1", 0.3, 1, 4, log, gpu, "prefill attention in the engine over the benchmark", kTables},
  ParameterSpec{"kernels.all_reduce_factor", "1", 0.3, 1, 10, log, gpu, "all-reduce in the engine over the benchmark", kTables},
  ParameterSpec{"kernels.all_reduce_skew_us", "us", 0.001, 1, 200, log, shared, kSkew, kPhysics},
  ParameterSpec{"kernels.expert_reading_factor", "1", 0.3, 1, 4, log, gpu, "reading the experts that tokens reach, in the engine over the benchmark", kTables},
  ParameterSpec{"kernels.expert_load_factor", "1", 0.3, 1.5, 8, log, gpu, "what tokens cost beyond reaching the experts, in the engine over the benchmark: prefill of experts is slower than its tables, by another kernel or by uneven load", kTables},
  ParameterSpec{"kernels.routing_correlation", "1", 0.1, 0.8, 3, log, shared, "rho: effective number of independently routed tokens per token", "gpt-oss 0.65 and MiniMax-M2.5 0.7 on public serving points, Llama-4-Scout near 1"},
};

constexpr std::array<std::string_view, 2> kOffOn{"off", "on"};
constexpr std::array<std::string_view, 3> kOffOnAuto{"off", "on", "auto"};
constexpr std::array<std::string_view, 3> kPadding{"off", "vllm", "power_of_two"};

constexpr std::array<std::string_view, 2> kRouters{"round_robin", "least_loaded"};

constexpr std::array<std::string_view, 4> kMixedRules{"weighted", "additive", "max", "p_norm"};
constexpr std::array<std::string_view, 5> kMixedRulesOrJoint{"joint", "weighted", "additive", "max", "p_norm"};
constexpr std::array<std::string_view, 2> kGemmRows{"tokens", "requests"};
constexpr std::array<std::string_view, 2> kGemmShapes{"fused", "seven"};
constexpr std::array<std::string_view, 2> kCausalMask{"half", "full"};
constexpr std::array<std::string_view, 4> kLookups{"interpolate", "floor", "ceiling", "nearest"};
constexpr std::array<std::string_view, 2> kPrefillBuckets{"off", "power_of_two"};
constexpr std::array<std::string_view, 3> kDecodeContext{"sum", "max", "bucketed"};
constexpr std::array<std::string_view, 2> kTpSplit{"shards", "power"};
constexpr std::array<std::string_view, 2> kExpertRouting{"balanced", "power_law"};
constexpr std::array<std::string_view, 2> kProducts{"measured", "typical_16bit"};
constexpr std::array<std::string_view, 2> kDecodeAttention{"measured", "streaming"};
constexpr std::array<std::string_view, 2> kFp8Source{"fp8_table", "bf16_table"};

constexpr std::array kSwitches{
  SwitchSpec{"engine.async_scheduling", kOffOnAuto, 2, "a request admitted while step k runs joins step k+2 (on) or k+1 (off); auto: as the run's record or else the engine's version says", "vLLM v1 asynchronous scheduling, default from 0.14"},
  SwitchSpec{"engine.reserve_full_isl", kOffOnAuto, 2, "a request is admitted only when its whole prompt finds free blocks; auto: as the run's record or else the engine's version says", "vLLM scheduler_reserve_full_isl, default from 0.19"},
  SwitchSpec{"engine.prompts_alone", kOffOnAuto, 2, "while prompts can be computed, steps compute them alone and the decodes wait (on; beside vLLM's other rules one step in flight), or they share every step (off); auto: as the engine does", "SGLang; off is its --enable-mixed-chunk, and vLLM"},
  SwitchSpec{"engine.prefix_reuse", kOffOn, 1, "prompts whose leading blocks are resident skip them, where the deployment enables prefix caching", "vLLM automatic prefix caching"},
  SwitchSpec{"engine.kv_offload", kOffOn, 1, "KV blocks that the GPU has lost are read back from the host's memory, where the deployment offloads them (cpu_offload, cpu_kv_blocks)", "vLLM OffloadingConnector"},
  SwitchSpec{"engine.speculation", kOffOn, 1, "tokens are drafted and verified, where the deployment says so (speculative)", "vLLM speculative decoding"},
  SwitchSpec{"engine.graph_padding", kPadding, 0, "decode batches are padded to the next captured CUDA-graph size", kCaptureSizes},
  SwitchSpec{"engine.router", kRouters, 0, "which of several replicas (dp) a request goes to: the next in turn, or the one with the fewest requests in flight; conversations and the clients of a closed loop stay with theirs", "load balancers in front of vLLM replicas"},
  SwitchSpec{"roofline_v1.extension", kOffOn, 1, "MoE, FP8 and head_dim beyond the original formula; off reproduces it exactly", "rooftune"},
  SwitchSpec{"roofline_v1.round_to_us", kOffOn, 0, "step time rounded to whole microseconds as the Go program does", "golden tests"},
  SwitchSpec{"roofline_v1.mixed_rule", kMixedRules, 0, "how prefill and decode time make a mixed step; weighted is the original", kGoFamily},
  SwitchSpec{"roofline_mfu.mixed_rule", kMixedRulesOrJoint, 0, "mixed steps: one pass over all tokens (joint), or both phases apart and combined", "engines run one pass"},
  SwitchSpec{"roofline_mfu.gemm_rows", kGemmRows, 0, "m of prefill GEMMs: tokens, or requests as first written", kReview},
  SwitchSpec{"roofline_mfu.gemm_shapes", kGemmShapes, 0, "QKV and gate-up fused as engines run them, or seven GEMMs per layer", "vLLM's layers"},
  SwitchSpec{"roofline_mfu.causal_mask", kCausalMask, 0, "share of the square that prefill attention computes", kReview},
  SwitchSpec{"roofline_mfu.lookup", kLookups, 0, "between measured rows: log-space interpolation, or the rate of one row", kReview},
  SwitchSpec{"roofline_mfu.prefill_bucket", kPrefillBuckets, 0, "prefill attention at its own size, or at the rate of the next power of two from 512 to 65536", kReview},
  SwitchSpec{"roofline_mfu.decode_context", kDecodeContext, 0, "decode attention by the sum of contexts, as if all were the longest, or in power-of-two buckets", "paged attention costs the sum"},
  SwitchSpec{"roofline_mfu.memory_term", kOffOn, 1, "a step takes no less than reading its weights and KV cache", kReview},
  SwitchSpec{"roofline_mfu.lm_head", kOffOn, 1, "the LM head runs once per sequence", "every decoder has one"},
  SwitchSpec{"roofline_mfu.tp_split", kTpSplit, 0, "times of the shards that one GPU holds, or of the whole layer over tp^tp_exponent", kReview},
  SwitchSpec{"kernels.sampler", kOffOn, 1, kSampler, kSamplerSource},
  SwitchSpec{"kernels.graph_padding", kOffOn, 1, "steps in a CUDA graph run at the captured size that holds them", kCaptureSizes},
  SwitchSpec{"kernels.expert_routing", kExpertRouting, 0, "load of experts in large steps: evenly dealt, or by a power law (exponent 1.2) with the most loaded rank deciding", "both are measured"},
  SwitchSpec{"kernels.products", kProducts, 0, "16-bit products by their own measured rows, or by what large shapes typically take at as many tokens: a library chooses their kernels anew with each release, and tables are of one", "docs/serving_points.md: runs of vLLM 0.15.1 show none of the bumps of 0.24's rows"},
  SwitchSpec{"kernels.decode_attention", kDecodeAttention, 0, "decode attention with the whole context by its curve, or by what a call takes and the rate at which caches that no L2 holds stream", "docs/serving_points.md; benchmarks read one cache again and again, in part from the L2"},
  SwitchSpec{"physics.sampler", kOffOn, 1, kSampler, kSamplerSource},
  SwitchSpec{"roofline_mfu.fp8_source", kFp8Source, 0, "FP8 layers from FP8 tables (bf16 time by the ratio of peaks where there are none), or at bf16 speed", "bf16 rows and FP8 rows never mix"},
};
// clang-format on

template <std::size_t N>
constexpr bool parameters_are_sound(const std::array<ParameterSpec, N>& specs) {
  for (std::size_t i = 0; i < N; ++i) {
    const ParameterSpec& spec = specs[i];
    if (!(spec.lower < spec.upper) || spec.initial < spec.lower || spec.initial > spec.upper) return false;
    if (spec.transform == Transform::log && !(spec.lower > 0)) return false;
    if (spec.id.find('.') == std::string_view::npos || spec.unit.empty() || spec.meaning.empty() || spec.source.empty()) return false;
    for (std::size_t j = 0; j < i; ++j) {
      if (specs[j].id == spec.id) return false;
    }
  }
  return true;
}

template <std::size_t N>
constexpr bool switches_are_sound(const std::array<SwitchSpec, N>& specs) {
  for (std::size_t i = 0; i < N; ++i) {
    if (specs[i].initial >= specs[i].choices.size() || specs[i].meaning.empty()) return false;
    for (std::size_t j = 0; j < i; ++j) {
      if (specs[j].id == specs[i].id) return false;
    }
  }
  return true;
}

static_assert(parameters_are_sound(kParameters), "ids unique, lower <= initial <= upper, log bounds positive, texts present");
static_assert(switches_are_sound(kSwitches), "ids unique, default among the choices, texts present");

/// The registry with what studies declared. Room for all of it from the start: nobody's span or reference moves.
struct Registry {
  std::vector<ParameterSpec> parameters;
  std::deque<std::string> texts;  ///< what declared parameters' views point to

  Registry() {
    parameters.reserve(kParameters.size() + kMostDeclared + kMostTerms);
    parameters.assign(kParameters.begin(), kParameters.end());
  }
};

Registry& registry() {
  static Registry instance;
  return instance;
}

}  // namespace

std::span<const ParameterSpec> parameter_registry() { return registry().parameters; }

ParameterId declare(const DeclaredParameter& parameter) { return declare_in(kExternalGroup, parameter); }

ParameterId declare_in(std::string_view group, const DeclaredParameter& parameter) {
  Registry& all = registry();
  const auto keep = [&](std::string text) -> std::string_view { return all.texts.emplace_back(std::move(text)); };
  const ParameterSpec spec{.id = keep(std::string(group) + "." + parameter.name),
                           .unit = keep(parameter.unit),
                           .lower = parameter.lower,
                           .initial = parameter.initial,
                           .upper = parameter.upper,
                           .transform = parameter.transform,
                           .scope = Scope::shared,
                           .meaning = keep(parameter.meaning),
                           .source = "the study"};
  if (const auto known = find_parameter(spec.id)) {
    all.parameters[known->index] = spec;
    return *known;
  }
  ROOFTUNE_EXPECTS(all.parameters.size() < kParameters.size() + kMostDeclared + kMostTerms);
  all.parameters.push_back(spec);
  return {all.parameters.size() - 1};
}
std::span<const SwitchSpec> switch_registry() { return kSwitches; }

std::optional<ParameterId> find_parameter(std::string_view id) {
  const std::span<const ParameterSpec> all = parameter_registry();
  const auto found = std::ranges::find(all, id, &ParameterSpec::id);
  if (found == all.end()) return std::nullopt;
  return ParameterId{static_cast<std::size_t>(found - all.begin())};
}

std::optional<SwitchId> find_switch(std::string_view id) {
  const auto* found = std::ranges::find(kSwitches, id, &SwitchSpec::id);
  if (found == kSwitches.end()) return std::nullopt;
  return SwitchId{static_cast<std::size_t>(found - kSwitches.begin())};
}

std::optional<std::size_t> find_choice(SwitchId id, std::string_view choice) {
  const auto choices = id.spec().choices;
  const auto found = std::ranges::find(choices, choice);
  if (found == choices.end()) return std::nullopt;
  return static_cast<std::size_t>(found - choices.begin());
}

std::vector<std::string_view> parameter_ids() {
  std::vector<std::string_view> ids;
  for (const ParameterSpec& spec : parameter_registry()) ids.push_back(spec.id);
  return ids;
}

std::vector<std::string_view> switch_ids() {
  std::vector<std::string_view> ids;
  for (const SwitchSpec& spec : kSwitches) ids.push_back(spec.id);
  return ids;
}

ParameterId parameter(std::string_view id) {
  const auto found = find_parameter(id);
  ROOFTUNE_EXPECTS(found.has_value());
  return *found;
}

SwitchId switch_id(std::string_view id) {
  const auto found = find_switch(id);
  ROOFTUNE_EXPECTS(found.has_value());
  return *found;
}

std::string_view transform_name(Transform transform) {
  switch (transform) {
    case Transform::linear: return "linear";
    case Transform::log: return "log";
    case Transform::logit: return "logit";
  }
  return "";
}

std::string_view scope_name(Scope scope) {
  switch (scope) {
    case Scope::shared: return "shared";
    case Scope::gpu: return "gpu";
    case Scope::deployment: return "deployment";
  }
  return "";
}

}  // namespace rooftune::params
