#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <queue>
#include <span>
#include <utility>
#include <vector>

#include "clients.hpp"
#include "records.hpp"
#include "rooftune/core/contract.hpp"
#include "rooftune/core/derivative.hpp"
#include "rooftune/latency/step_time.hpp"
#include "rooftune/sim/engine.hpp"
#include "rooftune/sim/request_plan.hpp"

/// Prefill and decode apart (docs/prefill_and_decode.md): engines that compute prompts, and engines that fetch their KV cache and
/// generate. Every engine is one of engine.hpp; what passes between them is decided here, in order of time.
namespace rooftune::sim {

/// Engines of one kind. Each has a step-time model of its own, which outlives it.
template <class Scalar>
struct EnginePool {
  EngineSetup setup;
  std::vector<latency::StepTime<Scalar>*> step_times;
  Scalar load_us_per_block{0.0};  ///< decode: over the link
};

template <class Scalar>
class ApartEngines {
 public:
  /// `options`: what holds for the whole; its load_us_per_block is not used. `hand_over_us`: from the end of a prompt to the moment
  /// when a decode engine knows of it.
  ApartEngines(const EnginePool<Scalar>& prefill, const EnginePool<Scalar>& decode, std::span<const PrefixChain> chains,
               const Scalar& hand_over_us, const EngineOptions<Scalar>& options)
      : options_(options), hand_over_us_(hand_over_us), max_model_len_(decode.setup.max_model_len) {
    add(prefill, chains, false);
    add(decode, chains, true);
  }

  [[nodiscard]] StageRecord<Scalar> run_stage(const StagePlan& plan, int concurrency, double start_us);
  [[nodiscard]] bool out_of_events() const {
    return std::ranges::any_of(members_, [](const auto& member) { return member->engine->out_of_events(); });
  }
  /// Prompts as the prefill engines saw them, refusals as clients did, preemptions of both, everything else as the decode engines.
  [[nodiscard]] EngineCounters counters() const;

 private:
  static constexpr double kNever = std::numeric_limits<double>::infinity();

  /// One engine, and what came out of it since somebody looked.
  struct Member final : Observer {
    void on_finished(const RequestEvent& event) override { finished.push_back(event); }
    void on_rejected(const RejectionEvent& event) override { rejected.push_back(event); }
    [[nodiscard]] bool wants_steps() const override { return steps != nullptr && steps->wants_steps(); }
    void on_step(const StepEvent& event) override { steps->on_step(event); }

    std::unique_ptr<Engine<Scalar>> engine;
    bool decodes = false;
    Observer* steps = nullptr;          ///< who wants to see its steps
    double next_us = kNever;            ///< Engine::next_event_us; where it is `stale`, not later than that
    bool stale = false;                 ///< something was offered since it was asked
    std::int64_t in_flight = 0;         ///< offered, and neither finished nor rejected
    std::vector<std::int64_t> offered;  ///< of the stage's plan, by its own numbers
    std::vector<RequestEvent> finished;
    std::vector<RejectionEvent> rejected;
  };
  /// A request between the engines.
  struct HandOver {
    double at_us = 0.0;
    std::int64_t request = 0;
    friend bool operator>(const HandOver& a, const HandOver& b) {
      return a.at_us != b.at_us ? a.at_us > b.at_us : a.request > b.request;
    }
  };

  void add(const EnginePool<Scalar>& pool, std::span<const PrefixChain> chains, bool decodes);

  void take_client();
  void take_hand_over();
  void run(Member& member);
  /// Of a pool, the engine with the fewest requests; of equal ones, the next in turn.
  Member& least_loaded(bool decodes);
  void offer(Member& member, const PlannedRequest& planned, std::int64_t request, double at_us);
  void finish(const RequestEvent& event, std::int64_t request);
  void refuse(const RejectionEvent& event, std::int64_t request, double at_us);
  void set_sums(const std::vector<StageRecord<Scalar>>& prefill, const std::vector<StageRecord<Scalar>>& decode);

  EngineOptions<Scalar> options_;
  Scalar hand_over_us_;
  std::int64_t max_model_len_;
  std::vector<std::unique_ptr<Member>> members_;
  std::array<std::size_t, 2> last_{};  ///< chosen of each pool
  std::int64_t rejected_ = 0;
  std::int64_t rejected_by_length_ = 0;

  // The stage that runs.
  const StagePlan* plan_ = nullptr;
  int stage_ = -1;
  double start_us_ = 0.0;
  Clients clients_;
  std::vector<double> arrival_us_;
  std::vector<std::int32_t> cached_;
  std::priority_queue<HandOver, std::vector<HandOver>, std::greater<>> hand_overs_;
  StageRecord<Scalar> record_;
  double ttft_sum_us_ = 0.0;
  double e2e_sum_us_ = 0.0;
  double tpot_sum_us_ = 0.0;
};

template <class Scalar>
void ApartEngines<Scalar>::add(const EnginePool<Scalar>& pool, std::span<const PrefixChain> chains, bool decodes) {
  for (latency::StepTime<Scalar>* const step_time : pool.step_times) {
    Member& member = *members_.emplace_back(std::make_unique<Member>());
    member.decodes = decodes;
    // Steps of two kinds of engines side by side would be no timeline: an observer sees those that generate.
    if (decodes) member.steps = options_.observer;
    member.engine = std::make_unique<Engine<Scalar>>(pool.setup, chains, *step_time,
                                                     EngineOptions<Scalar>{.load_us_per_block = pool.load_us_per_block,
                                                                           .observer = &member,
                                                                           .stepping = options_.stepping,
                                                                           .max_events = options_.max_events});
  }
}

template <class Scalar>
EngineCounters ApartEngines<Scalar>::counters() const {
  EngineCounters prefill;
  EngineCounters counters;
  for (const auto& member : members_) merge(member->decodes ? counters : prefill, member->engine->counters());
  counters.prompt_tokens = prefill.prompt_tokens;
  counters.cached_tokens = prefill.cached_tokens;
  counters.preemptions += prefill.preemptions;
  counters.rejected = rejected_;
  counters.rejected_by_length = rejected_by_length_;
  return counters;
}

/// What happens next happens first: a request comes, one is handed over, or an engine goes on to its next event.
template <class Scalar>
StageRecord<Scalar> ApartEngines<Scalar>::run_stage(const StagePlan& plan, int concurrency, double start_us) {
  plan_ = &plan;
  ++stage_;
  start_us_ = start_us;
  record_ = {};
  ttft_sum_us_ = e2e_sum_us_ = tpot_sum_us_ = 0.0;
  arrival_us_.assign(plan.requests.size(), 0.0);
  cached_.assign(plan.requests.size(), 0);
  clients_.begin(plan, concurrency, start_us);
  record_.first_arrival_us = clients_.next_us() < kNever ? clients_.next_us() : start_us;
  record_.last_finish_us = start_us;
  for (const auto& member : members_) {
    const auto engines =
        static_cast<double>(std::ranges::count_if(members_, [&](const auto& other) { return other->decodes == member->decodes; }));
    member->engine->begin_stage(start_us, plan.requests_per_us / engines, plan.requests.size());
    member->next_us = kNever;
    member->offered.clear();
  }
  while (!out_of_events()) {
    Member& next = **std::ranges::min_element(members_, {}, [](const auto& member) { return member->next_us; });
    const double hand_over_us = hand_overs_.empty() ? kNever : hand_overs_.top().at_us;
    if (clients_.next_us() <= std::min(hand_over_us, next.next_us)) {
      if (clients_.next_us() == kNever) break;
      take_client();
    } else if (hand_over_us <= next.next_us) {
      take_hand_over();
    } else {
      run(next);
    }
  }
  std::vector<StageRecord<Scalar>> prefill;
  std::vector<StageRecord<Scalar>> decode;
  for (const auto& member : members_) {
    StageRecord<Scalar> own = member->engine->end_stage();
    record_.longest_queue = std::max(record_.longest_queue, own.longest_queue);
    (member->decodes ? decode : prefill).push_back(std::move(own));
  }
  set_sums(prefill, decode);
  return std::move(record_);
}

template <class Scalar>
void ApartEngines<Scalar>::take_client() {
  const Clients::Sent sent = clients_.take();
  const std::int64_t request = sent.request - plan_->requests.data();
  arrival_us_[static_cast<std::size_t>(request)] = sent.at_us;
  const PlannedRequest& planned = *sent.request;
  if (planned.output_tokens < 1 || planned.prompt_tokens + std::int64_t{planned.output_tokens} > max_model_len_) {
    return refuse(
        {.prompt_tokens = planned.prompt_tokens, .output_tokens = planned.output_tokens, .reason = RejectionReason::model_length},
        request, sent.at_us);
  }
  PlannedRequest prompt = planned;
  prompt.output_tokens = 1;
  offer(least_loaded(false), prompt, request, sent.at_us);
}

template <class Scalar>
void ApartEngines<Scalar>::take_hand_over() {
  const HandOver next = hand_overs_.top();
  hand_overs_.pop();
  offer(least_loaded(true), plan_->requests[static_cast<std::size_t>(next.request)], next.request, next.at_us);
}

template <class Scalar>
auto ApartEngines<Scalar>::least_loaded(bool decodes) -> Member& {
  std::size_t& last = last_[decodes ? 1 : 0];
  Member* chosen = nullptr;
  std::size_t place = last;
  for (std::size_t turn = 1; turn <= members_.size(); ++turn) {
    const std::size_t candidate = (last + turn) % members_.size();
    Member& member = *members_[candidate];
    if (member.decodes != decodes) continue;
    if (chosen != nullptr && member.in_flight >= chosen->in_flight) continue;
    chosen = &member;
    place = candidate;
  }
  ROOFTUNE_EXPECTS(chosen != nullptr);  // a pool has engines
  last = place;
  return *chosen;
}

template <class Scalar>
void ApartEngines<Scalar>::offer(Member& member, const PlannedRequest& planned, std::int64_t request, double at_us) {
  PlannedRequest own = planned;
  own.arrival_us = at_us - start_us_;
  own.follows = false;
  member.offered.push_back(request);
  ++member.in_flight;
  member.engine->offer(own);
  // An idle engine decides its step when all are there who come at that moment.
  member.next_us = std::min(member.next_us, at_us);
  member.stale = true;
}

/// Runs an engine to its next event, or, where that is not known, asks it anew, and passes on what came out.
template <class Scalar>
void ApartEngines<Scalar>::run(Member& member) {
  const double until_us = member.next_us;
  if (!std::exchange(member.stale, false)) member.engine->run_to(until_us + 1e-6 + 1e-12 * until_us);  // beyond rounding
  member.next_us = member.engine->next_event_us();
  const auto finished = std::exchange(member.finished, {});
  const auto rejected = std::exchange(member.rejected, {});
  member.in_flight -= std::ssize(finished) + std::ssize(rejected);
  for (const RejectionEvent& event : rejected) {
    refuse(event, member.offered[static_cast<std::size_t>(event.index)], until_us);
  }
  for (const RequestEvent& event : finished) {
    const std::int64_t request = member.offered[static_cast<std::size_t>(event.index)];
    if (member.decodes) {
      finish(event, request);
    } else {
      cached_[static_cast<std::size_t>(request)] = event.cached_tokens;
      hand_overs_.push({.at_us = event.finished_us + core::value_of(hand_over_us_), .request = request});
    }
  }
}

template <class Scalar>
void ApartEngines<Scalar>::finish(const RequestEvent& event, std::int64_t request) {
  const PlannedRequest& planned = plan_->requests[static_cast<std::size_t>(request)];
  const double arrival_us = arrival_us_[static_cast<std::size_t>(request)];
  record_.last_finish_us = std::max(record_.last_finish_us, event.finished_us);
  if (request < options_.warm_up_requests) {
    ++record_.warm_up;
    record_.warm_up_output_tokens += planned.output_tokens;
  } else {
    const double ttft_us = event.first_token_us - arrival_us;
    const double e2e_us = event.finished_us - arrival_us;
    ++record_.finished;
    ttft_sum_us_ += ttft_us;
    e2e_sum_us_ += e2e_us;
    record_.prompt_tokens += planned.prompt_tokens;
    record_.output_tokens += planned.output_tokens;
    double tpot_us = 0.0;
    if (planned.output_tokens > 1) {
      tpot_us = (event.finished_us - event.first_token_us) / (planned.output_tokens - 1);
      tpot_sum_us_ += tpot_us;
    } else {
      ++record_.single_token;
    }
    if (options_.keep_latencies) {
      sim::keep_latencies(record_, options_.front_end, planned.prompt_tokens, planned.output_tokens, ttft_us, e2e_us, tpot_us);
    }
  }
  if (options_.observer != nullptr) {
    RequestEvent seen = event;
    seen.stage = stage_;
    seen.index = request;
    seen.arrival_us = arrival_us;
    seen.cached_tokens = cached_[static_cast<std::size_t>(request)];
    options_.observer->on_finished(seen);
  }
  if (clients_.goes_on_after(planned)) (void)clients_.free(planned, event.finished_us, core::value_of(options_.turnaround_us), 0);
}

template <class Scalar>
void ApartEngines<Scalar>::refuse(const RejectionEvent& event, std::int64_t request, double at_us) {
  const PlannedRequest& planned = plan_->requests[static_cast<std::size_t>(request)];
  ++record_.rejected;
  ++rejected_;
  if (event.reason == RejectionReason::model_length) ++rejected_by_length_;
  if (options_.observer != nullptr) {
    RejectionEvent seen = event;
    seen.stage = stage_;
    seen.index = request;
    seen.arrival_us = arrival_us_[static_cast<std::size_t>(request)];
    seen.output_tokens = planned.output_tokens;
    options_.observer->on_rejected(seen);
  }
  if (clients_.goes_on_after(planned)) (void)clients_.free(planned, at_us, core::value_of(options_.turnaround_us), 0);
}

/// Values are those of the requests. Derivatives are those of the engines in series, each as if its arrivals were given, of all
/// requests; a part of them counts as much.
template <class Scalar>
void ApartEngines<Scalar>::set_sums(const std::vector<StageRecord<Scalar>>& prefill, const std::vector<StageRecord<Scalar>>& decode) {
  Scalar ttft(0.0);
  Scalar e2e(0.0);
  Scalar tpot(0.0);
  double finished = 0.0;
  for (const StageRecord<Scalar>& own : prefill) {
    ttft += own.e2e_sum_us;
    e2e += own.e2e_sum_us;
  }
  for (const StageRecord<Scalar>& own : decode) {
    ttft += own.ttft_sum_us;
    e2e += own.e2e_sum_us;
    tpot += own.tpot_sum_us;
    finished += static_cast<double>(own.finished);
  }
  ttft += finished * hand_over_us_;
  e2e += finished * hand_over_us_;
  const double part = finished > 0.0 ? static_cast<double>(record_.finished) / finished : 0.0;
  const auto with_value = [&](Scalar sum, double value) {
    if constexpr (core::carries_derivatives<Scalar>) {
      sum *= part;
      sum.a = value;
      return sum;
    } else {
      return value;
    }
  };
  record_.ttft_sum_us = with_value(ttft, ttft_sum_us_);
  record_.e2e_sum_us = with_value(e2e, e2e_sum_us_);
  record_.tpot_sum_us = with_value(tpot, tpot_sum_us_);
  add_front_end(record_, options_.front_end);
}

}  // namespace rooftune::sim
