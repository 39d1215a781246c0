#include "kernels_step_time.hpp"

#include <algorithm>

#include "linear_sum.hpp"
#include "p_norm.hpp"
#include "rank_lag.hpp"

namespace rooftune::latency {
namespace {

template <class Scalar>
KernelPrices::Reading reading_of(const params::Resolved<Scalar>& parameters) {
  using kernels::ExpertLoad;
  using kernels::ProductRows;
  const bool is_skewed = parameters.choice("kernels.expert_routing") == "power_law";
  const bool is_typical = parameters.choice("kernels.products") == "typical_16bit";
  return {.load = is_skewed ? ExpertLoad::power_law : ExpertLoad::balanced,
          .products_16bit = is_typical ? ProductRows::typical : ProductRows::own,
          .decodes_stream = parameters.choice("kernels.decode_attention") == "streaming"};
}

}  // namespace

template <class Scalar>
KernelsStepTime<Scalar>::KernelsStepTime(const Target& target, const params::Resolved<Scalar>& parameters)
    : prices_(target, reading_of(parameters), core::value_of(parameters["engine.expert_popularity_exponent"])),
      graphs_(target.deployment) {
  const auto p = [&](std::string_view id) -> const Scalar& { return parameters[id]; };
  const Operators operators = operators_of(target.model, target.deployment);
  const double layers = operators.layers;
  step_us_ = p("kernels.t_step_us") + p("kernels.t_layer_us") * layers + p("kernels.moe_layer_us") * prices_.expert_surroundings();
  per_sequence_us_ = p("kernels.t_seq_us");
  if (parameters.is_on("kernels.sampler") && operators.sampler.truncates) {
    const double kilotokens = static_cast<double>(operators.sampler.vocabulary) * 1e-3;
    step_us_ += p("kernels.sampler_us_per_kilotoken") * kilotokens;
    per_sequence_us_ += p("kernels.sampler_seq_us_per_kilotoken") * kilotokens;
  }
  piecewise_us_ = p("kernels.piecewise_layer_us") * layers;
  launch_us_ = p("kernels.launch_layer_us") * layers + p("kernels.launch_moe_layer_us") * operators.moe_layers;
  gemm_streaming_ = p("kernels.gemm_streaming_factor");
  gemm_computing_ = p("kernels.gemm_computing_factor");
  expert_reading_ = p("kernels.expert_reading_factor");
  expert_load_ = p("kernels.expert_load_factor");
  routing_correlation_ = p("kernels.routing_correlation");
  all_reduce_ = p("kernels.all_reduce_factor");
  skew_us_ = prices_.all_reduce_count() * rank_lag(target.deployment.tp) * p("kernels.all_reduce_skew_us");
  decode_attention_ = p("kernels.decode_attention_factor");
  mixed_attention_ = decode_attention_ * p("kernels.mixed_attention_factor");
  prefill_attention_ = p("kernels.prefill_attention_factor");
  pads_ = parameters.is_on("kernels.graph_padding");
  popularity_exponent_ = p("engine.expert_popularity_exponent");
  ranks_ = target.deployment.settings.data_parallel_size;
}

template <class Scalar>
auto KernelsStepTime<Scalar>::sum(std::span<const PrefillChunk> prefills) -> Prefill {
  Prefill prefill{.tokens = 0, .requests = static_cast<std::int64_t>(prefills.size())};
  for (const PrefillChunk& chunk : prefills) prefill.tokens += chunk.new_tokens;
  return prefill;
}

template <class Scalar>
Scalar KernelsStepTime<Scalar>::experts_us(std::int64_t tokens) {
  const double rho = core::value_of(routing_correlation_);
  const kernels::ExpertPrice::At at = prices_.experts(tokens, rho);
  const Scalar load_us = at.load_us + at.per_exponent_us * (popularity_exponent_ - core::value_of(popularity_exponent_));
  return (at.reading_us + at.per_rho_us * (routing_correlation_ - rho)) * expert_reading_ + load_us * expert_load_;
}

template <class Scalar>
Scalar KernelsStepTime<Scalar>::all_reduces_us(double measured_us) const {
  return measured_us * all_reduce_ + skew_us_;
}

template <class Scalar>
const Scalar& KernelsStepTime<Scalar>::token_work_us(std::int64_t tokens) {
  if (const Scalar* const known = token_work_.find(tokens)) return *known;
  const KernelPrices::TokenWork work = prices_.token_work(tokens);
  Scalar us = work.streaming_products_us * gemm_streaming_ + work.computing_products_us * gemm_computing_ + work.element_wise_us;
  if (ranks_ == 1) us += experts_us(tokens);
  if (work.all_reduces_us > 0.0) us += all_reduces_us(work.all_reduces_us);
  return token_work_.keep(tokens, us);
}

template <class Scalar>
const Scalar& KernelsStepTime<Scalar>::shared_work_us(std::int64_t tokens) {
  if (const Scalar* const known = shared_work_.find(tokens)) return *known;
  return shared_work_.keep(tokens, experts_us(tokens) + prices_.dispatch_us(tokens) * all_reduce_);
}

template <class Scalar>
auto KernelsStepTime<Scalar>::sizes_of(const Batch& batch, std::int64_t tokens) const -> Sizes {
  const auto mode_at = [&](std::int64_t size) {
    return batch.prefills.empty() ? graphs_.decode_mode(size) : graphs_.mixed_mode(size);
  };
  if (ranks_ == 1) return {.own = padded(tokens), .all = padded(tokens), .mode = mode_at(tokens)};
  // Where nobody says what the others have, they have as much.
  const RankTokens ranks = batch.ranks.all > 0 ? batch.ranks : RankTokens{.all = ranks_ * tokens, .busiest = tokens};
  // A graph that holds the busiest rank holds all, padded to its size; where none does, all run without (dp_utils.py of vLLM).
  const GraphPlan::Mode mode = mode_at(ranks.busiest);
  if (mode == GraphPlan::Mode::eager || !pads_) return {.own = tokens, .all = ranks.all, .mode = mode};
  const std::int64_t own = padded(ranks.busiest);
  return {.own = own, .all = ranks_ * own, .mode = mode};
}

template <class Scalar>
Scalar KernelsStepTime<Scalar>::rank_decode_work_us(const Batch& batch) {
  const std::int64_t requests = batch.decode_requests;
  const auto [own, all, mode] = sizes_of(batch, requests);
  Scalar gpu_us = token_work_us(own);
  if (ranks_ > 1) gpu_us += shared_work_us(all);
  gpu_us += prices_.lm_head_us(requests) * gemm_streaming_;
  gpu_us += prices_.decode_states_us(requests) * decode_attention_;
  // Decode attention is short of what launching a step takes: without a graph the host decides with or without it.
  if (mode == GraphPlan::Mode::eager) gpu_us = overlapped<Scalar>(gpu_us, launch_us_);
  return gpu_us + host_us(mode, requests);
}

template <class Scalar>
Scalar KernelsStepTime<Scalar>::host_us(GraphPlan::Mode mode, std::int64_t sequences) const {
  Scalar us = step_us_ + static_cast<double>(sequences) * per_sequence_us_;
  if (mode == GraphPlan::Mode::piecewise) us += piecewise_us_;
  return us;
}

template <class Scalar>
const Scalar& KernelsStepTime<Scalar>::decode_work_us(std::int64_t requests) {
  if (const Scalar* const known = decode_work_.find(requests)) return *known;
  Batch batch;
  batch.decode_requests = requests;
  return decode_work_.keep(requests, rank_decode_work_us(batch));
}

template <class Scalar>
StepPiece<Scalar> KernelsStepTime<Scalar>::piece(const Batch& batch) {
  const KernelPrices::Line attention = prices_.decode_attention(batch);
  if (batch.prefills.empty()) {
    const Scaled<Scalar> reads{decode_attention_, attention.us};
    return {.duration_us =
                ranks_ > 1 ? linear_sum(rank_decode_work_us(batch), reads) : linear_sum(decode_work_us(batch.decode_requests), reads),
            .slope_us_per_token = attention.slope_us * decode_attention_,
            .valid_steps = attention.steps};
  }
  const Prefill prefill = sum(batch.prefills);
  const std::int64_t tokens = batch.decode_requests + prefill.tokens;
  const std::int64_t sequences = batch.decode_requests + prefill.requests;
  const auto [own, all, mode] = sizes_of(batch, tokens);
  Scalar gpu_us = linear_sum(token_work_us(own), Scaled<Scalar>{gemm_streaming_, prices_.lm_head_us(sequences)},
                             Scaled<Scalar>{mixed_attention_, attention.us + prices_.decode_states_us(batch.decode_requests)},
                             Scaled<Scalar>{prefill_attention_, prices_.prefill_attention_us(batch.prefills)});
  if (ranks_ > 1) gpu_us += shared_work_us(all);
  if (mode == GraphPlan::Mode::eager) gpu_us = overlapped<Scalar>(gpu_us, launch_us_);
  return {.duration_us = gpu_us + host_us(mode, sequences),
          .slope_us_per_token = attention.slope_us * mixed_attention_,
          .valid_steps = attention.steps};
}

template <class Scalar>
double KernelsStepTime<Scalar>::decode_marginal_us(const Batch& batch) {
  // Over a whole padding and to both sides: steps and bumps of the curves average out.
  constexpr std::int64_t kReach = 8;
  const std::int64_t below = std::max<std::int64_t>(1, batch.decode_requests - kReach);
  const std::int64_t above = batch.decode_requests + kReach;
  const auto work_us = [&](std::int64_t requests) {
    if (ranks_ == 1) return core::value_of(decode_work_us(requests));
    Batch of_rank;
    of_rank.decode_requests = requests;
    if (batch.ranks.all > 0) {
      of_rank.ranks = {.all = batch.ranks.all + requests - batch.decode_requests, .busiest = std::max(batch.ranks.busiest, requests)};
    }
    return core::value_of(rank_decode_work_us(of_rank));
  };
  const double gain_us = work_us(above) - work_us(below);
  return std::max(core::value_of(per_sequence_us_), gain_us / static_cast<double>(above - below));
}

template <class Scalar>
StepBreakdown KernelsStepTime<Scalar>::breakdown(const Batch& batch) {
  using core::value_of;
  const Prefill prefill = sum(batch.prefills);
  const bool decodes_only = batch.prefills.empty();
  const std::int64_t tokens = batch.decode_requests + prefill.tokens;
  const std::int64_t sequences = batch.decode_requests + prefill.requests;
  const auto [own, all, mode] = sizes_of(batch, tokens);
  const KernelPrices::TokenWork work = prices_.token_work(own);
  const kernels::ExpertPrice::At experts = prices_.experts(all, value_of(routing_correlation_));
  const KernelPrices::Line attention = prices_.decode_attention(batch);
  const double computing_us = work.computing_products_us * value_of(gemm_computing_) + experts.load_us * value_of(expert_load_);
  const double streaming_us = (work.streaming_products_us + prices_.lm_head_us(sequences)) * value_of(gemm_streaming_) +
                              experts.reading_us * value_of(expert_reading_);
  const double decode_us =
      (attention.us + prices_.decode_states_us(batch.decode_requests)) * value_of(decodes_only ? decode_attention_ : mixed_attention_);
  const double prefill_us = decodes_only ? 0.0 : prices_.prefill_attention_us(batch.prefills) * value_of(prefill_attention_);
  const double all_reduces_us = work.all_reduces_us > 0.0 ? work.all_reduces_us * value_of(all_reduce_) + value_of(skew_us_) : 0.0;
  const double per_sequence_us = value_of(per_sequence_us_) * static_cast<double>(sequences);
  StepBreakdown result;
  result.total_us = value_of(piece(batch).duration_us);
  result.terms = {
      {"overhead", value_of(host_us(mode, sequences)) - per_sequence_us},
      {"sequences", per_sequence_us},
      {"linear", work.streaming_products_us * value_of(gemm_streaming_) + work.computing_products_us * value_of(gemm_computing_)},
      {"lm_head", prices_.lm_head_us(sequences) * value_of(gemm_streaming_)},
      {"activations", work.element_wise_us},
      {"kv_reads", decode_us},
      {"prefill_attention", prefill_us},
      {"allreduce", all_reduces_us},
      {"moe", experts.reading_us * value_of(expert_reading_) + experts.load_us * value_of(expert_load_)},
      {"prefill_launch", mode == GraphPlan::Mode::eager ? value_of(launch_us_) : 0.0}};
  if (ranks_ > 1) result.terms.push_back({"dispatch", prices_.dispatch_us(all) * value_of(all_reduce_)});
  const double compute_us = computing_us + prefill_us;
  const double memory_us = streaming_us + decode_us;
  result.bound =
      std::max(compute_us, memory_us) < 0.5 * result.total_us ? "overhead" : (compute_us > memory_us ? "compute" : "memory");
  return result;
}

template class KernelsStepTime<double>;
template class KernelsStepTime<core::Dual<core::kNarrowWidth>>;
template class KernelsStepTime<core::Dual<core::kMediumWidth>>;
template class KernelsStepTime<core::Dual<core::kWideWidth>>;

}  // namespace rooftune::latency
