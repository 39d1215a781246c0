#include "rooftune/latency/catalogue.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "blackbox.hpp"
#include "physics.hpp"
#include "pipeline.hpp"
#include "roofline_mfu.hpp"
#include "roofline_v1.hpp"
#include "rooftune/core/contract.hpp"

namespace rooftune::latency {
namespace {

constexpr std::array kModels{
    ModelEntry{"blackbox", "step = b0 + b1 * prefill tokens + b2 * decodes; coefficients per model, GPU and TP"},
    ModelEntry{"roofline_v1", "the calibrated roofline of the Go simulator family, prefill and decode apart, with extensions"},
    ModelEntry{"roofline_mfu", "times of measured kernels for every operation, looked up by shape, with correction factors", true},
    ModelEntry{"physics", "compute, weight and KV streams, all-reduce, experts and overheads, each with a fitted efficiency"},
};

template <class Scalar>
using Make = std::unique_ptr<StepTime<Scalar>> (*)(const Target&, const params::Resolved<Scalar>&);

template <class Model, class Scalar>
std::unique_ptr<StepTime<Scalar>> make(const Target& target, const params::Resolved<Scalar>& parameters) {
  return std::make_unique<Model>(target, parameters);
}

/// In the order of kModels.
template <class Scalar>
constexpr std::array<Make<Scalar>, kModels.size()> kMakers{
    &make<BlackboxStepTime<Scalar>, Scalar>,
    &make<RooflineV1StepTime<Scalar>, Scalar>,
    &make<RooflineMfuStepTime<Scalar>, Scalar>,
    &make<PhysicsStepTime<Scalar>, Scalar>,
};

std::optional<std::size_t> index_of(std::string_view name) {
  const auto* found = std::ranges::find(kModels, name, &ModelEntry::name);
  if (found == kModels.end()) return std::nullopt;
  return static_cast<std::size_t>(found - kModels.begin());
}

/// Every GPU gets whole heads; KV heads are split, or replicated where there are fewer of them than GPUs.
bool splits_heads(const domain::ModelSpec& model, int tp) {
  return tp > 0 && model.heads % tp == 0 && (model.kv_heads % tp == 0 || tp % model.kv_heads == 0);
}

/// "1, 2, 4, 8"
std::string possible_tps(const domain::ModelSpec& model) {
  std::string text;
  for (int tp = 1; tp <= model.heads; ++tp) {
    if (splits_heads(model, tp)) text += fmt::format("{}{}", text.empty() ? "" : ", ", tp);
  }
  return text;
}

}  // namespace

std::span<const ModelEntry> step_time_models() { return kModels; }

bool is_step_time_model(std::string_view name) { return index_of(name).has_value(); }

bool looks_up_kernels(std::string_view name) {
  const auto index = index_of(name);
  return index && kModels[*index].looks_up_kernels;
}

std::optional<std::string> unsupported_reason(std::string_view name, const Target& target) {
  const domain::ModelSpec& model = target.model;
  const domain::Deployment& deployment = target.deployment;
  if (model.attention == domain::AttentionKind::multi_head_latent) {
    return fmt::format("{}: multi-head latent attention (MLA) has no step-time formula yet (leave its experiments out)", model.name);
  }
  if (!splits_heads(model, deployment.tp)) {
    return fmt::format("{}: tp {} does not divide its {} heads and {} KV heads (use tp {})", model.name, deployment.tp, model.heads,
                       model.kv_heads, possible_tps(model));
  }
  if (deployment.pp > model.layers) {
    return fmt::format("{}: {} pipeline stages for {} layers (use pp: {} or less)", model.name, deployment.pp, model.layers,
                       model.layers);
  }
  if (name == "roofline_mfu") {
    if (const auto missing = MfuKernelTimes::missing_table(target)) {
      return fmt::format("{} on {}: roofline_mfu needs measured kernels: {} (give kernel tables of this GPU)", model.name,
                         target.gpu.name, *missing);
    }
  }
  return std::nullopt;
}

template <class Scalar>
std::unique_ptr<StepTime<Scalar>> make_step_time(std::string_view name, const Target& target,
                                                 const params::Resolved<Scalar>& parameters) {
  const auto index = index_of(name);
  ROOFTUNE_EXPECTS(index.has_value());
  auto whole = kMakers<Scalar>[*index](target, parameters);
  if (target.deployment.pp <= 1) return whole;
  return std::make_unique<PipelineStepTime<Scalar>>(std::move(whole), target, parameters);
}

template std::unique_ptr<StepTime<double>> make_step_time(std::string_view, const Target&, const params::Resolved<double>&);
template std::unique_ptr<StepTime<core::Dual<core::kNarrowWidth>>> make_step_time(
    std::string_view, const Target&, const params::Resolved<core::Dual<core::kNarrowWidth>>&);
template std::unique_ptr<StepTime<core::Dual<core::kMediumWidth>>> make_step_time(
    std::string_view, const Target&, const params::Resolved<core::Dual<core::kMediumWidth>>&);
template std::unique_ptr<StepTime<core::Dual<core::kWideWidth>>> make_step_time(std::string_view, const Target&,
                                                                                const params::Resolved<core::Dual<core::kWideWidth>>&);

}  // namespace rooftune::latency
