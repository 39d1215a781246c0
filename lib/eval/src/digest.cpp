#include "rooftune/eval/digest.hpp"

#include "rooftune/core/digest.hpp"
#include "rooftune/domain/digest.hpp"
#include "rooftune/params/digest.hpp"
#include "rooftune/sim/simulate.hpp"

// Every function takes its type apart as a whole: see core::Digest. Names are as in the types.

namespace rooftune::sim {

static void add_to(core::Digest& digest, const PlannedRequest& request) {
  const auto& [arrival_us, prompt_tokens, output_tokens, chain, chain_tokens, extends_chain, follows, draw] = request;
  digest.add(arrival_us, prompt_tokens, output_tokens, chain, chain_tokens, extends_chain, follows, draw);
}

static void add_to(core::Digest& digest, const StagePlan& stage) {
  const auto& [requests, requests_per_us, send_until_us, concurrency] = stage;
  digest.add(requests, requests_per_us, send_until_us, concurrency);
}

static void add_to(core::Digest& digest, const PrefixChain& chain) {
  const auto& [parent, parent_tokens] = chain;
  digest.add(parent, parent_tokens);
}

static void add_to(core::Digest& digest, const RequestPlan& plan) {
  const auto& [stages, chains, concurrency, turnaround_us, warm_up] = plan;
  digest.add(stages, chains, concurrency, turnaround_us, warm_up);
}

}  // namespace rooftune::sim

namespace rooftune::eval {

static void add_to(core::Digest& digest, const Case& item) {
  const auto& [experiment, model, gpu, plans, tables, assumed, draft] = item;  // what was assumed is in the experiment's settings
  digest.add(experiment, model, gpu, plans.size(), tables ? tables->identity() : std::string(), draft);
  for (std::size_t replicate = 0; replicate < plans.size(); ++replicate) digest.add(*item.plan(replicate));
}

static void add_to(core::Digest& digest, const ObjectiveSpec& objective) {
  const auto& [residual, metrics, rows, balance, loss, loss_scale, scalar, noise, weigh_by_noise] = objective;
  // The solver bends residuals, after they were evaluated.
  static_cast<void>(loss);
  static_cast<void>(loss_scale);
  digest.add(residual, metrics, rows, balance, scalar, noise, weigh_by_noise.value_or(false));
}

static void add_to(core::Digest& digest, const FailurePolicy& policy) {
  const auto& [on_failure, retries, penalty, max_events] = policy;
  // How often something is tried again changes nothing in what succeeds.
  static_cast<void>(retries);
  digest.add(on_failure, penalty, max_events);
}

std::string problem_digest(const ResidualFunction& residuals) {
  core::Digest digest;
  if (const auto& external = residuals.dataset().external) digest.add(external->identity(), residuals.dataset().seed);
  digest.add(residuals.dataset().failures->policy());
  return digest
      .add(sim::simulator_identity(), ROOFTUNE_EVALUATOR_IDENTITY, residuals.config(), residuals.dataset().cases,
           residuals.objective(), residuals.free())
      .hex();
}

}  // namespace rooftune::eval
