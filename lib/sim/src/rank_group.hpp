#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <span>
#include <vector>

#include "clients.hpp"
#include "engine_core.hpp"
#include "records.hpp"
#include "rooftune/core/contract.hpp"
#include "rooftune/core/derivative.hpp"
#include "rooftune/sim/engine.hpp"
#include "stretch.hpp"

namespace rooftune::sim {

/// To which rank a request goes, as vLLM's front end decides it (vllm/v1/engine/core_client.py, DPLBAsyncMPClient, 0.10 to 0.15): to
/// the one with the least 4 x waiting + running, the lowest of equals. The counts are those that the coordinator published last,
/// every 100 ms (vllm/v1/engine/coordinator.py), and what was sent since counts as waiting. One front-end process.
class RankBalancer {
 public:
  explicit RankBalancer(std::size_t ranks) : known_(ranks) {}

  struct Load {
    std::int64_t waiting = 0;
    std::int64_t running = 0;
  };
  /// Whether counts are published before `until_us`.
  [[nodiscard]] bool is_due(double until_us) const { return until_us - published_us_ >= kIntervalUs; }
  void publish(std::span<const Load> loads, double until_us) {
    std::ranges::copy(loads, known_.begin());
    published_us_ += std::floor((until_us - published_us_) / kIntervalUs) * kIntervalUs;
  }
  [[nodiscard]] std::size_t choose() {
    const auto score = [](const Load& load) { return 4 * load.waiting + load.running; };
    const auto best = std::ranges::min_element(known_, {}, score);
    ++best->waiting;
    return static_cast<std::size_t>(best - known_.begin());
  }

 private:
  static constexpr double kIntervalUs = 100e3;
  std::vector<Load> known_;
  double published_us_ = 0.0;
};

/// Data-parallel ranks of one engine: each schedules its own requests in its own pool, all share the experts of every layer. So
/// they step together, at the pace of the slowest, and whoever has nothing to do computes a token for nobody while another works.
/// Between two events of any rank, steps advance in closed form as those of one engine do; the slowest may change in between.
template <class Scalar, class Sensitivity>
class RankGroup {
 public:
  RankGroup(const EngineSetup& setup, std::span<const PrefixChain> chains, latency::StepTime<Scalar>& step_time,
            const EngineOptions<Scalar>& options)
      : turnaround_us_(core::value_of(options.turnaround_us)),
        plain_(options.stepping == Stepping::plain ||
               (options.observer != nullptr && (options.observer->wants_steps() || options.observer->wants_schedules()))),
        balancer_(static_cast<std::size_t>(setup.ranks)) {
    for (std::int32_t rank = 0; rank < setup.ranks; ++rank) ranks_.emplace_back(setup, chains, step_time, options);
    pieces_.resize(ranks_.size());
    loads_.resize(ranks_.size());
  }

  void begin_stage(const StagePlan& plan, int concurrency, double start_us) {
    join(plan, start_us);
    clients_.begin(plan, concurrency, now_us());
    first_arrival_us_ = clients_.next_us() < kNever ? clients_.next_us() : now_us();
  }
  void begin_routed_stage(double start_us, double requests_per_us, std::size_t most_requests) {
    routed_.requests.clear();
    routed_.requests.reserve(most_requests);  // slots point into it
    routed_.requests_per_us = requests_per_us;
    join(routed_, start_us);
    clients_.begin(routed_, 0, now_us());
    first_arrival_us_ = kNever;
  }
  void offer(const PlannedRequest& request) {
    ROOFTUNE_EXPECTS(routed_.requests.size() < routed_.requests.capacity());
    routed_.requests.push_back(request);
    if (!request.follows) first_arrival_us_ = std::min(first_arrival_us_, stage_start_us_ + request.arrival_us);
    clients_.plan_grew();
  }

  void run_to(double horizon_us);

  StageRecord<Scalar> end_stage() {
    StageRecord<Scalar> record = ranks_.front().end_stage();
    for (std::size_t rank = 1; rank < ranks_.size(); ++rank) merge(record, ranks_[rank].end_stage());
    record.first_arrival_us = first_arrival_us_;
    return record;
  }
  [[nodiscard]] std::int64_t in_flight() const {
    std::int64_t sum = 0;
    for (const Rank& rank : ranks_) sum += rank.in_flight();
    return sum;
  }
  [[nodiscard]] bool out_of_events() const { return std::ranges::any_of(ranks_, &Rank::out_of_events); }
  [[nodiscard]] const EngineCounters& counters() {
    counters_ = ranks_.front().counters;
    for (std::size_t rank = 1; rank < ranks_.size(); ++rank) merge(counters_, ranks_[rank].counters);
    return counters_;
  }

 private:
  using Rank = EngineCore<Scalar, Sensitivity, Features::all>;
  static constexpr double kNever = std::numeric_limits<double>::infinity();

  void join(const StagePlan& plan, double start_us) {
    for (Rank& rank : ranks_) rank.join_stage(plan, start_us, replies_);
    stage_start_us_ = now_us();
  }
  void wake_up();
  void see_stretch();
  std::int64_t steps_to_next_event();
  void publish_loads(double until_us);
  void hand_out_arrivals();
  void answer();
  [[nodiscard]] double now_us() const { return ranks_.front().now_us(); }
  [[nodiscard]] const Stretch& pace() const { return ranks_.front().stretch(); }

  double turnaround_us_;
  bool plain_;
  std::deque<Rank> ranks_;
  RankBalancer balancer_;
  Clients clients_;
  std::vector<latency::StepPiece<Scalar>> pieces_;  ///< of the coming step, by rank
  std::vector<RankBalancer::Load> loads_;
  std::vector<typename Rank::Replied> replies_;
  bool decided_ = false;  ///< all that is decided before the coming step starts is decided
  StagePlan routed_;
  double stage_start_us_ = 0.0;
  double first_arrival_us_ = kNever;
  EngineCounters counters_;
};

/// Runs every step that ends before the horizon.
template <class Scalar, class Sensitivity>
void RankGroup<Scalar, Sensitivity>::run_to(double horizon_us) {
  const bool ends = horizon_us < kNever;
  while (!out_of_events()) {
    if (in_flight() == 0) {
      if (clients_.next_us() >= horizon_us) return;
      wake_up();
      if (in_flight() == 0) continue;  // all of them were refused
    }
    if (!decided_) {
      for (Rank& rank : ranks_) rank.get_ready();
    }
    decided_ = false;
    if (std::ranges::any_of(ranks_, [](const Rank& rank) { return rank.stretch().steps <= 0; })) see_stretch();
    std::int64_t steps = steps_to_next_event();
    if (ends) {
      steps = steps_until(horizon_us - now_us(), pace(), steps + 1) - 1;
      decided_ = steps == 0;
      if (decided_) return;
    }
    publish_loads(now_us() +
                  static_cast<double>(steps) * (pace().first_us + 0.5 * (static_cast<double>(steps) - 1.0) * pace().increment_us));
    for (Rank& rank : ranks_) rank.run(steps);
    if (clients_.next_us() < now_us()) hand_out_arrivals();
    for (Rank& rank : ranks_) rank.finish_run();
    answer();
    if (clients_.next_us() <= now_us()) hand_out_arrivals();  // those who answer at once
  }
}

/// All ranks are idle until the next request comes.
template <class Scalar, class Sensitivity>
void RankGroup<Scalar, Sensitivity>::wake_up() {
  const double at_us = std::max(clients_.next_us(), now_us());
  publish_loads(at_us);
  Rank& first = ranks_.front();
  if (const std::int64_t reply = clients_.next_reply(); reply != Clients::kFixed) {
    first.sensitivity().idle_until_reply(reply);
  } else {
    first.sensitivity().idle_until_planned();
  }
  for (Rank& rank : ranks_) {
    rank.idle_until(at_us);
    if (&rank != &first) rank.sensitivity().idle_as(first.sensitivity());
  }
  hand_out_arrivals();
}

/// The coming steps at the pace of the slowest rank, until a faster one whose steps grow more overtakes it.
template <class Scalar, class Sensitivity>
void RankGroup<Scalar, Sensitivity>::see_stretch() {
  latency::RankTokens tokens;
  Stretch pace{.steps = latency::kEveryStep, .first_us = -1.0, .last_us = this->pace().last_us, .grows = true};
  for (Rank& rank : ranks_) {
    const std::int64_t own = rank.see_tokens();
    tokens.all += own;
    tokens.busiest = std::max(tokens.busiest, own);
    pace.grows = pace.grows && rank.only_decodes();
  }
  const auto first_us = [&](std::size_t rank) { return of_this_world(core::value_of(pieces_[rank].duration_us)); };
  const auto increment_us = [&](std::size_t rank) {
    const auto decodes = static_cast<double>(ranks_[rank].decodes());
    return pace.grows ? of_this_world(core::value_of(pieces_[rank].slope_us_per_token) * decodes) : 0.0;
  };
  std::size_t slowest = 0;
  for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
    pieces_[rank] = ranks_[rank].piece_among(tokens);
    pace.steps = std::min(pace.steps, pieces_[rank].valid_steps);
    const bool is_slower =
        first_us(rank) > pace.first_us || (first_us(rank) == pace.first_us && increment_us(rank) > pace.increment_us);
    if (!is_slower) continue;
    slowest = rank;
    pace.first_us = first_us(rank);
    pace.increment_us = increment_us(rank);
  }
  for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
    const double gain_us = increment_us(rank) - pace.increment_us;
    if (gain_us <= 0.0) continue;
    const double steps = std::floor((pace.first_us - first_us(rank)) / gain_us);
    if (steps < static_cast<double>(pace.steps - 1)) pace.steps = static_cast<std::int64_t>(steps) + 1;
  }
  if (plain_ || !pace.grows) pace.steps = 1;
  for (Rank& rank : ranks_) rank.keep_pace(pace, pieces_[slowest], ranks_[slowest]);
}

template <class Scalar, class Sensitivity>
std::int64_t RankGroup<Scalar, Sensitivity>::steps_to_next_event() {
  std::int64_t steps = pace().steps;
  for (Rank& rank : ranks_) {
    if (steps > 1 && rank.in_flight() > 0) steps = std::min(steps, rank.steps_to_own_event());
  }
  return steps > 1 ? steps_until(clients_.next_us() - now_us(), pace(), steps) : steps;
}

/// The front end hears how loaded the ranks are, as they are until then.
template <class Scalar, class Sensitivity>
void RankGroup<Scalar, Sensitivity>::publish_loads(double until_us) {
  if (!balancer_.is_due(until_us)) return;
  for (std::size_t rank = 0; rank < ranks_.size(); ++rank)
    loads_[rank] = {.waiting = ranks_[rank].waiting(), .running = ranks_[rank].running()};
  balancer_.publish(loads_, until_us);
}

/// Requests that were sent until now reach their ranks; all of it falls into the last of the steps just done.
template <class Scalar, class Sensitivity>
void RankGroup<Scalar, Sensitivity>::hand_out_arrivals() {
  const double now = now_us();
  const double last_us = pace().last_us;
  while (clients_.next_us() <= now) {
    Clients::Sent sent = clients_.take();
    Rank& rank = ranks_[balancer_.choose()];
    if (sent.reply != Clients::kFixed) sent.reply = rank.sensitivity().take_over(ranks_.front().sensitivity(), sent.reply);
    rank.receive(sent, last_us > 0.0 && sent.at_us < now ? (now - sent.at_us) / last_us : 0.0);
    answer();  // it may have been refused
  }
}

/// Clients that have their reply may go on. The first rank's derivatives of the clock are everybody's.
template <class Scalar, class Sensitivity>
void RankGroup<Scalar, Sensitivity>::answer() {
  for (std::size_t i = 0; i < replies_.size(); ++i) {
    const auto [request, at_us] = replies_[i];
    if (!clients_.goes_on_after(*request)) continue;
    const std::int64_t reply = ranks_.front().reply_now();
    if (!clients_.free(*request, at_us, turnaround_us_, reply)) ranks_.front().sensitivity().not_followed(reply);
  }
  replies_.clear();
}

}  // namespace rooftune::sim
