#include "rooftune/plan/speculation.hpp"

#include <cmath>
#include <numeric>
#include <vector>

#include "rooftune/sim/simulate.hpp"

namespace rooftune::plan {
namespace {

/// Steps in which all requests have one context.
class EqualDecodes {
 public:
  EqualDecodes(std::unique_ptr<latency::StepTime<double>> step_time, double context_tokens)
      : step_time_(std::move(step_time)), context_tokens_(std::llround(context_tokens)) {}

  [[nodiscard]] double step_us(int requests) {
    contexts_.assign(static_cast<std::size_t>(requests), context_tokens_);
    return step_time_->duration_us({.prefills = {},
                                    .decode_requests = requests,
                                    .decode_context_tokens = requests * context_tokens_,
                                    .decode_max_context_tokens = context_tokens_,
                                    .decode_contexts = contexts_});
  }

 private:
  std::unique_ptr<latency::StepTime<double>> step_time_;
  std::int64_t context_tokens_;
  std::vector<std::int64_t> contexts_;
};

}  // namespace

std::optional<SpeculationGain> speculation_gain(const eval::Case& item, const params::Config& config) {
  if (!item.experiment.deployment.settings.speculative) return std::nullopt;
  const auto plan = item.plan(0);
  const sim::Scenario scenario = item.scenario(*plan);
  params::Resolved<double> parameters = params::resolve(config, item.experiment.deployment, item.gpu);
  const sim::EngineSetup setup = sim::make_engine_setup(scenario, parameters);
  if (setup.speculation.draft_tokens == 0) return std::nullopt;
  SpeculationGain gain{.context_tokens = sim::mean_context_tokens(*plan), .most_requests = setup.max_num_seqs};
  gain.tokens_per_step = std::accumulate(setup.speculation.acceptance.begin(), setup.speculation.acceptance.end(), 1.0);
  EqualDecodes with(sim::make_step_time<double>(config.step_time_model, scenario, parameters), gain.context_tokens);
  parameters.choose(params::switch_id("engine.speculation"), *params::find_choice(params::switch_id("engine.speculation"), "off"));
  EqualDecodes without(sim::make_step_time<double>(config.step_time_model, scenario, parameters), gain.context_tokens);
  const auto gain_of = [&](int requests) { return gain.tokens_per_step * without.step_us(requests) / with.step_us(requests); };
  gain.gain_alone = gain_of(1);
  gain.gain_crowded = gain_of(gain.most_requests);
  // Padding and kernels make bumps: what counts is where no larger batch pays.
  int pays_up_to = gain.most_requests;
  while (pays_up_to > 0 && gain_of(pays_up_to) <= 1.0) --pays_up_to;
  if (pays_up_to < gain.most_requests) gain.break_even_requests = pays_up_to + 1;
  return gain;
}

}  // namespace rooftune::plan
