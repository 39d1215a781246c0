#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "rooftune/sim/request_plan.hpp"

namespace rooftune::sim {

/// Who sends when. In an open loop, requests come at their planned times; in a closed one, each of so many clients sends its
/// next request some time after the reply to the one before. A conversation is sent by one client, turn after turn.
class Clients {
 public:
  /// A request on its way.
  struct Sent {
    double at_us = 0.0;
    const PlannedRequest* request = nullptr;
    std::int64_t reply = kFixed;  ///< names the reply after which it was sent; kFixed: its time was planned
  };
  static constexpr std::int64_t kFixed = -1;
  static constexpr double kNever = std::numeric_limits<double>::infinity();

  /// `concurrency` 0: an open loop.
  void begin(const StagePlan& plan, int concurrency, double start_us) {
    plan_ = &plan;
    closed_ = concurrency > 0;
    start_us_ = start_us;
    next_planned_ = plan.requests.data();
    converse_ = false;
    sent_.clear();
    sent_.reserve(static_cast<std::size_t>(std::max(0, concurrency)));
    for (int client = 0; client < concurrency; ++client) (void)send_next(start_us, kFixed);
    see_planned();
  }

  /// When the next request comes.
  [[nodiscard]] double next_us() const { return next_us_; }
  /// After which reply.
  [[nodiscard]] std::int64_t next_reply() const { return is_planned_first() ? kFixed : sent_.front().reply; }
  /// A request was added to the plan of an open loop.
  void plan_grew() {
    converse_ = converse_ || plan_->requests.back().follows;
    see_planned();
  }

  /// The next request comes.
  [[nodiscard]] Sent take() {
    if (!is_planned_first()) return take_sent();
    const Sent taken{.at_us = planned_us_, .request = next_planned_};
    skip_conversation();
    see_planned();
    return taken;
  }

  /// Whether somebody waits for the reply to `request` to send another one.
  [[nodiscard]] bool goes_on_after(const PlannedRequest& request) const {
    if (!closed_ && !converse_) return false;
    return next_turn(request) != nullptr || (closed_ && next_planned_ != planned_end());
  }
  /// Its client is free again. False: it is too late to send another one.
  [[gnu::noinline]] bool free(const PlannedRequest& request, double now_us, double turnaround_us, std::int64_t reply) {
    const PlannedRequest* const turn = next_turn(request);
    const bool sent = turn != nullptr ? send(*turn, now_us + turnaround_us, reply) : send_next(now_us + turnaround_us, reply);
    see_next();
    return sent;
  }

 private:
  static bool later(const Sent& a, const Sent& b) { return a.at_us != b.at_us ? a.at_us > b.at_us : a.request > b.request; }

  [[nodiscard]] const PlannedRequest* next_turn(const PlannedRequest& request) const {
    const PlannedRequest* const following = &request + 1;
    return following != planned_end() && following->follows ? following : nullptr;
  }
  [[nodiscard]] const PlannedRequest* planned_end() const { return plan_->requests.data() + plan_->requests.size(); }
  [[gnu::noinline]] Sent take_sent() {
    const Sent taken = sent_.front();
    std::ranges::pop_heap(sent_, later);
    sent_.pop_back();
    see_next();
    return taken;
  }
  bool send(const PlannedRequest& request, double free_us, std::int64_t reply) {
    const double at_us = free_us + request.arrival_us;
    if (at_us > start_us_ + plan_->send_until_us) return false;
    sent_.push_back({.at_us = at_us, .request = &request, .reply = reply});
    std::ranges::push_heap(sent_, later);
    return true;
  }
  /// The next request of the plan that begins something.
  bool send_next(double free_us, std::int64_t reply) {
    if (next_planned_ == planned_end()) return false;
    const PlannedRequest& request = *next_planned_;
    skip_conversation();
    return send(request, free_us, reply);
  }
  void skip_conversation() {
    for (++next_planned_; next_planned_ != planned_end() && next_planned_->follows; ++next_planned_) converse_ = true;
  }
  [[nodiscard]] bool is_planned_first() const { return sent_.empty() || planned_us_ <= sent_.front().at_us; }
  void see_planned() {
    const bool more = !closed_ && next_planned_ != planned_end();
    planned_us_ = more ? start_us_ + next_planned_->arrival_us : kNever;
    see_next();
  }
  void see_next() { next_us_ = sent_.empty() ? planned_us_ : std::min(planned_us_, sent_.front().at_us); }

  const StagePlan* plan_ = nullptr;
  bool closed_ = false;
  bool converse_ = false;  ///< of the requests until now some have others that follow them
  double start_us_ = 0.0;
  const PlannedRequest* next_planned_ = nullptr;
  std::vector<Sent> sent_;      ///< after replies, a heap: the earliest first
  double planned_us_ = kNever;  ///< when the next one comes whose time is planned
  double next_us_ = kNever;
};

}  // namespace rooftune::sim
