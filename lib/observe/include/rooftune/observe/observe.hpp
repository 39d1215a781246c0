#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/sim/request_plan.hpp"

/// Sends a planned workload to an OpenAI-compatible server and times every answer.
namespace rooftune::observe {

struct ObserveOptions {
  std::string url;    ///< of the server, "http://host:8000"; /v1/completions is added
  std::string model;  ///< under which the server knows it
  std::optional<std::string> api_key;
  int warm_up_requests = 0;  ///< sent before anything is measured, and left out
  double request_timeout_s = 600.0;
  double stage_limit_s = 3600.0;  ///< a stage that lasts longer is given up
  std::uint64_t seed = 1;         ///< of the tokens of prompts
};

enum class RequestStatus { ok, error, timeout };

/// One request as it went. Times in seconds after the start of the observation, on a clock that never jumps.
struct ObservedRequest {
  int stage = 0;
  double planned_s = 0.0;  ///< when it was to be sent; closed loop: when its client was free
  double sent_s = 0.0;
  double first_token_s = 0.0;  ///< 0: none came
  double last_token_s = 0.0;
  int chunks = 0;                ///< pieces of the answer that carried text
  int prompt_tokens = 0;         ///< sent
  int server_prompt_tokens = 0;  ///< by the server's own count; 0: it did not say
  int output_tokens = 0;         ///< by the server's own count, else the chunks
  std::int32_t chain = -1;       ///< of the plan: requests of one chain share their first `shared_tokens`
  int shared_tokens = 0;
  RequestStatus status = RequestStatus::ok;
  std::string problem{};  ///< of a request that failed
};

/// What the load generator did itself: a late client is no slow server.
struct SelfCheck {
  double lateness_p50_ms = 0.0;  ///< sent after planned, of open loops
  double lateness_p99_ms = 0.0;
  double lateness_max_ms = 0.0;
  int most_in_flight = 0;
  double clock_drift_ms = 0.0;  ///< of the steady clock against the system's over the run
};

struct Observation {
  std::vector<ObservedRequest> requests;  ///< in the order of the plan
  SelfCheck self;
  int concurrency = 0;  ///< closed loop: clients
};

/// Told after every finished request: finished, planned.
using ObserveProgress = std::function<void(std::size_t, std::size_t)>;

/// Sends the plan, stage after stage: a stage starts when every request of the one before has ended. Prompts are lists of token
/// ids, so that their lengths and shared beginnings are exactly the planned ones; outputs end at the planned length (ignore_eos).
/// Fails where the plan cannot be sent (conversations) or the server answers nothing at all; single failed requests are results.
[[nodiscard]] core::Result<Observation> observe(const sim::RequestPlan& plan, const ObserveOptions& options,
                                                const ObserveProgress& progress = {});

}  // namespace rooftune::observe
