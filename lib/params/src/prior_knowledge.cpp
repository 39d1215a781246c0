#include "rooftune/params/prior_knowledge.hpp"

#include <algorithm>
#include <array>

namespace rooftune::params {
namespace {

/// Nobody has a figure: a factor e.
constexpr double kUnknownDeviation = 1.0;
/// The same where a parameter is searched on a linear scale: this part of its range.
constexpr double kUnknownPart = 0.25;

struct Known {
  std::string_view id;
  double deviation;
};

// Widths of kernel quantities: scatter of the fits in bench_data/efficiency.json (log_sd), rounded as the shipped studies round it. Of
// host costs: what servers differ by, about a factor e. Each group in the order in which its studies list them.
constexpr std::array kFrontEnd{
    Known{"frontend.constant_us", 1.0},
    Known{"frontend.per_prompt_token_us", 1.0},
    Known{"frontend.per_output_token_us", 1.0},
};

constexpr std::array kOfPhysics{
    Known{"physics.t_step_us", 1.0},
    Known{"physics.t_layer_us", 0.2},
    Known{"physics.t_seq_us", 1.0},
    Known{"physics.prefill_layer_us", 1.0},
    Known{"physics.sampler_us_per_kilotoken", 1.0},
    Known{"physics.sampler_seq_us_per_kilotoken", 0.7},
    Known{"physics.gemm_fraction", 0.1},
    Known{"physics.fp8_gemm_fraction", 0.2},
    Known{"physics.weight_bandwidth_fraction", 0.05},
    Known{"physics.kv_bandwidth_fraction", 0.08},
    Known{"physics.prefill_attention_fraction", 0.3},
    Known{"physics.pnorm", 0.3},
    Known{"physics.allreduce_us", 0.1},
    Known{"physics.allreduce_skew_us", 1.0},
    Known{"physics.allreduce_fraction", 0.3},
    Known{"physics.moe_fp8_weight_bandwidth_fraction", 0.05},
    Known{"physics.moe_fp8_gemm_fraction", 0.7},
    Known{"physics.moe_layer_us", 0.3},
    Known{"physics.moe_routing_correlation", 0.1},
};

constexpr std::array kOfKernels{
    Known{"kernels.t_step_us", 1.0},
    Known{"kernels.t_layer_us", 0.3},
    Known{"kernels.t_seq_us", 1.0},
    Known{"kernels.piecewise_layer_us", 0.3},
    Known{"kernels.moe_layer_us", 0.7},
    Known{"kernels.launch_layer_us", 1.0},
    Known{"kernels.sampler_us_per_kilotoken", 1.0},
    Known{"kernels.sampler_seq_us_per_kilotoken", 0.7},
    Known{"kernels.gemm_streaming_factor", 0.05},
    Known{"kernels.gemm_computing_factor", 0.1},
    Known{"kernels.decode_attention_factor", 0.1},
    Known{"kernels.prefill_attention_factor", 0.15},
    Known{"kernels.all_reduce_factor", 0.1},
    Known{"kernels.all_reduce_skew_us", 1.0},
    Known{"kernels.expert_reading_factor", 0.1},
    Known{"kernels.expert_load_factor", 0.5},
    Known{"kernels.routing_correlation", 0.3},
};

constexpr std::array kRooflineMfu{
    Known{"roofline_mfu.t_step_us", 1.0},
    Known{"roofline_mfu.t_layer_us", 0.5},
    Known{"roofline_mfu.t_seq_us", 1.0},
    Known{"roofline_mfu.sampler_us_per_kilotoken", 1.0},
    Known{"roofline_mfu.sampler_seq_us_per_kilotoken", 0.7},
    Known{"roofline_mfu.gemm_time_factor", 0.1},
    Known{"roofline_mfu.decode_attention_time_factor", 0.1},
    Known{"roofline_mfu.prefill_attention_divisor", 0.3},
    Known{"roofline_mfu.moe_time_factor", 0.3},
    Known{"roofline_mfu.all_reduce_time_factor", 0.1},
    Known{"roofline_mfu.all_reduce_skew_us", 1.0},
    Known{"roofline_mfu.memory_bandwidth_fraction", 0.05},
};

// Known, but no part of a first fit: what few runs depend on, or what another parameter stands for.
constexpr std::array kFurther{
    Known{"physics.fp8_call_us", 0.3},
    Known{"physics.mixed_kv_factor", 0.3},
    Known{"physics.moe_weight_bandwidth_fraction", 0.05},
    Known{"physics.moe_gemm_fraction", 0.7},
    Known{"kernels.mixed_attention_factor", 0.3},
    Known{"roofline_mfu.tp_exponent", 0.2},
    Known{"roofline_v1.mfuPrefillMultiplier", 0.5},
    Known{"roofline_v1.mfuDecodeMultiplier", 0.5},
    Known{"roofline_v1.BwEffConstant", 0.2},
    Known{"roofline_v1.prefillBwFactor", 0.2},
    Known{"roofline_v1.decodeBwFactor", 0.2},
    Known{"roofline_v1.tpScalingExponent", 0.2},
    Known{"roofline_v1.decodeTpScalingExponent", 0.2},
    Known{"roofline_v1.prefillOverheadMicros", 500.0},
    Known{"roofline_v1.mixedPrefillOverheadMicros", 500.0},
};

template <class Visit>
void for_each_known(const Visit& visit) {
  for (const Known& known : kFrontEnd) visit(known);
  for (const Known& known : kOfPhysics) visit(known);
  for (const Known& known : kOfKernels) visit(known);
  for (const Known& known : kRooflineMfu) visit(known);
  for (const Known& known : kFurther) visit(known);
}

std::span<const Known> own_parameters(std::string_view step_time_model) {
  if (step_time_model == "physics") return kOfPhysics;
  if (step_time_model == "kernels") return kOfKernels;
  if (step_time_model == "roofline_mfu") return kRooflineMfu;
  return {};
}

}  // namespace

double known_deviation(ParameterId id) {
  const ParameterSpec& spec = id.spec();
  double deviation = spec.transform == Transform::log ? kUnknownDeviation : kUnknownPart * (spec.upper - spec.lower);
  for_each_known([&](const Known& known) {
    if (known.id == spec.id) deviation = known.deviation;
  });
  return deviation;
}

Prior known_prior(const FreeParameter& parameter, double centre) {
  return {.centre = centre, .standard_deviation = known_deviation(parameter.id)};
}

std::vector<FreeParameter> first_fit(std::string_view step_time_model) {
  const std::span<const Known> own = own_parameters(step_time_model);
  std::vector<FreeParameter> free;
  const auto add = [&](const Known& known) {
    FreeParameter& freed = free.emplace_back(make_free(params::parameter(known.id)));
    freed.prior = known_prior(freed, freed.initial);
  };
  if (own.empty()) return free;
  std::ranges::for_each(kFrontEnd, add);
  std::ranges::for_each(own, add);
  return free;
}

}  // namespace rooftune::params
