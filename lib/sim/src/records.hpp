#pragma once

#include <algorithm>
#include <utility>

#include "rooftune/core/derivative.hpp"
#include "rooftune/sim/engine.hpp"

namespace rooftune::sim {

/// What several engines, or several ranks of one, recorded, as one record.
template <class Scalar>
void merge(StageRecord<Scalar>& into, StageRecord<Scalar>&& from) {
  into.finished += from.finished;
  into.warm_up += from.warm_up;
  into.warm_up_output_tokens += from.warm_up_output_tokens;
  into.rejected += from.rejected;
  into.single_token += from.single_token;
  into.ttft_sum_us += from.ttft_sum_us;
  into.e2e_sum_us += from.e2e_sum_us;
  into.tpot_sum_us += from.tpot_sum_us;
  into.prompt_tokens += from.prompt_tokens;
  into.output_tokens += from.output_tokens;
  into.first_arrival_us = std::min(into.first_arrival_us, from.first_arrival_us);
  into.last_finish_us = std::max(into.last_finish_us, from.last_finish_us);
  into.longest_queue = std::max(into.longest_queue, from.longest_queue);
  into.ttft_us.insert(into.ttft_us.end(), from.ttft_us.begin(), from.ttft_us.end());
  into.e2e_us.insert(into.e2e_us.end(), from.e2e_us.begin(), from.e2e_us.end());
  into.tpot_us.insert(into.tpot_us.end(), from.tpot_us.begin(), from.tpot_us.end());
}

inline void merge(EngineCounters& into, const EngineCounters& from) {
  into.steps += from.steps;
  into.advances += from.advances;
  into.preemptions += from.preemptions;
  into.rejected += from.rejected;
  into.rejected_by_length += from.rejected_by_length;
  into.prompt_tokens += from.prompt_tokens;
  into.cached_tokens += from.cached_tokens;
  into.loaded_tokens += from.loaded_tokens;
  into.generated_tokens += from.generated_tokens;
  into.largest_batch = std::max(into.largest_batch, from.largest_batch);
  into.longest_queue = std::max(into.longest_queue, from.longest_queue);
  into.kv_blocks += from.kv_blocks;
  into.least_free_blocks += from.least_free_blocks;
  into.busy_us += from.busy_us;
  into.batch_time_us += from.batch_time_us;
}

/// A finished request as its client saw it: the engine's times and what the front end adds. `tpot_us` counts from two tokens on.
template <class Scalar>
void keep_latencies(StageRecord<Scalar>& record, const FrontEnd<Scalar>& front_end, int prompt_tokens, int output_tokens,
                    double ttft_us, double e2e_us, double tpot_us) {
  const double token_us = core::value_of(front_end.per_output_token_us);
  const double before_us = core::value_of(front_end.constant_us) + core::value_of(front_end.per_prompt_token_us) * prompt_tokens;
  record.ttft_us.push_back(ttft_us + before_us + token_us);
  record.e2e_us.push_back(e2e_us + before_us + token_us * output_tokens);
  if (output_tokens > 1) record.tpot_us.push_back(tpot_us + token_us);
}

/// The front end is linear in a request's lengths, so the sums of a stage take it at once.
template <class Scalar>
void add_front_end(StageRecord<Scalar>& record, const FrontEnd<Scalar>& front_end) {
  const auto finished = static_cast<double>(record.finished);
  const Scalar before_us =
      finished * front_end.constant_us + static_cast<double>(record.prompt_tokens) * front_end.per_prompt_token_us;
  record.ttft_sum_us += before_us + finished * front_end.per_output_token_us;
  record.e2e_sum_us += before_us + static_cast<double>(record.output_tokens) * front_end.per_output_token_us;
  record.tpot_sum_us += static_cast<double>(record.finished - record.single_token) * front_end.per_output_token_us;
}

}  // namespace rooftune::sim
