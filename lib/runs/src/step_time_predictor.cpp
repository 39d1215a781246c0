#include "rooftune/runs/step_time_predictor.hpp"

#include <utility>

#include "rooftune/latency/catalogue.hpp"
#include "rooftune/params/resolved.hpp"

namespace rooftune::runs {

StepTimePredictor::StepTimePredictor(const eval::Case& item, const params::Config& config)
    : item_(std::make_unique<eval::Case>(item)), config_(std::make_unique<params::Config>(config)) {
  const params::Resolved<double> parameters = params::resolve(*config_, item_->experiment.deployment, item_->gpu);
  step_time_ = latency::make_step_time<double>(
      config_->step_time_model,
      {.model = item_->model, .gpu = item_->gpu, .deployment = item_->experiment.deployment, .tables = item_->tables.get()},
      parameters);
  wants_contexts_ = step_time_->wants_decode_contexts();
}

latency::Batch StepTimePredictor::completed(const latency::Batch& batch) {
  latency::Batch whole = batch;
  const std::int64_t requests = batch.decode_requests;
  if (!wants_contexts_ || requests == 0 || !batch.decode_contexts.empty()) return whole;
  const std::int64_t each = batch.decode_context_tokens / requests;
  const auto longer = static_cast<std::size_t>(batch.decode_context_tokens % requests);
  contexts_.assign(static_cast<std::size_t>(requests), each);
  for (std::size_t i = 0; i < longer; ++i) ++contexts_[i];
  whole.decode_contexts = contexts_;
  whole.decode_max_context_tokens = contexts_.front();
  return whole;
}

double StepTimePredictor::microseconds(const latency::Batch& batch) { return step_time_->duration_us(completed(batch)); }

latency::StepBreakdown StepTimePredictor::breakdown(const latency::Batch& batch) { return step_time_->breakdown(completed(batch)); }

core::Result<StepTimePredictor> open_step_time(const AdHocLoad& deployment, const StudyOverrides& overrides) {
  // One short request: the case is wanted for its deployment.
  AdHocLoad load = deployment;
  load.rates_per_s.clear();
  load.concurrency.clear();
  load.replay.reset();
  load.num_prompts = 1;
  auto experiments = make_experiments(load);
  if (!experiments) return tl::unexpected(experiments.error());
  const auto opened = open_experiments(*std::move(experiments), overrides);
  if (!opened) return tl::unexpected(opened.error());
  return StepTimePredictor(opened->prepared.dataset.cases.front(), opened->prepared.start);
}

}  // namespace rooftune::runs
