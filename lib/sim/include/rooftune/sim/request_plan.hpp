#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "rooftune/domain/experiment.hpp"

namespace rooftune::sim {

/// Prompts that start alike form a tree: a chain is a run of tokens, continuing its parent after `parent_tokens`.
struct PrefixChain {
  std::int32_t parent = -1;  ///< index of the parent chain, -1: none
  std::int32_t parent_tokens = 0;
};

/// One request as the load generator sends it.
struct PlannedRequest {
  /// After the start of its stage. In a closed loop, or where the request `follows`: how long its client waits, once it is free,
  /// before it sends it.
  double arrival_us = 0.0;
  std::int32_t prompt_tokens = 0;
  std::int32_t output_tokens = 0;
  std::int32_t chain = -1;        ///< what its leading tokens share with other requests; -1: nothing
  std::int32_t chain_tokens = 0;  ///< how many leading tokens lie on the chain
  bool extends_chain = false;     ///< generated tokens become part of the chain (conversations)
  bool follows = false;           ///< the next turn of the conversation of the request before it in the plan: sent after its reply
  std::uint32_t draw = 0;         ///< names its stream of accepted draft tokens
};

struct StagePlan {
  std::vector<PlannedRequest> requests;                            ///< by arrival, turns of a conversation one after the other
  double requests_per_us = 0.0;                                    ///< mean arrival rate, 0 for closed loops
  double send_until_us = std::numeric_limits<double>::infinity();  ///< closed loop: no request is sent later, after the stage's start
  int concurrency = 0;                                             ///< closed loop: clients; 0: those of the whole plan
};

/// Everything random about a workload, drawn once: the same plan serves every parameter point (common random numbers).
struct RequestPlan {
  std::vector<StagePlan> stages;
  std::vector<PrefixChain> chains;
  int concurrency = 0;                    ///< closed loop: clients, the most of all stages; 0: open loop
  std::optional<double> turnaround_us{};  ///< closed loop: recorded; empty: client.turnaround_us
  std::optional<StagePlan> warm_up{};     ///< a closed loop served before the first stage, counted in nothing

  [[nodiscard]] int clients(const StagePlan& stage) const { return stage.concurrency > 0 ? stage.concurrency : concurrency; }
};

/// The mean over requests of a request's tokens half-way through its output; 0 without requests.
[[nodiscard]] double mean_context_tokens(const RequestPlan& plan);

/// Draws the requests of an experiment. Streams depend on (seed, experiment id, stage, purpose, replicate) alone.
[[nodiscard]] RequestPlan make_request_plan(const domain::Experiment& experiment, std::uint64_t seed, int replicate);

}  // namespace rooftune::sim
