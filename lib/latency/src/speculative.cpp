#include "rooftune/latency/speculative.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "remembered.hpp"
#include "rooftune/core/contract.hpp"
#include "rooftune/core/derivative.hpp"
#include "rooftune/latency/catalogue.hpp"

namespace rooftune::latency {
namespace {

/// A step-time model asked about steps of several positions a decode.
template <class Scalar>
class WideSteps {
 public:
  WideSteps(std::unique_ptr<StepTime<Scalar>> model, std::int64_t positions) : model_(std::move(model)), positions_(positions) {}

  [[nodiscard]] StepTime<Scalar>& model() { return *model_; }

  [[nodiscard]] StepPiece<Scalar> piece(const Batch& batch) {
    if (batch.decode_requests == 0) return model_->piece(batch);
    if (!batch.prefills.empty()) return model_->piece(widened(batch));
    StepPiece<Scalar> piece = model_->piece(batch);
    piece.duration_us += further_positions_us(batch.decode_requests);
    return piece;
  }

  /// As many decodes as positions; those beyond the first of a request have nothing to read.
  [[nodiscard]] Batch widened(const Batch& batch) {
    Batch wide = batch;
    wide.decode_requests = batch.decode_requests * positions_;
    if (!batch.decode_contexts.empty()) {
      contexts_.assign(static_cast<std::size_t>(wide.decode_requests), 0);
      std::ranges::copy(batch.decode_contexts, contexts_.begin());
      wide.decode_contexts = contexts_;
    }
    return wide;
  }

 private:
  [[nodiscard]] const Scalar& further_positions_us(std::int64_t requests) {
    if (const Scalar* const known = further_.find(requests)) return *known;
    const auto without_context = [&](std::int64_t decodes) {
      Batch batch{.prefills = {}, .decode_requests = decodes, .decode_contexts = {}};
      if (model_->wants_decode_contexts()) {
        contexts_.assign(static_cast<std::size_t>(decodes), 0);
        batch.decode_contexts = contexts_;
      }
      return model_->piece(batch).duration_us;
    };
    return further_.keep(requests, without_context(requests * positions_) - without_context(requests));
  }

  std::unique_ptr<StepTime<Scalar>> model_;
  std::int64_t positions_;
  std::vector<std::int64_t> contexts_;
  Remembered<Scalar> further_;  ///< what the positions beyond the first take, by decoding requests
};

template <class Scalar>
class DraftingStepTime final : public StepTime<Scalar> {
 public:
  DraftingStepTime(std::unique_ptr<StepTime<Scalar>> target, std::unique_ptr<StepTime<Scalar>> drafter, int tokens,
                   const Scalar& pass_us)
      : target_(std::move(target), tokens + 1), tokens_(tokens), passes_us_(static_cast<double>(tokens) * pass_us) {
    if (drafter != nullptr) drafter_ = std::make_unique<WideSteps<Scalar>>(std::move(drafter), tokens + 1);
  }

  [[nodiscard]] StepPiece<Scalar> piece(const Batch& batch) override {
    StepPiece<Scalar> piece = target_.piece(batch);
    const StepPiece<Scalar> drafting = drafting_piece(batch);
    piece.duration_us += drafting.duration_us;
    piece.slope_us_per_token += drafting.slope_us_per_token;
    piece.valid_steps = std::min(piece.valid_steps, drafting.valid_steps);
    return piece;
  }

  [[nodiscard]] StepBreakdown breakdown(const Batch& batch) override {
    StepBreakdown result = target_.model().breakdown(target_.widened(batch));
    const double drafting_us = core::value_of(drafting_piece(batch).duration_us);
    result.terms.push_back({.name = "drafting", .duration_us = drafting_us});
    result.total_us = this->duration_us(batch);
    return result;
  }

  [[nodiscard]] double decode_marginal_us(const Batch& batch) override {
    // Over a whole padding and to both sides, as the models that pad have it.
    constexpr std::int64_t kReach = 8;
    Batch fewer = batch;
    Batch more = batch;
    fewer.decode_requests = std::max<std::int64_t>(1, batch.decode_requests - kReach);
    more.decode_requests = batch.decode_requests + kReach;
    fewer.decode_contexts = more.decode_contexts = {};
    return (this->duration_us(more) - this->duration_us(fewer)) / static_cast<double>(more.decode_requests - fewer.decode_requests);
  }

  [[nodiscard]] bool wants_decode_contexts() const override { return target_wants_; }
  [[nodiscard]] const kernels::LookupReport* lookup_report() const override { return report_; }

 private:
  [[nodiscard]] StepPiece<Scalar> drafting_piece(const Batch& batch) {
    StepPiece<Scalar> sum{.duration_us = passes_us_, .slope_us_per_token = Scalar(0.0), .valid_steps = kEveryStep};
    if (drafter_ == nullptr) return sum;
    // The first pass computes the step's own positions once more, so that the drafter's cache holds them.
    const StepPiece<Scalar> first = drafter_->piece(batch);
    sum.duration_us += first.duration_us;
    sum.slope_us_per_token += first.slope_us_per_token;
    sum.valid_steps = first.valid_steps;
    if (tokens_ == 1) return sum;
    const StepPiece<Scalar> next = drafter_->model().piece(after_first_pass(batch));
    const double passes = tokens_ - 1;
    sum.duration_us += passes * next.duration_us;
    sum.slope_us_per_token += passes * next.slope_us_per_token;
    sum.valid_steps = std::min(sum.valid_steps, next.valid_steps);
    return sum;
  }

  /// One position of every decode and of every prompt, taken as complete.
  [[nodiscard]] Batch after_first_pass(const Batch& batch) {
    if (batch.prefills.empty()) return batch;
    Batch next = batch;
    next.prefills = {};
    next.decode_requests += static_cast<std::int64_t>(batch.prefills.size());
    contexts_.assign(batch.decode_contexts.begin(), batch.decode_contexts.end());
    for (const PrefillChunk& chunk : batch.prefills) {
      next.decode_context_tokens += chunk.context_tokens + chunk.new_tokens;
      contexts_.push_back(chunk.context_tokens + chunk.new_tokens);
    }
    next.decode_max_context_tokens = *std::ranges::max_element(contexts_);
    if (target_wants_) next.decode_contexts = contexts_;
    return next;
  }

  WideSteps<Scalar> target_;
  std::unique_ptr<WideSteps<Scalar>> drafter_;
  int tokens_;
  Scalar passes_us_;
  bool target_wants_ = target_.model().wants_decode_contexts() || (drafter_ != nullptr && drafter_->model().wants_decode_contexts());
  const kernels::LookupReport* report_ = target_.model().lookup_report();
  std::vector<std::int64_t> contexts_;
};

/// What the host takes for a step is not taken again for the passes of the drafter.
template <class Scalar>
params::Resolved<Scalar> of_drafter(params::Resolved<Scalar> parameters, std::string_view step_time_model) {
  for (const std::string_view name : {"t_step_us", "t_seq_us"}) {
    parameters[params::parameter(fmt::format("{}.{}", step_time_model, name))] = Scalar(0.0);
  }
  return parameters;
}

}  // namespace

domain::ModelSpec draft_layers_of(const domain::ModelSpec& target, int layers) {
  domain::ModelSpec drafter = target;
  drafter.name = fmt::format("{} layer{} of {}", layers, layers == 1 ? "" : "s", target.name);
  drafter.groups = {target.groups.back()};
  drafter.groups.front().count = layers;
  drafter.sampling.reset();
  drafter.vision_elements = drafter.layer_input_elements = drafter.prediction_elements = 0.0;
  return drafter;
}

std::optional<std::string> unsupported_drafting(std::string_view step_time_model, const Target& target, const Drafter& drafter) {
  if (step_time_model != "physics" && step_time_model != "kernels") {
    return fmt::format("{} has no formula for steps that verify drafted tokens (use physics or kernels, or engine.speculation: off)",
                       step_time_model);
  }
  if (target.deployment.pp > 1) return "speculative decoding in a pipeline (pp > 1) is not simulated (use pp: 1)";
  if (const int ranks = target.deployment.settings.data_parallel_size; ranks > 1) {
    return fmt::format("speculative decoding on {} data-parallel ranks is not simulated (leave one out)", ranks);
  }
  for (const domain::ModelSpec* const model : {&target.model, drafter.model}) {
    if (model != nullptr && domain::state_bytes_per_request(*model) > 0.0) {
      return fmt::format(
          "{}: what verifying drafted tokens costs linear attention, which keeps a state for every position, is not modelled",
          model->name);
    }
  }
  if (drafter.model == nullptr) return std::nullopt;
  const Target drafting{.model = *drafter.model, .gpu = target.gpu, .deployment = target.deployment, .tables = target.tables};
  if (auto reason = unsupported_reason(step_time_model, drafting)) return fmt::format("the draft model: {}", *reason);
  return std::nullopt;
}

template <class Scalar>
std::unique_ptr<StepTime<Scalar>> make_drafting_step_time(std::string_view step_time_model, const Target& target,
                                                          const params::Resolved<Scalar>& parameters, const Drafter& drafter) {
  ROOFTUNE_EXPECTS(drafter.tokens > 0);
  std::unique_ptr<StepTime<Scalar>> drafting;
  if (drafter.model != nullptr) {
    const Target own{.model = *drafter.model, .gpu = target.gpu, .deployment = target.deployment, .tables = target.tables};
    drafting = make_step_time<Scalar>(step_time_model, own, of_drafter(parameters, step_time_model));
  }
  return std::make_unique<DraftingStepTime<Scalar>>(make_step_time<Scalar>(step_time_model, target, parameters), std::move(drafting),
                                                    drafter.tokens, parameters["engine.draft_pass_us"]);
}

template std::unique_ptr<StepTime<double>> make_drafting_step_time(std::string_view, const Target&, const params::Resolved<double>&,
                                                                   const Drafter&);
template std::unique_ptr<StepTime<core::Dual<core::kNarrowWidth>>> make_drafting_step_time(
    std::string_view, const Target&, const params::Resolved<core::Dual<core::kNarrowWidth>>&, const Drafter&);
template std::unique_ptr<StepTime<core::Dual<core::kMediumWidth>>> make_drafting_step_time(
    std::string_view, const Target&, const params::Resolved<core::Dual<core::kMediumWidth>>&, const Drafter&);
template std::unique_ptr<StepTime<core::Dual<core::kWideWidth>>> make_drafting_step_time(
    std::string_view, const Target&, const params::Resolved<core::Dual<core::kWideWidth>>&, const Drafter&);

}  // namespace rooftune::latency
