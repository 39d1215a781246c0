#include "physics.hpp"

#include <algorithm>
#include <cmath>

#include "rank_lag.hpp"
#include "rooftune/core/units.hpp"
#include "rooftune/kernels/dealt_experts.hpp"

namespace rooftune::latency {
namespace {

/// Which units the parameters say the GPU has.
template <class Scalar>
ComputeUnits units_of(const params::Resolved<Scalar>& parameters) {
  const auto has = [&](std::string_view id) { return core::value_of(parameters[id]) > 0.0; };
  return {.fp8 = has("hardware.TFlopsFP8"), .fp4 = has("hardware.TFlopsFP4"), .int8 = has("hardware.TFlopsINT8")};
}

template <class Scalar>
Scalar peak_flops_per_us(ComputeFormat format, const params::Resolved<Scalar>& parameters) {
  switch (format) {
    case ComputeFormat::bf16: break;
    case ComputeFormat::fp8: return parameters["hardware.TFlopsFP8"] * 1e6;
    case ComputeFormat::fp4: return parameters["hardware.TFlopsFP4"] * 1e6;
    case ComputeFormat::int8: return parameters["hardware.TFlopsINT8"] * 1e6;
  }
  return parameters["hardware.TFlopsPeak"] * 1e6;
}

}  // namespace

template <class Scalar>
PhysicsStepTime<Scalar>::PhysicsStepTime(const Target& target, const params::Resolved<Scalar>& parameters) {
  const Operators operators = operators_of(target.model, target.deployment);
  const auto p = [&](std::string_view id) -> const Scalar& { return parameters[id]; };
  pnorm_ = p("physics.pnorm");
  step_overhead_us_ = p("physics.t_step_us") + p("physics.t_layer_us") * operators.layers;
  per_sequence_us_ = p("physics.t_seq_us");
  if (parameters.is_on("physics.sampler") && operators.sampler.truncates) {
    const double kilotokens = static_cast<double>(operators.sampler.vocabulary) * 1e-3;
    step_overhead_us_ += p("physics.sampler_us_per_kilotoken") * kilotokens;
    per_sequence_us_ += p("physics.sampler_seq_us_per_kilotoken") * kilotokens;
  }
  prefill_launch_us_ = p("physics.prefill_layer_us") * operators.layers;
  activation_us_per_token_ =
      operators.element_wise_bytes_per_token / (p("hardware.BwPeakTBs") * 1e6 * p("physics.weight_bandwidth_fraction"));
  set_linears(operators, parameters);
  set_experts(operators, parameters);
  set_attention(operators, parameters);
  set_states(operators, parameters);
  set_collectives(operators, parameters);
  pads_ = parameters.choice("engine.graph_padding") != "off";
  ranks_ = target.deployment.settings.data_parallel_size;
  is_plain_ = ranks_ == 1 && limited_reads_.empty() && !scans_;
}

template <class Scalar>
void PhysicsStepTime<Scalar>::set_linears(const Operators& operators, const params::Resolved<Scalar>& parameters) {
  const auto p = [&](std::string_view id) -> const Scalar& { return parameters[id]; };
  const ComputeUnits units = units_of(parameters);
  const Scalar weight_bytes_per_us = p("hardware.BwPeakTBs") * 1e6 * p("physics.weight_bandwidth_fraction");
  // Products of one kind cost as much as one of all their weights: the p-norm is homogeneous.
  struct Weights {
    ComputeFormat format;
    double bytes_per_element;
    double elements = 0.0;
  };
  std::vector<Weights> kinds;
  double quantised_calls = 0.0;
  for (const Gemm& gemm : operators.gemms) {
    // An MoE layer's fixed cost was fitted with its router in it. The LM head runs on one row per sequence: at serving batch
    // sizes its weights' stream is what counts.
    if (gemm.name == kRouterName) continue;
    if (gemm.rows == Rows::sequences) {
      step_overhead_us_ += gemm.count * gemm.elements() * gemm.stored.bytes / weight_bytes_per_us;
      continue;
    }
    const ComputeFormat format = compute_format(gemm.stored.format, units);
    if (format != ComputeFormat::bf16) quantised_calls += gemm.count;
    auto found = std::ranges::find_if(
        kinds, [&](const Weights& kind) { return kind.format == format && kind.bytes_per_element == gemm.stored.bytes; });
    if (found == kinds.end()) found = kinds.insert(kinds.end(), {.format = format, .bytes_per_element = gemm.stored.bytes});
    found->elements += gemm.count * gemm.elements();
  }
  for (const Weights& kind : kinds) {
    const Scalar& fraction = p(kind.format == ComputeFormat::bf16 ? "physics.gemm_fraction" : "physics.fp8_gemm_fraction");
    linears_.push_back({.compute_us_per_token = 2.0 * kind.elements / (peak_flops_per_us(kind.format, parameters) * fraction),
                        .weights_us = kind.elements * kind.bytes_per_element / weight_bytes_per_us});
  }
  if (quantised_calls > 0.0) step_overhead_us_ += p("physics.fp8_call_us") * quantised_calls;
}

template <class Scalar>
void PhysicsStepTime<Scalar>::set_experts(const Operators& operators, const params::Resolved<Scalar>& parameters) {
  const auto p = [&](std::string_view id) -> const Scalar& { return parameters[id]; };
  const ComputeUnits units = units_of(parameters);
  const Scalar bytes_per_us = p("hardware.BwPeakTBs") * 1e6;
  for (const ExpertLayer& layer : operators.experts) {
    const ComputeFormat format = compute_format(layer.stored.format, units);
    const bool quantised = format != ComputeFormat::bf16;
    const Scalar& bandwidth = p(quantised ? "physics.moe_fp8_weight_bandwidth_fraction" : "physics.moe_weight_bandwidth_fraction");
    const Scalar& fraction = p(quantised ? "physics.moe_fp8_gemm_fraction" : "physics.moe_gemm_fraction");
    // Whether GPUs share experts or each has its own, on average each reads and computes its share.
    const double elements = layer.count * layer.elements() / (layer.tp * layer.ep);
    const auto per_token = static_cast<double>(layer.per_token);
    const Scalar& exponent = p("engine.expert_popularity_exponent");
    const kernels::DealtVariance dealt =
        kernels::dealt_variance(static_cast<double>(layer.experts), layer.ep, core::value_of(exponent));
    experts_.push_back({.weights_us = elements * layer.stored.bytes / (bytes_per_us * bandwidth),
                        .compute_us_per_token = 2.0 * per_token * elements / (peak_flops_per_us(format, parameters) * fraction),
                        .experts = static_cast<double>(layer.experts),
                        .per_token = per_token,
                        .ranks = layer.ep,
                        .dealt = dealt.value + dealt.slope * (exponent - core::value_of(exponent))});
  }
  if (experts_.empty()) return;
  moe_overhead_us_ = p("physics.moe_layer_us") * operators.moe_layers;
  routing_correlation_ = p("physics.moe_routing_correlation");
}

template <class Scalar>
void PhysicsStepTime<Scalar>::set_attention(const Operators& operators, const params::Resolved<Scalar>& parameters) {
  const auto p = [&](std::string_view id) -> const Scalar& { return parameters[id]; };
  const Scalar kv_bytes_per_us = p("hardware.BwPeakTBs") * 1e6 * p("physics.kv_bandwidth_fraction");
  const Scalar attention_flops_per_us = p("hardware.TFlopsPeak") * 1e6 * p("physics.prefill_attention_fraction");
  double bytes_per_token = 0.0;
  double flops_per_pair = 0.0;
  for (const Attention& attention : operators.attentions) {
    for (const ContextRead& read : attention.reads) {
      if (!read.is_limited() && !read.computes) {
        bytes_per_token += attention.count * read.bytes / read.tokens_per_entry;
        flops_per_pair += attention.count * read.prefill_flops / read.tokens_per_entry;
        continue;
      }
      Scalar us_per_entry = attention.count * read.bytes / kv_bytes_per_us;
      if (read.computes) {
        us_per_entry = p_norm<Scalar>(us_per_entry, attention.count * read.decode_flops / attention_flops_per_us, pnorm_);
      }
      const Scalar prefill_us_per_pair = attention.count * read.prefill_flops / attention_flops_per_us;
      if (read.is_limited()) {
        limited_reads_.push_back({.reach = read, .us_per_entry = us_per_entry, .prefill_us_per_pair = prefill_us_per_pair});
      } else {
        kv_us_per_token_ += us_per_entry / static_cast<double>(read.tokens_per_entry);
        prefill_attention_us_per_pair_ += prefill_us_per_pair / static_cast<double>(read.tokens_per_entry);
      }
    }
  }
  kv_us_per_token_ += bytes_per_token / kv_bytes_per_us;
  prefill_attention_us_per_pair_ += flops_per_pair / attention_flops_per_us;
  mixed_kv_factor_ = p("physics.mixed_kv_factor");
  mixed_kv_us_per_token_ = kv_us_per_token_ * mixed_kv_factor_;
  // A kernel that packs no heads computes whole tiles of rows for every head of a decode, beside reading its context.
  const Scalar& rows = p("physics.mixed_query_rows");
  if (core::value_of(rows) > 1.0) {
    mixed_kv_us_per_token_ = overlapped<Scalar>(mixed_kv_us_per_token_, rows * prefill_attention_us_per_pair_);
  }
}

/// A state is read and written at the rate of the KV cache; prompts scan through it in chunks, at the rate of attention.
template <class Scalar>
void PhysicsStepTime<Scalar>::set_states(const Operators& operators, const params::Resolved<Scalar>& parameters) {
  if (operators.states.empty()) return;
  double bytes_per_sequence = 0.0;
  double flops_per_token = 0.0;
  for (const StateUpdate& state : operators.states) {
    bytes_per_sequence += state.count * state.bytes_per_sequence;
    flops_per_token += state.count * state.flops_per_token;
  }
  per_sequence_us_ += bytes_per_sequence / (parameters["hardware.BwPeakTBs"] * 1e6 * parameters["physics.kv_bandwidth_fraction"]);
  scan_us_per_token_ = flops_per_token / (parameters["hardware.TFlopsPeak"] * 1e6 * parameters["physics.prefill_attention_fraction"]);
  scans_ = true;
}

template <class Scalar>
void PhysicsStepTime<Scalar>::set_collectives(const Operators& operators, const params::Resolved<Scalar>& parameters) {
  const auto p = [&](std::string_view id) -> const Scalar& { return parameters[id]; };
  const Scalar link_bytes_per_us = p("hardware.link_GBs") * 1e3 * p("physics.allreduce_fraction");
  for (const Collective& collective : operators.collectives) {
    const double ranks = collective.ranks;
    if (collective.is_of_all_ranks()) {
      dispatch_latency_us_ += collective.count * p("physics.allreduce_us");
      dispatch_us_per_token_ +=
          collective.count * collective.passes() * (ranks - 1.0) / ranks * collective.bytes_per_token / link_bytes_per_us;
      continue;
    }
    tensor_parallel_ = true;
    allreduce_latency_us_ +=
        collective.count * (p("physics.allreduce_us") + rank_lag(collective.ranks) * p("physics.allreduce_skew_us"));
    const double ring_bytes_per_token = collective.passes() * (ranks - 1.0) / ranks * collective.bytes_per_token;
    allreduce_us_per_token_ += collective.count * ring_bytes_per_token / link_bytes_per_us;
  }
}

/// vLLM's default cudagraph_capture_sizes: 1, 2, 4, then multiples of 8 up to 256, then of 16 up to 512.
template <class Scalar>
std::int64_t PhysicsStepTime<Scalar>::padded(std::int64_t decode_requests) const {
  if (!pads_ || decode_requests <= 2) return decode_requests;
  if (decode_requests <= 4) return 4;
  if (decode_requests <= 256) return (decode_requests + 7) / 8 * 8;
  if (decode_requests <= kLargestGraph) return (decode_requests + 15) / 16 * 16;
  return decode_requests;
}

template <class Scalar>
Scalar PhysicsStepTime<Scalar>::linear_us(std::int64_t tokens) const {
  const auto n = static_cast<double>(tokens);
  Scalar sum{0.0};
  for (const Linear& linear : linears_) sum += p_norm<Scalar>(n * linear.compute_us_per_token, linear.weights_us, pnorm_);
  return sum;
}

/// Experts that n tokens reach: E (1 - (1 - k/E)^(rho n)), independent uniform routing corrected by rho.
template <class Scalar>
Scalar PhysicsStepTime<Scalar>::moe_us(std::int64_t tokens) const {
  using std::exp;
  const auto n = static_cast<double>(tokens);
  Scalar sum = moe_overhead_us_;
  for (const ExpertTimes& layer : experts_) {
    const double log_missed = std::log1p(-layer.per_token / layer.experts);
    const Scalar distinct = layer.experts * (1.0 - exp(routing_correlation_ * (n * log_missed)));
    // The step waits for the GPU that the tokens load most.
    const Scalar busiest = kernels::busiest_pairs<Scalar>(n * layer.per_token, layer.ranks, layer.dealt);
    sum += p_norm<Scalar>(n * busiest * layer.compute_us_per_token,
                          distinct * kernels::busiest_experts(distinct, layer.experts, layer.ranks) * layer.weights_us, pnorm_);
  }
  return sum;
}

template <class Scalar>
Scalar PhysicsStepTime<Scalar>::allreduce_us(std::int64_t tokens) const {
  return allreduce_latency_us_ + static_cast<double>(tokens) * allreduce_us_per_token_;
}

template <class Scalar>
const Scalar& PhysicsStepTime<Scalar>::shared_work_us(std::int64_t tokens) {
  if (const Scalar* const known = shared_work_.find(tokens)) return *known;
  return shared_work_.keep(tokens, moe_us(tokens) + dispatch_latency_us_ + static_cast<double>(tokens) * dispatch_us_per_token_);
}

template <class Scalar>
Scalar PhysicsStepTime<Scalar>::rank_work_us(const RankTokens& given, std::int64_t tokens) {
  const auto [own, all] = sizes_of(given, tokens);
  return token_work_us(own) + shared_work_us(all);
}

template <class Scalar>
typename PhysicsStepTime<Scalar>::Sizes PhysicsStepTime<Scalar>::sizes_of(const RankTokens& given, std::int64_t tokens) const {
  if (ranks_ == 1) return {.own = padded(tokens), .all = padded(tokens)};
  // Where nobody says what the others have, they have as much.
  const RankTokens ranks = given.all > 0 ? given : RankTokens{.all = ranks_ * tokens, .busiest = tokens};
  if (!pads_ || ranks.busiest > kLargestGraph) return {.own = tokens, .all = ranks.all};
  // In a graph all ranks run at the size that holds the busiest (vllm/v1/worker/dp_utils.py).
  const std::int64_t own = padded(ranks.busiest);
  return {.own = own, .all = ranks_ * own};
}

template <class Scalar>
const Scalar& PhysicsStepTime<Scalar>::rank_decode_work_us(const Batch& batch) {
  return rank_decode_work_us_ = linear_sum(rank_work_us(batch.ranks, batch.decode_requests), Scaled<Scalar>{step_overhead_us_, 1.0},
                                           Scaled<Scalar>{per_sequence_us_, static_cast<double>(batch.decode_requests)});
}

template <class Scalar>
const Scalar& PhysicsStepTime<Scalar>::find_token_work_us(std::int64_t tokens) {
  Scalar work = linear_us(tokens) + static_cast<double>(tokens) * activation_us_per_token_;
  if (!experts_.empty() && ranks_ == 1) work += moe_us(tokens);
  if (tensor_parallel_) work += allreduce_us(tokens);
  return token_work_.keep(tokens, work);
}

template <class Scalar>
const Scalar& PhysicsStepTime<Scalar>::find_decode_work_us(std::int64_t requests) {
  return decode_work_.keep(requests, linear_sum(token_work_us(padded(requests)), Scaled<Scalar>{step_overhead_us_, 1.0},
                                                Scaled<Scalar>{per_sequence_us_, static_cast<double>(requests)}));
}

template <class Scalar>
StepPiece<Scalar> PhysicsStepTime<Scalar>::limited_decode_reads(const Batch& batch) const {
  StepPiece<Scalar> piece{.duration_us = Scalar(0.0), .slope_us_per_token = Scalar(0.0), .valid_steps = kEveryStep};
  if (batch.decode_requests == 0) return piece;
  const auto requests = static_cast<double>(batch.decode_requests);
  // Without the contexts themselves all have the mean.
  const std::int64_t mean = batch.decode_context_tokens / batch.decode_requests;
  const bool is_known = !batch.decode_contexts.empty();
  const std::span<const std::int64_t> contexts = is_known ? batch.decode_contexts : std::span(&mean, 1);
  const double weight = is_known ? 1.0 : requests;
  for (const LimitedRead& read : limited_reads_) {
    double entries = 0.0;
    double growth = 0.0;
    for (const std::int64_t context : contexts) {
      entries += read.reach.entries(static_cast<double>(context));
      growth += read.reach.growth(context);
      if (const std::int64_t tokens = read.reach.tokens_to_change(context); tokens > 0) {
        piece.valid_steps = std::min(piece.valid_steps, tokens);
      }
    }
    piece.duration_us += weight * entries * read.us_per_entry;
    piece.slope_us_per_token += weight * growth / requests * read.us_per_entry;
  }
  return piece;
}

template <class Scalar>
Scalar PhysicsStepTime<Scalar>::limited_prefill_us(std::span<const PrefillChunk> prefills) const {
  Scalar sum{0.0};
  for (const LimitedRead& read : limited_reads_) {
    double entries = 0.0;
    double pairs = 0.0;
    for (const PrefillChunk& chunk : prefills) {
      const auto context = static_cast<double>(chunk.context_tokens);
      entries += read.reach.entries(context);
      pairs += read.reach.pairs(context, static_cast<double>(chunk.new_tokens));
    }
    sum += entries * (read.us_per_entry * mixed_kv_factor_) + pairs * read.prefill_us_per_pair;
  }
  return sum;
}

template <class Scalar>
StepPiece<Scalar> PhysicsStepTime<Scalar>::piece(const Batch& batch) {
  if (!batch.prefills.empty()) return mixed_piece(batch);
  const Scalar* const work = decode_work_.find(batch.decode_requests);
  if (work == nullptr || !is_plain_) return any_decode_piece(batch);
  return decode_piece(*work, batch);
}

template <class Scalar>
StepPiece<Scalar> PhysicsStepTime<Scalar>::any_decode_piece(const Batch& batch) {
  StepPiece<Scalar> piece = decode_piece(ranks_ > 1 ? rank_decode_work_us(batch) : decode_work_us(batch.decode_requests), batch);
  if (limited_reads_.empty()) return piece;
  const StepPiece<Scalar> limited = limited_decode_reads(batch);
  piece.duration_us += limited.duration_us;
  piece.slope_us_per_token += limited.slope_us_per_token;
  piece.valid_steps = limited.valid_steps;
  return piece;
}

template <class Scalar>
const Scalar& PhysicsStepTime<Scalar>::rank_mixed_work_us(const Batch& batch, std::int64_t tokens) {
  return rank_mixed_work_us_ = rank_work_us(batch.ranks, tokens);
}

template <class Scalar>
StepPiece<Scalar> PhysicsStepTime<Scalar>::mixed_piece(const Batch& batch) {
  const PrefillSums prefill = prefill_sums(batch.prefills);
  const Scalar* const token_work = token_work_.find(padded(batch.decode_requests + prefill.tokens));
  if (token_work == nullptr || !is_plain_ || prefill.tokens > kGraphPrefillTokens) return any_mixed_piece(batch);
  const MixedTerms terms = mixed_terms(batch, prefill);
  return {.duration_us = linear_sum(*token_work, terms.kv, terms.attention, terms.overhead, terms.sequences),
          .slope_us_per_token = mixed_kv_us_per_token_};
}

template <class Scalar>
StepPiece<Scalar> PhysicsStepTime<Scalar>::any_mixed_piece(const Batch& batch) {
  const PrefillSums prefill = prefill_sums(batch.prefills);
  const std::int64_t tokens = batch.decode_requests + prefill.tokens;
  const Scalar& token_work = ranks_ > 1 ? rank_mixed_work_us(batch, tokens) : token_work_us(padded(tokens));
  const MixedTerms terms = mixed_terms(batch, prefill);
  StepPiece<Scalar> piece{.duration_us = linear_sum(token_work, terms.kv, terms.attention),
                          .slope_us_per_token = mixed_kv_us_per_token_};
  if (!limited_reads_.empty()) {
    const StepPiece<Scalar> limited = limited_decode_reads(batch);
    piece.duration_us += limited.duration_us * mixed_kv_factor_ + limited_prefill_us(batch.prefills);
    piece.slope_us_per_token += limited.slope_us_per_token * mixed_kv_factor_;
  }
  if (scans_) piece.duration_us += scan_us_per_token_ * static_cast<double>(prefill.tokens);
  if (prefill.tokens > kGraphPrefillTokens) {
    piece.duration_us = overlapped<Scalar>(piece.duration_us, prefill_launch_us_);
  }
  piece.duration_us = linear_sum(piece.duration_us, terms.overhead, terms.sequences);
  return piece;
}

template <class Scalar>
double PhysicsStepTime<Scalar>::duration_us(const Batch& batch) {
  using core::value_of;
  if (!batch.prefills.empty() || !limited_reads_.empty() || ranks_ > 1) return value_of(piece(batch).duration_us);
  return value_of(decode_work_us(batch.decode_requests)) +
         value_of(kv_us_per_token_) * static_cast<double>(batch.decode_context_tokens);
}

template <class Scalar>
double PhysicsStepTime<Scalar>::decode_marginal_us(const Batch& batch) {
  // What one more takes, as masses count requests that come in addition. Where batches are padded, over a whole padding and
  // to both sides: its steps average out.
  const std::int64_t tokens = batch.decode_requests + prefill_sums(batch.prefills).tokens;
  const double* const known = ranks_ == 1 ? marginals_us_.find(tokens) : nullptr;
  if (known != nullptr) return *known;
  const std::int64_t reach = pads_ ? 8 : 1;
  const std::int64_t lower = pads_ ? std::max<std::int64_t>(1, tokens - reach) : tokens;
  const auto work_us = [&](std::int64_t own) {
    if (ranks_ == 1) return core::value_of(token_work_us(padded(own)));
    RankTokens ranks = batch.ranks;
    if (ranks.all > 0) ranks = {.all = ranks.all + own - tokens, .busiest = std::max(ranks.busiest, own)};
    return core::value_of(rank_work_us(ranks, own));
  };
  const double above_us = work_us(tokens + reach);
  const double below_us = work_us(lower);
  const double marginal_us = core::value_of(per_sequence_us_) + (above_us - below_us) / static_cast<double>(tokens + reach - lower);
  return ranks_ == 1 ? marginals_us_.keep(tokens, marginal_us) : marginal_us;
}

template <class Scalar>
StepBreakdown PhysicsStepTime<Scalar>::breakdown(const Batch& batch) {
  using core::value_of;
  const PrefillSums prefill = prefill_sums(batch.prefills);
  const std::int64_t given = batch.decode_requests + prefill.tokens;
  const auto [tokens, shared] = sizes_of(batch.ranks, given);
  const auto n = static_cast<double>(tokens);
  const auto sequences = static_cast<double>(batch.decode_requests + static_cast<std::int64_t>(batch.prefills.size()));
  double compute_us = 0.0;
  double weights_us = 0.0;
  for (const Linear& linear : linears_) {
    compute_us += n * value_of(linear.compute_us_per_token);
    weights_us += value_of(linear.weights_us);
  }
  const Scalar& kv_us_per_token = batch.prefills.empty() ? kv_us_per_token_ : mixed_kv_us_per_token_;
  double kv_us = value_of(kv_us_per_token) * static_cast<double>(batch.decode_context_tokens + prefill.context_tokens);
  double windowed_us = 0.0;
  if (!limited_reads_.empty()) {
    kv_us += value_of(limited_decode_reads(batch).duration_us) * (batch.prefills.empty() ? 1.0 : value_of(mixed_kv_factor_));
    windowed_us = value_of(limited_prefill_us(batch.prefills));
  }
  StepBreakdown result;
  result.total_us = value_of(piece(batch).duration_us);
  result.terms = {{"overhead", value_of(step_overhead_us_)},
                  {"sequences", value_of(per_sequence_us_) * sequences},
                  {"linear", value_of(linear_us(tokens))},
                  {"activations", n * value_of(activation_us_per_token_)},
                  {"kv_reads", kv_us},
                  {"prefill_attention", value_of(prefill_attention_us_per_pair_) * prefill.attention_pairs + windowed_us +
                                            value_of(scan_us_per_token_) * static_cast<double>(prefill.tokens)},
                  {"allreduce", tensor_parallel_ ? value_of(allreduce_us(tokens)) : 0.0},
                  {"moe", !experts_.empty() ? value_of(moe_us(shared)) : 0.0},
                  {"prefill_launch", prefill.tokens > kGraphPrefillTokens ? value_of(prefill_launch_us_) : 0.0}};
  if (ranks_ > 1) {
    const double dispatch_us = value_of(dispatch_latency_us_) + static_cast<double>(shared) * value_of(dispatch_us_per_token_);
    result.terms.push_back({"dispatch", dispatch_us});
  }
  const double memory_us = weights_us + kv_us;
  const double busy_us = std::max(compute_us, memory_us);
  result.bound = busy_us < 0.5 * result.total_us ? "overhead" : (compute_us > memory_us ? "compute" : "memory");
  return result;
}

template class PhysicsStepTime<double>;
template class PhysicsStepTime<core::Dual<core::kNarrowWidth>>;
template class PhysicsStepTime<core::Dual<core::kMediumWidth>>;
template class PhysicsStepTime<core::Dual<core::kWideWidth>>;

}  // namespace rooftune::latency
