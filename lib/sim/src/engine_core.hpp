#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "clients.hpp"
#include "features.hpp"
#include "records.hpp"
#include "request.hpp"
#include "rooftune/core/contract.hpp"
#include "rooftune/core/derivative.hpp"
#include "rooftune/latency/step_time.hpp"
#include "rooftune/sim/engine.hpp"
#include "scheduler.hpp"
#include "sensitivity.hpp"
#include "stretch.hpp"

namespace rooftune::sim {

/// The loop around the scheduler: the clock, who arrives, what steps take, which tokens come out of them. Values alone decide;
/// derivatives are the sensitivity's.
template <class Scalar, class Sensitivity, Features kFeatures>
class EngineCore {
 public:
  EngineCore(const EngineSetup& setup, std::span<const PrefixChain> chains, latency::StepTime<Scalar>& step_time,
             const EngineOptions<Scalar>& options)
      : setup_(setup),
        options_(options),
        turnaround_us_(core::value_of(options.turnaround_us)),
        load_us_per_block_(core::value_of(options.load_us_per_block)),
        step_time_(step_time),
        sensitivity_(options),
        observes_steps_(options.observer != nullptr && options.observer->wants_steps()),
        observes_schedules_(options.observer != nullptr && options.observer->wants_schedules()),
        observes_(observes_steps_ || observes_schedules_),
        wants_contexts_(step_time.wants_decode_contexts()),
        drafts_(setup.speculation.draft_tokens > 0),
        scheduler_(setup, chains, counters, observes_, observes_ ? Stepping::plain : options.stepping) {
    ROOFTUNE_EXPECTS(!setup.prompts_alone || !setup.async_scheduling || setup.growth_reserve);
    if (observes_) options_.stepping = Stepping::plain;
    const auto batch = static_cast<std::size_t>(std::min(setup.max_num_seqs, 4096));
    for (StepPlan& plan : plans_) plan.reserve(batch);
  }

  void begin_stage(const StagePlan& plan, int concurrency, double start_us);
  void begin_routed_stage(double start_us, double requests_per_us, std::size_t most_requests);
  void offer(const PlannedRequest& request);
  /// Runs every step that ends before the horizon.
  void run_to(double horizon_us) { horizon_us < kNever ? run_steps<true>(horizon_us) : run_steps<false>(kNever); }
  double next_event_us();
  StageRecord<Scalar> end_stage();
  [[nodiscard]] std::int64_t in_flight() const { return in_flight_; }
  [[nodiscard]] bool out_of_events() const { return counters.advances > options_.max_events; }

  // --- one of several ranks that step together (rank_group.hpp), which has clients, clock and pace ---

  /// Somebody has a reply, at this time.
  struct Replied {
    const PlannedRequest* request = nullptr;
    double at_us = 0.0;
  };
  /// Begins a stage in which the group hands out the requests; whoever is answered is written down.
  void join_stage(const StagePlan& plan, double start_us, std::vector<Replied>& replies) {
    open_stage(plan, start_us);
    sensitivity_.begin_stage(0.0);
    replies_ = &replies;
  }
  /// Nobody has anything to do until then.
  void idle_until(double at_us) {
    idle_us_ += at_us - now_us_;
    now_us_ = at_us;
  }
  void receive(const Clients::Sent& sent, double rest_of_step) { arrive(sent, rest_of_step); }
  /// Decides all that is decided before the coming step. Whoever then has no batch runs a step all the same.
  void get_ready() {
    if (in_flight_ > 0 && !goes_on()) schedule();
  }
  [[nodiscard]] std::int64_t waiting() { return scheduler_.waiting().size; }
  [[nodiscard]] std::int64_t running() { return scheduler_.running().size; }
  /// The coming step: its batch, or the one token that an idle rank computes for nobody (vLLM's execute_dummy_batch).
  std::int64_t see_tokens();
  [[nodiscard]] latency::StepPiece<Scalar> piece_among(const latency::RankTokens& ranks) {
    batch_.ranks = ranks;
    return step_time_.piece(batch_);
  }
  [[nodiscard]] std::int64_t decodes() const { return decodes_; }
  [[nodiscard]] bool only_decodes() const { return coming_prompts_ == 0; }
  [[nodiscard]] const Stretch& stretch() const { return stretch_; }
  /// Goes on at the pace of the slowest, whose coming steps `piece` describes.
  void keep_pace(const Stretch& pace, const latency::StepPiece<Scalar>& piece, const EngineCore& slowest) {
    static const std::vector<Chunk> kNobody;
    stretch_ = pace;
    sensitivity_.see_stretch(
        stretch_, piece, step_time_,
        {.batch = slowest.batch_, .chunks = kNobody, .step = step_, .growth = static_cast<double>(slowest.decodes_)});
  }
  [[nodiscard]] std::int64_t steps_to_own_event() { return steps_to_next_event(); }
  void run(std::int64_t steps) { advance(steps); }
  void finish_run() { end_steps(); }
  [[nodiscard]] double now_us() const { return now_us_; }
  [[nodiscard]] std::int64_t reply_now() { return sensitivity_.replied(step_); }
  [[nodiscard]] Sensitivity& sensitivity() { return sensitivity_; }

  EngineCounters counters;

 private:
  static constexpr double kNever = std::numeric_limits<double>::infinity();

  // --- the story of one stage, in order of appearance ---
  template <bool kEnds>
  void run_steps(double horizon_us);
  void wake_up();
  [[gnu::noinline]] void schedule();
  [[gnu::noinline]] bool idle_until_loaded(double horizon_us);
  [[gnu::noinline, gnu::flatten]] void see_stretch();
  [[nodiscard]] std::int64_t steps_to_next_event() {
    if (stretch_.steps == 1 || after_prompts_ > 0 || scheduler_.blocked() == Blocked::for_a_step) return 1;
    return look_ahead();
  }
  [[gnu::noinline]] std::int64_t look_ahead();
  [[gnu::always_inline]] inline void advance(std::int64_t steps);
  [[gnu::always_inline]] inline void end_steps();

  // --- verbs ---
  void decide(std::int64_t step, StepPlan& plan);
  [[gnu::noinline]] void see_preempted(bool by_coming);
  void follow_decision();
  void open_stage(const StagePlan& plan, double start_us);
  void arrive(const Clients::Sent& sent, double rest_of_step);
  Slot& take_slot();
  void refuse(const PlannedRequest& request, double arrival_us, RejectionReason reason);
  void answer(const PlannedRequest& request, double at_us);
  [[gnu::noinline]] void take_first_tokens();
  [[gnu::noinline, gnu::flatten]] void finish_due();
  void turn_over();
  [[gnu::noinline]] void stop_leaving();
  void start_decoding(Slot& slot);
  void stop_decoding(Slot& slot);
  void complete(Slot& slot);
  void record(const Slot& slot);
  [[gnu::noinline, gnu::flatten]] void take_arrivals();
  void take_loaded();
  void see_batch();
  [[gnu::noinline]] void see_prompts_alone();
  [[gnu::noinline]] void see_contexts();
  [[gnu::noinline]] void see_drafted_contexts();
  [[gnu::noinline]] void add_drafted(const Slot& slot, double sign);
  [[gnu::noinline]] void slow_down_stretch();
  void observe_step();
  /// Whether there is nothing to decide.
  [[nodiscard]] bool goes_on() {
    if (decodes_ == 0 || !scheduler_.goes_on(setup_.async_scheduling ? step_ + 1 : step_)) return false;
    sensitivity_.see_queue(Blocked::no, scheduler_.waiting());
    return true;
  }
  // What the usual engine does not ask.
  static constexpr bool kAll = kFeatures == Features::all;
  [[nodiscard]] bool observes() const { return kAll && observes_; }
  [[nodiscard]] bool drafts() const { return kAll && drafts_; }
  [[nodiscard]] bool wants_contexts() const { return kAll && wants_contexts_; }
  [[nodiscard]] bool steps_plainly() const { return kAll && options_.stepping == Stepping::plain; }
  [[nodiscard]] bool is_of_prompts_alone() const { return kAll && coming_->is_of_prompts_alone; }
  [[nodiscard]] bool has_batch() const { return decodes_ > 0 || coming_prompts_ > 0; }
  [[nodiscard]] std::int64_t index_of(const PlannedRequest& request) const { return &request - plan_->requests.data(); }
  [[nodiscard]] bool counts(const Slot& slot) const {
    return options_.warm_up_requests == 0 || index_of(*slot.planned) >= options_.warm_up_requests;
  }

  EngineSetup setup_;
  EngineOptions<Scalar> options_;
  double turnaround_us_;
  double load_us_per_block_;
  latency::StepTime<Scalar>& step_time_;
  [[no_unique_address]] Sensitivity sensitivity_;
  bool observes_steps_;
  bool observes_schedules_;
  bool observes_;
  bool wants_contexts_;
  bool drafts_;  ///< a step may yield several tokens of a request
  Scheduler<kFeatures> scheduler_;
  Clients clients_;

  double now_us_ = 0.0;
  double idle_us_ = 0.0;           ///< of these
  std::int64_t step_ = 0;          ///< index of the step that starts now, of those in which decodes get a token
  std::int64_t prompt_steps_ = 0;  ///< and how many computed prompts alone
  std::array<StepPlan, 2> plans_;
  StepPlan* coming_ = &plans_[0];    ///< what it does
  StepPlan* after_ = &plans_[1];     ///< and the one after it, where two are in flight
  std::int64_t coming_prompts_ = 0;  ///< how many prompts they compute
  std::int64_t after_prompts_ = 0;
  bool scheduled_ = false;      ///< all that is decided before it starts is decided
  std::int64_t in_flight_ = 0;  ///< requests that have arrived and not yet finished
  std::deque<Slot> slots_;
  Slot* spare_slot_ = nullptr;  ///< the first of the unused ones, linked by `next`
  std::vector<Slot*> leaving_;  ///< decodes of the coming step that are preempted already

  // The batch of the coming step.
  std::int64_t decodes_ = 0;
  std::int64_t offset_sum_ = 0;                          ///< over the decodes
  ContextLine drafted_sum_{.rate = 0.0, .offset = 0.0};  ///< in its place, where tokens are drafted
  latency::Batch batch_;
  std::vector<std::int64_t> contexts_;
  Stretch stretch_;
  std::vector<ScheduledTokens> scheduled_tokens_;

  // The stage that runs.
  const StagePlan* plan_ = nullptr;
  StagePlan routed_;  ///< the plan, where a router makes it
  double stage_start_us_ = 0.0;
  int stage_index_ = -1;
  StageRecord<Scalar> record_;
  double ttft_sum_us_ = 0.0;  ///< values of its sums
  double e2e_sum_us_ = 0.0;
  double tpot_sum_us_ = 0.0;
  std::vector<Replied>* replies_ = nullptr;  ///< where others have the clients
};

template <class Scalar, class Sensitivity, Features kFeatures>
template <bool kEnds>
void EngineCore<Scalar, Sensitivity, kFeatures>::run_steps(double horizon_us) {
  while (!out_of_events()) {
    if (scheduled_ || !goes_on()) {
      if (in_flight_ == 0) {
        if (clients_.next_us() >= horizon_us) return;  // others may come at the same moment
        wake_up();
        if (in_flight_ == 0) continue;  // all of them were refused
      }
      if (!scheduled_) schedule();
      scheduled_ = false;
      if (!has_batch()) {
        if (!idle_until_loaded(horizon_us)) return;
        continue;
      }
    }
    if (stretch_.steps <= 0) see_stretch();
    std::int64_t steps = steps_to_next_event();
    if constexpr (kEnds) {
      // What was decided for the coming step holds when it is resumed: whoever comes during a step waits for its end.
      steps = steps_until(horizon_us - now_us_, stretch_, steps + 1) - 1;
      scheduled_ = steps == 0;
      if (scheduled_) return;
    }
    advance(steps);
    end_steps();
  }
}

/// Decides the coming step, and looks at how long things go on as they are; runs nothing.
template <class Scalar, class Sensitivity, Features kFeatures>
double EngineCore<Scalar, Sensitivity, kFeatures>::next_event_us() {
  while (true) {
    if (in_flight_ == 0) {
      if (clients_.next_us() == kNever) return kNever;
      wake_up();
      continue;  // all of them may have been refused
    }
    if (!scheduled_ && !goes_on()) schedule();
    scheduled_ = true;
    if (!has_batch()) {
      // Blocks are on their way, or must be given back for others, which is decided when the engine runs.
      const double loaded_us = scheduler_.loading().size > 0 ? scheduler_.loaded_us(scheduler_.loading().first()) : now_us_;
      return std::min(loaded_us, std::max(now_us_, clients_.next_us()));
    }
    if (stretch_.steps <= 0) see_stretch();
    const auto steps = static_cast<double>(steps_to_next_event());
    return now_us_ + steps * (stretch_.first_us + 0.5 * (steps - 1.0) * stretch_.increment_us);
  }
}

template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::begin_routed_stage(double start_us, double requests_per_us,
                                                                    std::size_t most_requests) {
  routed_.requests.clear();
  routed_.requests.reserve(most_requests);  // slots point into it
  routed_.requests_per_us = requests_per_us;
  begin_stage(routed_, 0, start_us);
  record_.first_arrival_us = kNever;
}

template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::offer(const PlannedRequest& request) {
  ROOFTUNE_EXPECTS(routed_.requests.size() < routed_.requests.capacity());
  routed_.requests.push_back(request);
  if (!request.follows) record_.first_arrival_us = std::min(record_.first_arrival_us, stage_start_us_ + request.arrival_us);
  clients_.plan_grew();
}

template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::begin_stage(const StagePlan& plan, int concurrency, double start_us) {
  open_stage(plan, start_us);
  clients_.begin(plan, concurrency, now_us_);
  record_.first_arrival_us = clients_.next_us() < kNever ? clients_.next_us() : now_us_;
  sensitivity_.begin_stage(plan.requests_per_us);
}

template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::open_stage(const StagePlan& plan, double start_us) {
  plan_ = &plan;
  ++stage_index_;
  record_ = {};
  ttft_sum_us_ = e2e_sum_us_ = tpot_sum_us_ = 0.0;
  if (options_.keep_latencies) {
    for (auto* values : {&record_.ttft_us, &record_.e2e_us, &record_.tpot_us}) values->reserve(plan.requests.size());
  }
  idle_until(std::max(start_us, now_us_));
  stage_start_us_ = now_us_;
}

/// The engine is idle until the next request comes.
template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::wake_up() {
  idle_until(std::max(clients_.next_us(), now_us_));
  const std::int64_t reply = clients_.next_reply();
  if (reply == Clients::kFixed) {
    sensitivity_.idle_until_planned();
  } else {
    sensitivity_.idle_until_reply(reply);
  }
  while (clients_.next_us() <= now_us_) arrive(clients_.take(), 0.0);
}

/// Decides all that is decided before the coming step starts: that step, or, where two are in flight, the one after it. Where
/// nothing was decided before, both.
template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::schedule() {
  if (!setup_.async_scheduling) {
    decide(step_, *coming_);
    if (!has_batch() && !scheduler_.preempted().empty()) decide(step_, *coming_);
    return;
  }
  if (!has_batch()) decide(step_, *coming_);
  if (has_batch()) decide(is_of_prompts_alone() ? step_ : step_ + 1, *after_);
}

template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::decide(std::int64_t step, StepPlan& plan) {
  if (scheduler_.goes_on(step)) return sensitivity_.see_queue(Blocked::no, scheduler_.waiting());
  scheduler_.decide(step, plan, now_us_, load_us_per_block_);
  const bool is_next = &plan == coming_;
  (is_next ? coming_prompts_ : after_prompts_) = std::ssize(plan.chunks);
  if (coming_prompts_ > 0) stretch_.steps = 0;
  if constexpr (Sensitivity::kFollowsRequests) follow_decision();
  if (!scheduler_.preempted().empty()) see_preempted(is_next);
  sensitivity_.see_queue(scheduler_.blocked(), scheduler_.waiting());
}

/// What runs already runs to the step's end.
template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::see_preempted(bool by_coming) {
  for (Slot* const slot : scheduler_.preempted()) {
    if (!slot->decoding) continue;
    if (by_coming) {
      stop_decoding(*slot);
    } else {
      leaving_.push_back(slot);
    }
  }
}

template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::follow_decision() {
  SlotList& running = scheduler_.running();
  for (Slot* slot = &running.from_last(scheduler_.admitted()); slot != &running.ends; slot = slot->next) {
    sensitivity_.admit(*slot, counts(*slot));
  }
  SlotList& loading = scheduler_.loading();
  for (Slot* slot = &loading.from_last(scheduler_.began_loading()); slot != &loading.ends; slot = slot->next) {
    const Slot* const before = slot->previous != &loading.ends ? slot->previous : nullptr;
    sensitivity_.begin_loading(*slot, before, scheduler_.loading_blocks(*slot));
  }
}

/// Nobody runs: what arrived fits into an empty engine, so blocks are being read back, or such as were kept keep the others from
/// starting. False: nothing happens before the horizon.
template <class Scalar, class Sensitivity, Features kFeatures>
bool EngineCore<Scalar, Sensitivity, kFeatures>::idle_until_loaded(double horizon_us) {
  if (scheduler_.loading().size == 0) {
    const bool gave = scheduler_.give_back_loaded();
    ROOFTUNE_EXPECTS(gave);
    return true;
  }
  const Slot& next = scheduler_.loading().first();
  const double loaded_us = scheduler_.loaded_us(next);
  const double until_us = std::min(loaded_us, clients_.next_us());
  if (until_us >= horizon_us) return false;
  idle_until(std::max(now_us_, until_us));
  if (until_us == loaded_us) {
    sensitivity_.idle_until_loaded(next);
  } else if (const std::int64_t reply = clients_.next_reply(); reply != Clients::kFixed) {
    sensitivity_.idle_until_reply(reply);
  } else {
    sensitivity_.idle_until_planned();
  }
  while (clients_.next_us() <= now_us_) arrive(clients_.take(), 0.0);
  take_loaded();
  return true;
}

/// The coming steps as the model sees them. While the batch stays the same, they are the rest of the steps before; plain
/// stepping asks anew for every step. Only whoever decodes makes the next step longer.
template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::see_stretch() {
  see_batch();
  const latency::StepPiece<Scalar> piece = step_time_.piece(batch_);
  stretch_.grows = coming_prompts_ == 0;
  stretch_.steps = stretch_.grows && !steps_plainly() ? piece.valid_steps : 1;
  stretch_.first_us = of_this_world(core::value_of(piece.duration_us));
  stretch_.increment_us =
      stretch_.grows ? of_this_world(core::value_of(piece.slope_us_per_token) * static_cast<double>(decodes_)) : 0.0;
  if (drafts()) slow_down_stretch();
  const double growth = drafts() ? drafted_sum_.rate : static_cast<double>(decodes_);
  sensitivity_.see_stretch(stretch_, piece, step_time_, {.batch = batch_, .chunks = coming_->chunks, .step = step_, .growth = growth});
}

/// A piece holds for so many tokens of every decode; with drafts fewer steps bring them.
template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::slow_down_stretch() {
  if (!stretch_.grows || decodes_ == 0) return;
  const double tokens_per_step = drafted_sum_.rate / static_cast<double>(decodes_);
  stretch_.increment_us *= tokens_per_step;
  if (stretch_.steps == latency::kEveryStep || stretch_.steps <= 1) return;
  stretch_.steps = std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(stretch_.steps) / tokens_per_step));
}

template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::see_batch() {
  batch_.decode_requests = decodes_;
  batch_.decode_context_tokens = decodes_ * step_ + offset_sum_;
  batch_.prefills = {};
  if (coming_prompts_ > 0) {
    batch_.prefills = coming_->prefills;
    if (is_of_prompts_alone()) return see_prompts_alone();
  }
  if (drafts()) see_drafted_contexts();
  if (wants_contexts()) see_contexts();
}

template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::see_prompts_alone() {
  batch_.decode_requests = batch_.decode_context_tokens = batch_.decode_max_context_tokens = 0;
  batch_.decode_contexts = {};
}

/// What the decodes have in the cache where steps may yield several tokens: plain stepping counts what was accepted, the closed
/// form takes the straight lines to the last tokens.
template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::see_drafted_contexts() {
  if (!steps_plainly()) {
    batch_.decode_context_tokens = std::llround(drafted_sum_.rate * static_cast<double>(step_) + drafted_sum_.offset);
    return;
  }
  batch_.decode_context_tokens = 0;
  SlotList& running = scheduler_.running();
  for (const Slot* slot = &running.first(); slot != &running.ends; slot = slot->next) {
    if (slot->decoding) batch_.decode_context_tokens += scheduler_.context_before(*slot, step_);
  }
  for (const Slot* const slot : leaving_) batch_.decode_context_tokens += scheduler_.context_before(*slot, step_);
}

template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::add_drafted(const Slot& slot, double sign) {
  const ContextLine line = scheduler_.context_line(slot);
  drafted_sum_.rate += sign * line.rate;
  drafted_sum_.offset += sign * line.offset;
  if (decodes_ == 0) drafted_sum_ = {.rate = 0.0, .offset = 0.0};  // what rounding left
}

template <class Scalar, class Sensitivity, Features kFeatures>
std::int64_t EngineCore<Scalar, Sensitivity, kFeatures>::see_tokens() {
  see_batch();
  if (!has_batch()) {
    static constexpr std::int64_t kNothing = 0;
    batch_.decode_requests = 1;
    batch_.decode_context_tokens = 0;
    if (wants_contexts()) batch_.decode_contexts = std::span(&kNothing, 1);
  }
  std::int64_t tokens = batch_.decode_requests;
  for (const latency::PrefillChunk& chunk : batch_.prefills) tokens += chunk.new_tokens;
  return tokens;
}

template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::see_contexts() {
  contexts_.clear();
  const auto add = [&](const Slot& slot) {
    if (slot.decoding) contexts_.push_back(scheduler_.context_before(slot, step_));
  };
  SlotList& running = scheduler_.running();
  for (const Slot* slot = &running.first(); slot != &running.ends; slot = slot->next) add(*slot);
  for (const Slot* const slot : leaving_) add(*slot);
  batch_.decode_contexts = contexts_;
  batch_.decode_max_context_tokens = contexts_.empty() ? 0 : *std::ranges::max_element(contexts_);
}

template <class Scalar, class Sensitivity, Features kFeatures>
std::int64_t EngineCore<Scalar, Sensitivity, kFeatures>::look_ahead() {
  std::int64_t steps = scheduler_.steps_before_finish_or_full(step_, stretch_.steps);
  // Whoever comes while others wait for room waits behind them: no event.
  if (scheduler_.waiting().size == 0) steps = steps_until(clients_.next_us() - now_us_, stretch_, steps);
  if (SlotList& loading = scheduler_.loading(); loading.size > 0) {
    steps = steps_until(scheduler_.loaded_us(loading.first()) - now_us_, stretch_, steps);
  }
  return steps;
}

template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::advance(std::int64_t steps) {
  if (observes() && has_batch()) observe_step();
  double elapsed_us = stretch_.first_us;
  stretch_.last_us = stretch_.first_us;
  if (steps > 1) {
    const auto count = static_cast<double>(steps);
    const double half_us = 0.5 * stretch_.increment_us;
    elapsed_us = count * (stretch_.first_us - half_us + count * half_us);
    stretch_.last_us += (count - 1.0) * stretch_.increment_us;
  }
  now_us_ += elapsed_us;
  sensitivity_.advance(stretch_, steps);
  stretch_.first_us = stretch_.last_us + stretch_.increment_us;
  stretch_.steps -= steps;
  step_ += steps;
  ++counters.advances;
}

template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::observe_step() {
  if (observes_steps_) {
    options_.observer->on_step({.start_us = now_us_,
                                .duration_us = stretch_.first_us,
                                .batch = batch_,
                                .waiting = scheduler_.waiting().size,
                                .kv_blocks_in_use = coming_->kv_blocks_in_use});
  }
  if (!observes_schedules_) return;
  scheduled_tokens_.clear();
  for (const Planned& planned : coming_->requests) {
    scheduled_tokens_.push_back(
        {.index = index_of(*planned.request), .computed_tokens = planned.computed_tokens, .new_tokens = planned.new_tokens});
  }
  options_.observer->on_schedule(
      {.stage = stage_index_, .start_us = now_us_, .requests = scheduled_tokens_, .kv_blocks_in_use = coming_->kv_blocks_in_use});
}

/// What came out of the steps just done, and who came during them.
template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::end_steps() {
  if (clients_.next_us() <= now_us_) take_arrivals();
  if (coming_prompts_ > 0) take_first_tokens();
  if (scheduler_.blocked() == Blocked::for_a_step) stop_leaving();  // the last decision may have preempted
  if (scheduler_.next_finish() < step_) finish_due();
  if (coming_prompts_ + after_prompts_ > 0 || observes()) turn_over();
  if (scheduler_.loading().size > 0) take_loaded();
}

template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::finish_due() {
  scheduler_.before_finishing(step_);
  while (scheduler_.next_finish() < step_) complete(scheduler_.finish_next(step_));
  if (clients_.next_us() <= now_us_) take_arrivals();  // those who answer at once
}

/// The step after the one just done is the coming one.
template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::turn_over() {
  stretch_.steps = 0;
  if (coming_prompts_ > 0) coming_->clear();
  coming_prompts_ = after_prompts_;
  after_prompts_ = 0;
  if (setup_.async_scheduling) std::swap(coming_, after_);
}

template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::stop_leaving() {
  for (Slot* const slot : leaving_) stop_decoding(*slot);
  leaving_.clear();
}

/// Prompts that are complete yield their first token at the step's end.
template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::take_first_tokens() {
  stretch_.steps = 0;
  counters.batch_time_us += stretch_.last_us * static_cast<double>(coming_prompts_);
  std::int64_t batch = coming_prompts_ + decodes_;
  if (is_of_prompts_alone()) {
    // The decodes got nothing out of it.
    --step_;
    ++prompt_steps_;
    counters.batch_time_us -= stretch_.last_us * static_cast<double>(decodes_);
    batch = coming_prompts_;
  }
  counters.largest_batch = std::max(counters.largest_batch, batch);
  for (const Chunk& chunk : coming_->chunks) {
    if (!chunk.completes) continue;
    Slot& slot = *chunk.slot;
    if (slot.first_token_us < 0.0) {
      slot.first_token_us = now_us_;
      if (counts(slot)) sensitivity_.first_token(slot);
    }
    if (slot.running && slot.finish_step >= step_) start_decoding(slot);
    if (kAll && setup_.prompts_alone && slot.finish_step < step_) scheduler_.end_prompt(slot);
  }
}

template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::start_decoding(Slot& slot) {
  slot.decoding = true;
  ++decodes_;
  counters.batch_time_us -= now_us_;
  offset_sum_ += slot.context_offset;
  if (drafts()) {
    add_drafted(slot, 1.0);
    return sensitivity_.start_decoding(slot, scheduler_.context_line(slot));
  }
  sensitivity_.start_decoding(slot);
}

template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::stop_decoding(Slot& slot) {
  slot.decoding = false;
  stretch_.steps = 0;
  --decodes_;
  counters.batch_time_us += now_us_;
  offset_sum_ -= slot.context_offset;
  if (drafts()) {
    add_drafted(slot, -1.0);
    return sensitivity_.stop_decoding(slot, scheduler_.context_line(slot));
  }
  sensitivity_.stop_decoding(slot);
}

template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::complete(Slot& slot) {
  if (slot.decoding) stop_decoding(slot);
  sensitivity_.finish(slot);
  if (counts(slot)) {
    record(slot);
  } else {
    ++record_.warm_up;
    record_.warm_up_output_tokens += slot.output_tokens;
  }
  if (options_.observer != nullptr) {
    options_.observer->on_finished({.stage = stage_index_,
                                    .index = index_of(*slot.planned),
                                    .arrival_us = slot.arrival_us,
                                    .first_token_us = slot.first_token_us,
                                    .finished_us = now_us_,
                                    .prompt_tokens = slot.planned->prompt_tokens,
                                    .cached_tokens = slot.cached,
                                    .output_tokens = slot.output_tokens,
                                    .preemptions = slot.preemptions});
  }
  --in_flight_;
  slot.next = spare_slot_;
  spare_slot_ = &slot;
  answer(*slot.planned, now_us_);
}

/// A request has its reply: whoever waited for that may go on.
template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::answer(const PlannedRequest& request, double at_us) {
  if (kAll && replies_ != nullptr) {
    replies_->push_back({.request = &request, .at_us = at_us});
    return;
  }
  if (!clients_.goes_on_after(request)) return;
  const std::int64_t reply = sensitivity_.replied(step_);
  if (!clients_.free(request, at_us, turnaround_us_, reply)) sensitivity_.not_followed(reply);
}

template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::record(const Slot& slot) {
  const double ttft_us = slot.first_token_us - slot.arrival_us;
  const double e2e_us = now_us_ - slot.arrival_us;
  double tpot_us = 0.0;
  ++record_.finished;
  ttft_sum_us_ += ttft_us;
  e2e_sum_us_ += e2e_us;
  if (slot.output_tokens > 1) {
    tpot_us = (now_us_ - slot.first_token_us) / (slot.output_tokens - 1);
    tpot_sum_us_ += tpot_us;
  } else {
    ++record_.single_token;
  }
  sensitivity_.record(slot);
  record_.prompt_tokens += slot.planned->prompt_tokens;
  record_.output_tokens += slot.output_tokens;
  if (!options_.keep_latencies) return;
  sim::keep_latencies(record_, options_.front_end, slot.planned->prompt_tokens, slot.output_tokens, ttft_us, e2e_us, tpot_us);
}

/// Lets everything arrive that was sent until now; all of it falls into the last of the steps just done.
template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::take_arrivals() {
  while (clients_.next_us() <= now_us_) {
    const Clients::Sent sent = clients_.take();
    arrive(sent, stretch_.last_us > 0.0 ? (now_us_ - sent.at_us) / stretch_.last_us : 0.0);
  }
}

/// A request comes: into the waiting queue, or it is refused.
template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::arrive(const Clients::Sent& sent, double rest_of_step) {
  const PlannedRequest& request = *sent.request;
  const std::int64_t most_blocks = scheduler_.most_blocks(request);
  const std::optional<RejectionReason> refusal = scheduler_.refusal(request, most_blocks);
  Slot* slot = nullptr;
  if (!refusal) {
    slot = &take_slot();
    static_cast<Request&>(*slot) = Request::arriving(request, sent.at_us, static_cast<std::int32_t>(most_blocks));
    scheduler_.enqueue(*slot);
    ++in_flight_;
    record_.longest_queue = std::max(record_.longest_queue, scheduler_.waiting().size);
  }
  const bool counted = slot != nullptr && counts(*slot);
  if (sent.reply == Clients::kFixed) {
    sensitivity_.arrive(slot, counted, stretch_, rest_of_step);
  } else {
    sensitivity_.arrive_after(slot, counted, sent.reply, step_, stretch_, rest_of_step);
  }
  if (refusal) refuse(request, sent.at_us, *refusal);
}

template <class Scalar, class Sensitivity, Features kFeatures>
Slot& EngineCore<Scalar, Sensitivity, kFeatures>::take_slot() {
  if (spare_slot_ != nullptr) {
    Slot& slot = *spare_slot_;
    spare_slot_ = slot.next;
    return slot;
  }
  sensitivity_.add_slot();
  scheduler_.add_slot();
  Slot& slot = slots_.emplace_back();
  slot.number = static_cast<std::uint32_t>(slots_.size()) - 1;
  return slot;
}

template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::refuse(const PlannedRequest& request, double arrival_us, RejectionReason reason) {
  ++record_.rejected;
  ++counters.rejected;
  if (reason == RejectionReason::model_length) ++counters.rejected_by_length;
  if (options_.observer != nullptr) {
    options_.observer->on_rejected({.stage = stage_index_,
                                    .index = index_of(request),
                                    .arrival_us = arrival_us,
                                    .prompt_tokens = request.prompt_tokens,
                                    .output_tokens = request.output_tokens,
                                    .reason = reason});
  }
  answer(request, arrival_us);
}

/// Requests whose blocks are back.
template <class Scalar, class Sensitivity, Features kFeatures>
void EngineCore<Scalar, Sensitivity, kFeatures>::take_loaded() {
  SlotList& loading = scheduler_.loading();
  while (loading.size > 0 && scheduler_.loaded_us(loading.first()) <= now_us_) scheduler_.take_loaded(step_);
}

template <class Scalar, class Sensitivity, Features kFeatures>
StageRecord<Scalar> EngineCore<Scalar, Sensitivity, kFeatures>::end_stage() {
  record_.ttft_sum_us = Scalar(ttft_sum_us_);
  record_.e2e_sum_us = Scalar(e2e_sum_us_);
  record_.tpot_sum_us = Scalar(tpot_sum_us_);
  sensitivity_.finish_record(record_);
  add_front_end(record_, options_.front_end);
  record_.last_finish_us = now_us_;
  counters.longest_queue = std::max(counters.longest_queue, record_.longest_queue);
  counters.steps = step_ + prompt_steps_;
  counters.busy_us = now_us_ - idle_us_;
  counters.generated_tokens += record_.output_tokens + record_.warm_up_output_tokens;
  return std::move(record_);
}

}  // namespace rooftune::sim
