#include "rooftune/latency/catalogue.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "blackbox.hpp"
#include "kernels_step_time.hpp"
#include "physics.hpp"
#include "pipeline.hpp"
#include "roofline_mfu.hpp"
#include "roofline_v1.hpp"
#include "rooftune/core/contract.hpp"
#include "rooftune/core/derivative.hpp"
#include "rooftune/latency/operators.hpp"
#include "term_step_time.hpp"

namespace rooftune::latency {
namespace {

constexpr std::array kModels{
    ModelEntry{"blackbox", "step = b0 + b1 * prefill tokens + b2 * decodes; coefficients per model, GPU and TP"},
    ModelEntry{"roofline_v1", "the calibrated roofline of the Go simulator family, prefill and decode apart, with extensions"},
    ModelEntry{"roofline_mfu", "times of measured kernels for every operation, looked up by shape, with correction factors", true},
    ModelEntry{"kernels",
               "the GPU's own measured curves of every operator, few factors and host terms; shapes without rows by rooflines", true,
               true},
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
    &make<BlackboxStepTime<Scalar>, Scalar>, &make<RooflineV1StepTime<Scalar>, Scalar>, &make<RooflineMfuStepTime<Scalar>, Scalar>,
    &make<KernelsStepTime<Scalar>, Scalar>,  &make<PhysicsStepTime<Scalar>, Scalar>,
};

std::optional<std::size_t> index_of(std::string_view name) {
  const auto* found = std::ranges::find(kModels, name, &ModelEntry::name);
  if (found == kModels.end()) return std::nullopt;
  return static_cast<std::size_t>(found - kModels.begin());
}

/// Every GPU gets whole heads; KV heads are split, or replicated where there are fewer of them than GPUs.
bool splits_heads(const domain::ModelSpec& model, int tp) {
  return tp > 0 && std::ranges::all_of(model.groups, [&](const domain::LayerGroup& group) {
           const domain::Mixer& mixer = group.layer.mixer;
           if (mixer.heads % tp != 0) return false;
           return mixer.kv_heads == 0 || mixer.kv_heads % tp == 0 || tp % mixer.kv_heads == 0;
         });
}

/// The layer that has the fewest heads says which degrees are possible.
const domain::Mixer* fewest_heads(const domain::ModelSpec& model) {
  const domain::Mixer* fewest = nullptr;
  for (const domain::LayerGroup& group : model.groups) {
    const domain::Mixer& mixer = group.layer.mixer;
    if (mixer.heads > 0 && (fewest == nullptr || mixer.heads < fewest->heads)) fewest = &mixer;
  }
  return fewest;
}

/// "1, 2, 4, 8"
std::string possible_tps(const domain::ModelSpec& model, int most) {
  std::string text;
  for (int tp = 1; tp <= most; ++tp) {
    if (splits_heads(model, tp)) text += fmt::format("{}{}", text.empty() ? "" : ", ", tp);
  }
  return text;
}

/// Layers for which a model that knows attention over the whole context only has no formula, by their kind; else nothing.
std::optional<std::string> other_layers(const Operators& operators) {
  double of_states = 0.0;
  for (const StateUpdate& state : operators.states) of_states += state.count;
  if (of_states > 0.0) return fmt::format("{} layers of linear attention", of_states);
  const auto count = [&](const auto& is_of_kind) {
    double layers = 0.0;
    for (const Attention& attention : operators.attentions) layers += is_of_kind(attention) ? attention.count : 0.0;
    return layers;
  };
  if (const double latent = count([](const Attention& attention) { return attention.latent.has_value(); }); latent > 0.0) {
    return fmt::format("{} layers of multi-head latent attention (MLA)", latent);
  }
  const auto is_partial = [](const Attention& attention) {
    return attention.reads.size() > 1 || std::ranges::any_of(attention.reads, &ContextRead::is_limited);
  };
  if (const double partial = count(is_partial); partial > 0.0) {
    return fmt::format("{} layers that attend to part of the context (windows, chunks, sparse attention)", partial);
  }
  return std::nullopt;
}

}  // namespace

std::span<const ModelEntry> step_time_models() { return kModels; }

bool is_step_time_model(std::string_view name) { return index_of(name).has_value(); }

bool looks_up_kernels(std::string_view name) {
  const auto index = index_of(name);
  return index && kModels[*index].looks_up_kernels;
}

bool prices_eager_steps(std::string_view name) {
  const auto index = index_of(name);
  return index && kModels[*index].prices_eager_steps;
}

std::optional<std::string> unsupported_reason(std::string_view name, const Target& target) {
  const domain::ModelSpec& model = target.model;
  const domain::Deployment& deployment = target.deployment;
  if (!splits_heads(model, deployment.tp)) {
    const domain::Mixer* mixer = fewest_heads(model);
    return fmt::format("{}: tp {} does not divide its {} heads and {} KV heads (use tp {})", model.name, deployment.tp, mixer->heads,
                       mixer->kv_heads, possible_tps(model, mixer->heads));
  }
  if (deployment.pp > model.layers()) {
    return fmt::format("{}: {} pipeline stages for {} layers (use pp: {} or less)", model.name, deployment.pp, model.layers(),
                       model.layers());
  }
  if (const int ranks = deployment.settings.data_parallel_size; ranks > 1 && model.experts() != nullptr) {
    if (name != "physics" && name != "kernels") {
      return fmt::format("{}: {} has no formula for the experts of {} data-parallel ranks (use physics or kernels)", model.name, name,
                         ranks);
    }
    if (deployment.pp > 1) {
      return fmt::format("{}: {} pipeline stages of {} data-parallel ranks are not simulated (leave one of them out)", model.name,
                         deployment.pp, ranks);
    }
  }
  if (name.starts_with("roofline")) {
    if (const auto other = other_layers(operators_of(model, deployment))) {
      return fmt::format("{}: {} has no formula for its {} (use physics)", model.name, name, *other);
    }
  }
  if (name == "kernels" && target.tables == nullptr) {
    return fmt::format("{} on {}: kernels needs measured kernels: no kernel tables were given (give kernel tables of this GPU)",
                       model.name, target.gpu.name);
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
  if (target.deployment.pp > 1) whole = std::make_unique<PipelineStepTime<Scalar>>(std::move(whole), target, parameters);
  const std::vector<params::ParameterId> terms = terms_of(parameters);
  if (terms.empty()) return whole;
  return std::make_unique<TermStepTime<Scalar>>(std::move(whole), target, parameters, terms);
}

template std::unique_ptr<StepTime<double>> make_step_time(std::string_view, const Target&, const params::Resolved<double>&);
template std::unique_ptr<StepTime<core::Dual<core::kNarrowWidth>>> make_step_time(
    std::string_view, const Target&, const params::Resolved<core::Dual<core::kNarrowWidth>>&);
template std::unique_ptr<StepTime<core::Dual<core::kMediumWidth>>> make_step_time(
    std::string_view, const Target&, const params::Resolved<core::Dual<core::kMediumWidth>>&);
template std::unique_ptr<StepTime<core::Dual<core::kWideWidth>>> make_step_time(std::string_view, const Target&,
                                                                                const params::Resolved<core::Dual<core::kWideWidth>>&);

}  // namespace rooftune::latency
