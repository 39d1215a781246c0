#include "rooftune/sim/engine.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

#include "decode_blocks.hpp"
#include "finish_queue.hpp"
#include "kv_cache.hpp"
#include "offload_tier.hpp"
#include "rooftune/core/contract.hpp"
#include "rooftune/core/derivative.hpp"

namespace rooftune::sim {
namespace {

using core::value_of;
using latency::PrefillChunk;

/// The derivatives of a scalar without its value; empty for plain numbers.
template <class Scalar>
struct GradientOf {
  struct Type {};
};
template <int N>
struct GradientOf<core::Dual<N>> {
  using Type = decltype(core::Dual<N>::v);
};

/// Smallest k >= 1 with k * first + increment * k (k - 1) / 2 >= gap: in which of the coming steps an arrival falls.
std::int64_t steps_until(double gap_us, double first_us, double increment_us, std::int64_t limit) {
  if (gap_us <= first_us || limit <= 1) return 1;
  const auto elapsed = [&](std::int64_t k) {
    const auto steps = static_cast<double>(k);
    return steps * first_us + increment_us * (0.5 * steps * (steps - 1.0));
  };
  if (elapsed(limit) < gap_us) return limit;
  double guess = gap_us / first_us;
  if (guess * guess * increment_us > first_us) {  // by steps of equal length: too far off
    const double b = first_us - 0.5 * increment_us;
    guess = 2.0 * gap_us / (b + std::sqrt(std::max(0.0, b * b + 2.0 * increment_us * gap_us)));
  }
  std::int64_t k = std::clamp(static_cast<std::int64_t>(guess) + 1, std::int64_t{1}, limit);
  while (k > 1 && elapsed(k - 1) >= gap_us) --k;
  while (k < limit && elapsed(k) < gap_us) ++k;
  return k;
}

/// Coming steps with linearly growing duration.
template <class Scalar>
struct Stretch {
  using Gradient = typename GradientOf<Scalar>::Type;

  std::int64_t steps = 0;     ///< for which it holds; 0: the model is to be asked again
  double first_us = 0.0;      ///< of the coming step
  double last_us = 0.0;       ///< of the step just done
  double increment_us = 0.0;  ///< per step
  Gradient first_gradient;
  Gradient increment_gradient;  ///< set where it grows
  bool grows = false;           ///< nobody prefills, so that there may be more steps than one
};

/// What keeps the first waiting request waiting: nothing, something that may pass with any step, a lack of blocks, which ends
/// with a request's last step at the earliest, a lack of seats, which ends when one has left, or blocks of it that are being
/// read back from the host's memory, for which it does not wait in the queue.
enum class Blocked { no, for_a_step, by_blocks, by_seats, by_loading };

/// Values decide what happens and when; with a derivative-carrying scalar the gradients of the clock, of the latency sums and
/// of the requests' masses ride along. In an unnamed namespace so that the compiler makes one loop of it.
template <class Scalar>
class EngineCore {
 public:
  EngineCore(const EngineSetup& setup, std::span<const PrefixChain> chains, latency::StepTime<Scalar>& step_time)
      : setup_(setup),
        block_(setup.block_tokens),
        step_time_(step_time),
        cache_(setup.kv_blocks, block_, chains, setup.prefix_caching),
        wants_contexts_(step_time.wants_decode_contexts()),
        decode_blocks_(block_) {
    counters.kv_blocks = counters.least_free_blocks = setup.kv_blocks;
    const auto batch = static_cast<std::size_t>(std::min(setup.max_num_seqs, 4096));
    if (setup.offload_blocks > 0 && setup.prefix_caching) offload_.emplace(setup.offload_blocks, block_, chains);
    pending_.reserve(batch);
    prefilling_.reserve(batch);
    chunks_.reserve(batch);
    finishing_.reserve(2 * batch);
  }

  void begin_stage(const StagePlan& plan, int concurrency, double start_us);
  void begin_routed_stage(double start_us, double requests_per_us, std::size_t most_requests);
  void offer(const PlannedRequest& request);
  [[gnu::flatten]] void run_to(double horizon_us);
  StageRecord<Scalar> end_stage();
  [[nodiscard]] std::int64_t in_flight() const { return in_flight_; }
  [[nodiscard]] bool out_of_events() const { return counters.advances > most_advances; }
  void observe(Observer* observer);

  std::int64_t most_advances = std::numeric_limits<std::int64_t>::max();
  Stepping stepping = Stepping::closed_form;
  bool keep_latencies = false;
  std::int64_t warm_up_requests = 0;
  FrontEnd<Scalar> front_end;
  Scalar turnaround_us{0.0};
  Scalar load_us_per_block{0.0};
  EngineCounters counters;

 private:
  static constexpr bool kDerivatives = core::carries_derivatives<Scalar>;
  static constexpr double kNever = std::numeric_limits<double>::infinity();
  using Gradient = typename GradientOf<Scalar>::Type;

  /// The derivatives that belong to a request.
  struct RequestGradients {
    Gradient arrival;  ///< the clock's at that moment
    Gradient mass;     ///< of the expected number of requests that this one stands for
    Gradient loaded;   ///< of loaded_us
  };

  /// A request that has arrived and not yet finished.
  struct Request {
    const PlannedRequest* planned = nullptr;
    double arrival_us = 0.0;
    double first_token_us = -1.0;  ///< negative: none yet
    std::int32_t output_tokens = 0;
    std::int32_t to_compute = 0;   ///< prompt tokens, and after a preemption the generated ones again
    std::int32_t most_blocks = 0;  ///< of the pool, with its last token
    KvLease lease{};
    std::int32_t chain = -1;
    std::int32_t chain_tokens = 0;
    std::int32_t offload_chain = -1;  ///< its chain in the host's memory, and how many tokens of it lie there
    std::int32_t offload_tokens = 0;
    std::int64_t context_offset = 0;  ///< decoding: context = step + context_offset
    std::int32_t generated = 0;
    std::int32_t computed = 0;  ///< tokens in the KV cache while prefilling
    std::int32_t chunk = 0;     ///< tokens of the next step; 0: not assigned yet
    std::int32_t cached = 0;
    std::int32_t preemptions = 0;
    std::uint32_t ticket = 0;  ///< of its last admission
    double loaded_us = 0.0;    ///< when its blocks are back from the host's memory
    bool queued = false;       ///< it came when there was no room, and waits for somebody to end
    bool loaded = false;       ///< they are, or will be; until it is admitted
    bool decoding = false;
  };

  /// Where it is kept, and its neighbours in the list that it is in.
  struct alignas(128) Slot : Request {
    Slot* previous = nullptr;
    Slot* next = nullptr;
    [[no_unique_address]] std::conditional_t<kDerivatives, RequestGradients, GradientOf<double>> derived;
  };
  using FinishQueue = sim::FinishQueue<Slot>;

  /// A request that its client sends after a reply, or when the client starts.
  struct Send {
    double at_us = 0.0;
    const PlannedRequest* request = nullptr;
    [[no_unique_address]] Gradient gradient;

    /// Of several at one moment, the first in the plan comes first.
    [[nodiscard]] bool operator>(const Send& other) const {
      return at_us != other.at_us ? at_us > other.at_us : request > other.request;
    }
  };

  /// A ring of slots through one that is no request: its `next` is the first of the list, its `previous` the last.
  struct List {
    List() { ends.previous = ends.next = &ends; }
    Slot ends;
    std::int64_t size = 0;

    [[nodiscard]] Slot& first() { return *ends.next; }
    [[nodiscard]] Slot& last() { return *ends.previous; }
    void append(Slot& slot) { insert_before(ends, slot); }
    void prepend(Slot& slot) { insert_before(first(), slot); }
    void insert_before(Slot& next, Slot& slot);
    void remove(Slot& slot);
  };

  /// Tokens of a step and blocks that are spoken for.
  struct Claim {
    std::int64_t tokens = 0;
    std::int64_t blocks = 0;
  };

  // --- the story of one stage, in order of appearance ---
  void wake_up();
  void schedule();
  void join_pending();
  void join(Slot& slot);
  bool secure_blocks();
  void admit();
  [[gnu::noinline]] bool idle_until_loaded(double horizon_us);
  void see_stretch();
  std::int64_t steps_to_next_event();
  void advance(std::int64_t steps);
  void take_arrivals();
  void complete_finished();
  void finish_prefills();
  [[gnu::noinline]] void take_loaded();

  // --- verbs ---
  void start_clients();
  void let_arrive(double rest_of_step);
  void go_on_after(const PlannedRequest& request, double at_us, const Gradient& gradient);
  void send_later(const PlannedRequest& request, double at_us, const Gradient& gradient);
  void anchor(Slot* slot, double rest_of_step);
  Slot* arrive(const PlannedRequest& request, double arrival_us);
  void start_decoding(Slot& slot);
  void stop_decoding(Slot& slot, std::int64_t before_step);
  void complete(Slot& slot);
  void record(const Slot& slot);
  bool make_room(std::int64_t decode_tokens);
  void preempt_last(std::int64_t decode_tokens);
  void see_queue(Blocked blocked);
  void inherit_anchor(Slot& slot);
  void extend(Slot& slot, std::int64_t blocks);
  Blocked try_admit(Slot& slot, std::int64_t budget, std::int64_t reserved_blocks);
  void take_lease(Slot& slot, std::int32_t blocks);
  [[gnu::noinline]] Blocked try_load(Slot& slot, std::int32_t hit, std::int64_t reserved_blocks);
  [[gnu::noinline]] bool give_back_loaded();
  void give_back_blocks(Slot& slot, std::int64_t grown, std::int64_t tokens_in_cache);
  [[gnu::noinline]] void offload_finished(const Slot& slot);
  [[gnu::noinline]] void offload_preempted(Slot& slot, std::int64_t tokens_in_cache);
  void see_gradients(const latency::StepPiece<Scalar>& piece);
  void see_next_arrival();
  void observe_step();
  void see_batch();
  void see_chunks();
  void see_contexts();
  [[nodiscard]] std::int64_t chunk_of(std::int64_t tokens, std::int64_t budget) const;
  [[nodiscard]] std::int64_t decoding() const { return decode_blocks_.requests(); }
  /// Tells the pool what the decoding requests have taken when all steps before that one are done.
  void grow_decodes(std::int64_t until) {
    const std::int64_t blocks = decode_blocks_.tell_until(until);
    cache_.grow(blocks);
    coming_blocks_ -= blocks;
  }
  void see_fullness();
  /// Whether the pool surely has the blocks for all steps before that one.
  [[nodiscard]] bool has_room_until(std::int64_t step) const {
    return coming_blocks_ <= cache_.free_blocks() || decode_blocks_.most_untold_until(step) <= cache_.free_blocks();
  }
  [[nodiscard]] Claim claim_of_running(bool ahead) const;
  [[nodiscard]] std::int64_t grown_blocks(const Slot& slot, std::int64_t blocks) const;
  [[nodiscard]] std::int64_t steps_within_pool(std::int64_t steps);
  [[nodiscard]] const PlannedRequest* planned_end() const { return plan_->requests.data() + plan_->requests.size(); }
  [[nodiscard]] std::int64_t index_of(const PlannedRequest& request) const { return &request - plan_->requests.data(); }
  [[nodiscard]] bool counts(const Slot& slot) const { return index_of(*slot.planned) >= warm_up_requests; }
  [[nodiscard]] std::int64_t steps_before(double horizon_us, std::int64_t steps) const;
  [[nodiscard]] bool has_seat() const { return running_.size + std::ssize(pending_) < setup_.max_num_seqs; }
  [[nodiscard]] bool closed_loop() const { return concurrency_ > 0; }

  EngineSetup setup_;
  BlockSize block_;
  latency::StepTime<Scalar>& step_time_;
  KvCache cache_;
  std::optional<OffloadTier> offload_;
  Observer* observer_ = nullptr;
  bool observes_steps_ = false;
  bool wants_contexts_;

  double now_us_ = 0.0;
  std::int64_t step_ = 0;  ///< index of the step that starts now

  std::int64_t in_flight_ = 0;      ///< requests that have arrived and not yet finished
  std::int64_t coming_blocks_ = 0;  ///< of the pool, that those who hold some will take at most
  std::deque<Slot> slots_;
  Slot* spare_slot_ = nullptr;     ///< the first of the unused ones, linked by `next`
  List running_;                   ///< in order of admission
  List waiting_;                   ///< arrived, in order of service
  List loading_;                   ///< their blocks come from the host's memory, one request after the other
  std::vector<Slot*> pending_;     ///< admitted, joining the next step
  std::vector<Slot*> prefilling_;  ///< running requests whose prompt is not complete
  bool prompts_go_on_ = false;     ///< some of them have no chunk for the coming step yet
  std::vector<PrefillChunk> chunks_;
  std::vector<std::int64_t> contexts_;
  FinishQueue finishing_;
  std::uint32_t tickets_ = 0;

  latency::Batch batch_;
  Stretch<Scalar> stretch_;

  // Sums over the decoding requests.
  std::int64_t offset_sum_ = 0;
  DecodeBlocks decode_blocks_;

  // The stage that runs.
  const StagePlan* plan_ = nullptr;
  bool scheduled_ = false;  ///< what the coming step does is decided already
  StagePlan routed_;        ///< the plan, where a router makes it
  StageRecord<Scalar> record_;
  double ttft_sum_us_ = 0.0;  ///< values of its sums
  double e2e_sum_us_ = 0.0;
  double tpot_sum_us_ = 0.0;
  const PlannedRequest* next_ = nullptr;  ///< the next one to come that follows no other
  std::vector<Send> sends_;               ///< those that clients will send; a heap, the earliest in front
  double next_arrival_us_ = kNever;
  double stage_start_us_ = 0.0;
  int concurrency_ = 0;
  int stage_index_ = -1;
  Blocked blocked_ = Blocked::no;

  // Derivatives. Unused for plain numbers.
  Gradient now_gradient_;
  Gradient arrival_gradient_;  ///< of the stage's sums
  Gradient ttft_gradient_;
  Gradient e2e_gradient_;
  Gradient tpot_gradient_;
  Gradient mass_sum_;         ///< over the decoding requests
  Gradient mass_offset_sum_;  ///< times context_offset
  Gradient room_gradient_;    ///< the anchor of the request that ended last and so made room
  Gradient queue_gradient_;   ///< the clock's where the present queue began
  Gradient mass_reference_;   ///< the clock's at the last arrival, less what an idle period took from it since
};

/// Runs every step that ends before the horizon.
template <class Scalar>
void EngineCore<Scalar>::run_to(double horizon_us) {
  const bool ends = horizon_us < kNever;
  while (!out_of_events()) {
    if (in_flight() == 0) {
      if (next_arrival_us_ == kNever) return;
      if (ends && next_arrival_us_ >= horizon_us) return;  // others may come at the same moment
      wake_up();
      if (in_flight() == 0) continue;  // all of them were refused
    }
    if (!scheduled_) schedule();
    scheduled_ = false;
    if (running_.size == 0) {
      if (!idle_until_loaded(horizon_us)) return;
      continue;
    }
    see_stretch();
    std::int64_t steps = steps_to_next_event();
    if (ends) {
      // What was decided for the coming step holds when it is resumed: whoever comes during a step waits for its end.
      steps = steps_before(horizon_us, steps);
      scheduled_ = steps == 0;
      if (scheduled_) return;
    }
    advance(steps);
    if (next_arrival_us_ <= now_us_) take_arrivals();
    if (finishing_.next_step() < step_) complete_finished();
    if (!prefilling_.empty()) finish_prefills();
    if (next_arrival_us_ <= now_us_) take_arrivals();  // of clients that need no time from a reply to the next request
    if (loading_.size > 0) take_loaded();
  }
}

/// Decides what the coming step does.
template <class Scalar>
void EngineCore<Scalar>::schedule() {
  if (!pending_.empty()) join_pending();
  const bool preempted = secure_blocks();
  if (preempted && running_.size > 0) {
    see_queue(Blocked::for_a_step);
  } else if (waiting_.size > 0) {
    admit();
  } else {
    blocked_ = Blocked::no;
  }
}

template <class Scalar>
std::int64_t EngineCore<Scalar>::steps_before(double horizon_us, std::int64_t steps) const {
  return steps_until(horizon_us - now_us_, stretch_.first_us, stretch_.increment_us, steps + 1) - 1;
}

template <class Scalar>
void EngineCore<Scalar>::begin_routed_stage(double start_us, double requests_per_us, std::size_t most_requests) {
  routed_.requests.clear();
  routed_.requests.reserve(most_requests);  // slots point into it
  routed_.requests_per_us = requests_per_us;
  begin_stage(routed_, 0, start_us);
  record_.first_arrival_us = kNever;
}

template <class Scalar>
void EngineCore<Scalar>::offer(const PlannedRequest& request) {
  ROOFTUNE_EXPECTS(routed_.requests.size() < routed_.requests.capacity());
  routed_.requests.push_back(request);
  record_.first_arrival_us = std::min(record_.first_arrival_us, stage_start_us_ + request.arrival_us);
  see_next_arrival();
}

template <class Scalar>
void EngineCore<Scalar>::begin_stage(const StagePlan& plan, int concurrency, double start_us) {
  plan_ = &plan;
  concurrency_ = concurrency;
  ++stage_index_;
  record_ = {};
  ttft_sum_us_ = e2e_sum_us_ = tpot_sum_us_ = 0.0;
  if (keep_latencies) {
    record_.ttft_us.reserve(plan_->requests.size());
    record_.e2e_us.reserve(plan_->requests.size());
    record_.tpot_us.reserve(plan_->requests.size());
  }
  stage_start_us_ = now_us_ = std::max(start_us, now_us_);
  next_ = plan_->requests.data();
  sends_.clear();
  blocked_ = Blocked::no;
  record_.first_arrival_us = stage_start_us_ + (plan_->requests.empty() ? 0.0 : plan_->requests.front().arrival_us);
  if constexpr (kDerivatives) {
    for (Gradient* gradient : {&now_gradient_, &arrival_gradient_, &ttft_gradient_, &e2e_gradient_, &tpot_gradient_, &mass_sum_,
                               &mass_offset_sum_, &queue_gradient_, &room_gradient_, &mass_reference_}) {
      gradient->setZero();
    }
  }
  if (closed_loop()) start_clients();
  see_next_arrival();
}

/// The engine is idle until the next request comes. Of one that comes at its own time the clock starts anew, without a derivative;
/// of one that a client sends after a reply it goes on from that reply.
template <class Scalar>
void EngineCore<Scalar>::wake_up() {
  blocked_ = Blocked::no;
  if constexpr (kDerivatives) {
    if (!sends_.empty() && sends_.front().at_us <= next_arrival_us_) {
      now_gradient_ = sends_.front().gradient;
    } else {
      mass_reference_ -= now_gradient_;
      now_gradient_.setZero();
    }
  }
  now_us_ = std::max(next_arrival_us_, now_us_);
  while (next_arrival_us_ <= now_us_) let_arrive(0.0);
}

/// Every client of a closed loop has its first request before it.
template <class Scalar>
void EngineCore<Scalar>::start_clients() {
  sends_.reserve(static_cast<std::size_t>(std::min<std::int64_t>(concurrency_, std::ssize(plan_->requests))));
  for (int client = 0; client < concurrency_ && next_ != planned_end(); ++client) {
    const PlannedRequest& request = *next_;
    while (++next_ != planned_end() && next_->follows) {
    }
    send_later(request, stage_start_us_ + request.arrival_us, now_gradient_);
  }
}

/// A client has its reply, or a refusal: it goes on with its conversation, or in a closed loop with the next request of the plan.
template <class Scalar>
void EngineCore<Scalar>::go_on_after(const PlannedRequest& request, double at_us, const Gradient& gradient) {
  const PlannedRequest* following = &request + 1;
  if (following == planned_end() || !following->follows) {
    if (!closed_loop() || next_ == planned_end()) return;
    following = next_;
    while (++next_ != planned_end() && next_->follows) {
    }
  }
  if constexpr (kDerivatives) {
    send_later(*following, at_us + value_of(turnaround_us) + following->arrival_us, gradient + turnaround_us.v);
  } else {
    send_later(*following, at_us + value_of(turnaround_us) + following->arrival_us, gradient);
  }
}

template <class Scalar>
void EngineCore<Scalar>::send_later(const PlannedRequest& request, double at_us, const Gradient& gradient) {
  if (closed_loop() && at_us - stage_start_us_ > plan_->send_until_us) return;
  sends_.push_back({.at_us = at_us, .request = &request, .gradient = gradient});
  std::ranges::push_heap(sends_, std::greater{});
  see_next_arrival();
}

/// The request that comes next arrives.
template <class Scalar>
void EngineCore<Scalar>::let_arrive(double rest_of_step) {
  if (sends_.empty() || sends_.front().at_us > next_arrival_us_) {
    const PlannedRequest& request = *next_;
    while (++next_ != planned_end() && next_->follows) {
    }
    const double arrival_us = next_arrival_us_;
    see_next_arrival();
    anchor(arrive(request, arrival_us), rest_of_step);
    return;
  }
  std::ranges::pop_heap(sends_, std::greater{});
  const Send send = sends_.back();
  sends_.pop_back();
  see_next_arrival();
  Slot* const slot = arrive(*send.request, send.at_us);
  if constexpr (kDerivatives) {
    if (slot != nullptr) {
      slot->derived.arrival = send.gradient;
      slot->derived.mass.setZero();
      if (counts(*slot)) arrival_gradient_ += send.gradient;
    }
  }
  if (slot == nullptr) go_on_after(*send.request, send.at_us, send.gradient);
}

/// Lets everything arrive that was sent during the steps just done; all of it falls into the last of them.
template <class Scalar>
void EngineCore<Scalar>::take_arrivals() {
  while (next_arrival_us_ <= now_us_) {
    const double rest_of_step = stretch_.last_us > 0.0 ? (now_us_ - next_arrival_us_) / stretch_.last_us : 0.0;
    let_arrive(rest_of_step);
  }
}

/// Derivatives of an arrival at its phase in the step just done: of that step, only the rest counts.
template <class Scalar>
void EngineCore<Scalar>::anchor(Slot* slot, double rest_of_step) {
  if constexpr (kDerivatives) {
    RequestGradients refused;
    RequestGradients& derived = slot != nullptr ? slot->derived : refused;
    if (blocked_ != Blocked::no) {
      derived.arrival = queue_gradient_;
      derived.mass.setZero();
      if (slot != nullptr) slot->queued = blocked_ == Blocked::by_seats || blocked_ == Blocked::by_blocks;
    } else {
      if (rest_of_step == 0.0) {
        derived.arrival = now_gradient_;
      } else if (stretch_.grows) {
        derived.arrival = now_gradient_ - rest_of_step * (stretch_.first_gradient - stretch_.increment_gradient);
      } else {
        derived.arrival = now_gradient_ - rest_of_step * stretch_.first_gradient;
      }
      derived.mass = plan_->requests_per_us * (derived.arrival - mass_reference_);
    }
    mass_reference_ = derived.arrival;
    if (slot != nullptr && counts(*slot)) arrival_gradient_ += derived.arrival;
  }
}

template <class Scalar>
void EngineCore<Scalar>::see_next_arrival() {
  const bool more = !closed_loop() && next_ != planned_end();
  next_arrival_us_ = more ? stage_start_us_ + next_->arrival_us : kNever;
  if (!sends_.empty()) next_arrival_us_ = std::min(next_arrival_us_, sends_.front().at_us);
}

/// A request joins the waiting queue. Returns its slot, or null when the engine refuses it.
template <class Scalar>
auto EngineCore<Scalar>::arrive(const PlannedRequest& request, double arrival_us) -> Slot* {
  const std::int64_t output = std::min<std::int64_t>(request.output_tokens, setup_.max_model_len - request.prompt_tokens);
  // The engine refuses what can never run: a prompt without room for one token, or more blocks than there are.
  const std::int64_t most_blocks = block_.holding(request.prompt_tokens + output - 1);
  if (output < 1 || most_blocks > cache_.total_blocks()) {
    const RejectionReason reason = output < 1 ? RejectionReason::model_length : RejectionReason::kv_pool;
    ++record_.rejected;
    ++counters.rejected;
    if (reason == RejectionReason::model_length) ++counters.rejected_by_length;
    if (observer_ != nullptr) {
      observer_->on_rejected({.stage = stage_index_,
                              .index = index_of(request),
                              .arrival_us = arrival_us,
                              .prompt_tokens = request.prompt_tokens,
                              .output_tokens = request.output_tokens,
                              .reason = reason});
    }
    return nullptr;
  }
  Slot& slot = spare_slot_ != nullptr ? *spare_slot_ : slots_.emplace_back();
  spare_slot_ = slot.next;
  static_cast<Request&>(slot) = {.planned = &request,
                                 .arrival_us = arrival_us,
                                 .output_tokens = static_cast<std::int32_t>(output),
                                 .to_compute = request.prompt_tokens,
                                 .most_blocks = static_cast<std::int32_t>(most_blocks),
                                 .chain = request.chain,
                                 .chain_tokens = request.chain_tokens,
                                 .offload_chain = request.chain,
                                 .offload_tokens = request.chain_tokens};
  waiting_.append(slot);
  ++in_flight_;
  record_.longest_queue = std::max(record_.longest_queue, waiting_.size);
  return &slot;
}

template <class Scalar>
void EngineCore<Scalar>::join_pending() {
  for (Slot* const slot : pending_) join(*slot);
  pending_.clear();
}

template <class Scalar>
void EngineCore<Scalar>::join(Slot& slot) {
  running_.append(slot);
  prefilling_.push_back(&slot);
  stretch_.steps = 0;
}

/// Allocates what the coming step writes, preempting the last admitted requests when blocks run out. True if it did.
template <class Scalar>
bool EngineCore<Scalar>::secure_blocks() {
  const bool ample = has_room_until(step_ + 1);
  if (ample && !prompts_go_on_) return false;
  bool preempted = false;
  if (!ample) {
    grow_decodes(step_);
    while (decode_blocks_.taken_in(step_) > cache_.free_blocks()) preempted |= make_room(0);
  }
  if (!prompts_go_on_) return preempted;
  std::int64_t budget = setup_.max_num_batched_tokens - decoding();
  for (const Slot* const slot : prefilling_) budget -= slot->chunk;  // assigned when it was admitted
  for (std::size_t i = 0; i < prefilling_.size();) {
    Slot& slot = *prefilling_[i];
    if (slot.chunk == 0) {
      grow_decodes(step_ + 1);
      const std::int64_t chunk = chunk_of(slot.to_compute - slot.computed, budget);
      const std::int64_t blocks = block_.holding(slot.computed + chunk) - block_.holding(slot.computed);
      if (blocks > cache_.free_blocks()) {
        preempted |= make_room(1);
        continue;  // the same index: either the request itself is gone, or there is room now
      }
      slot.chunk = static_cast<std::int32_t>(chunk);
      extend(slot, blocks);
      budget -= chunk;
    }
    ++i;
  }
  return preempted;
}

/// How many of a request's `tokens` one step computes. Without chunking a prompt runs whole or not at all; one that is
/// longer than the whole budget could never start, and runs alone.
template <class Scalar>
std::int64_t EngineCore<Scalar>::chunk_of(std::int64_t tokens, std::int64_t budget) const {
  if (setup_.long_prefill_token_threshold > 0) tokens = std::min<std::int64_t>(tokens, setup_.long_prefill_token_threshold);
  if (tokens <= budget) return tokens;
  if (!setup_.chunked_prefill) return budget < setup_.max_num_batched_tokens ? 0 : tokens;
  return std::max<std::int64_t>(0, budget);
}

/// Allocates what the chunk of the coming step writes.
template <class Scalar>
void EngineCore<Scalar>::extend(Slot& slot, std::int64_t blocks) {
  const std::int64_t full_chain_blocks = block_.full(std::min(slot.chain_tokens, slot.computed + slot.chunk));
  coming_blocks_ -= blocks;
  cache_.extend(slot.lease, static_cast<std::int32_t>(blocks), static_cast<std::int32_t>(full_chain_blocks));
}

/// What running requests take before newcomers do: of the coming step, or of the one after when the scheduler works ahead.
/// The blocks of the coming step are allocated already.
template <class Scalar>
auto EngineCore<Scalar>::claim_of_running(bool ahead) const -> Claim {
  Claim claim{.tokens = decoding(), .blocks = ahead ? decode_blocks_.taken_in(step_ + 1) : 0};
  if (ahead && finishing_.next_step() == step_) {
    finishing_.for_each_at(step_, [&](const Slot& slot) {
      --claim.tokens;
      if (block_.rest(step_ + 1 + slot.context_offset) == 0) --claim.blocks;
    });
  }
  for (const Slot* const prefilling : prefilling_) {
    const Slot& slot = *prefilling;
    if (!ahead) {
      claim.tokens += slot.chunk;
      continue;
    }
    const std::int64_t done = slot.computed + slot.chunk;
    std::int64_t next = 0;
    if (done < slot.to_compute) {
      next = chunk_of(slot.to_compute - done, std::max<std::int64_t>(0, setup_.max_num_batched_tokens - claim.tokens));
    } else if (slot.generated + 1 < slot.output_tokens) {
      next = 1;
    }
    claim.tokens += next;
    claim.blocks += block_.holding(done + next) - block_.holding(done);
  }
  return claim;
}

/// Admits waiting requests: into the coming step when the engine is idle or schedules synchronously, else into the one
/// after, because the scheduler works one step ahead.
template <class Scalar>
void EngineCore<Scalar>::admit() {
  if (!has_seat()) return see_queue(Blocked::by_seats);
  grow_decodes(step_ + 1);
  const bool ahead = setup_.async_scheduling && running_.size > 0;
  const Claim claim = claim_of_running(ahead);
  std::int64_t budget = setup_.max_num_batched_tokens - claim.tokens;
  Blocked blocked = Blocked::no;
  while (waiting_.size > 0) {
    Slot& slot = waiting_.first();
    blocked = has_seat() ? try_admit(slot, budget, claim.blocks) : Blocked::by_seats;
    if (blocked == Blocked::by_loading) {
      blocked = Blocked::no;  // the next one may start meanwhile
      continue;
    }
    if (blocked != Blocked::no) break;
    waiting_.remove(slot);
    if (slot.queued) inherit_anchor(slot);
    budget -= slot.chunk;
    slot.ticket = ++tickets_;
    if (ahead) {
      pending_.push_back(&slot);
    } else {
      join(slot);
    }
  }
  see_queue(blocked);
}

/// A request that waited for room starts when another one ended, and that one's end is as far from its own anchor as the clock
/// has moved since: the newcomer goes on from there.
template <class Scalar>
void EngineCore<Scalar>::inherit_anchor(Slot& slot) {
  if constexpr (kDerivatives) {
    Gradient& anchor = slot.derived.arrival;
    if (counts(slot)) arrival_gradient_ += room_gradient_ - anchor;
    anchor = room_gradient_;
    slot.queued = false;
  }
}

/// Later arrivals are anchored where the present queue began: at the arrival of its first request.
template <class Scalar>
void EngineCore<Scalar>::see_queue(Blocked blocked) {
  blocked_ = blocked;
  if constexpr (kDerivatives) {
    if (blocked_ != Blocked::no) queue_gradient_ = waiting_.first().derived.arrival;
  }
}

template <class Scalar>
Blocked EngineCore<Scalar>::try_admit(Slot& slot, std::int64_t budget, std::int64_t reserved_blocks) {
  // At least the last token is computed, whatever is cached.
  std::int32_t hit = 0;
  if (!slot.loaded) {
    hit = cache_.resident_blocks(slot.chain, std::min(slot.chain_tokens, slot.to_compute - 1));
    if (offload_ && hit < block_.full(std::min(slot.offload_tokens, slot.to_compute - 1))) {
      const Blocked blocked = try_load(slot, hit, reserved_blocks);
      if (blocked != Blocked::no) return blocked;
    }
  }
  const std::int32_t there = slot.loaded ? slot.computed : hit * block_.tokens();
  const std::int64_t chunk = chunk_of(slot.to_compute - there, budget);
  if (chunk <= 0) return Blocked::for_a_step;
  const std::int64_t blocks = block_.holding(there + chunk) - block_.full(there);
  const bool fits = coming_blocks_ + slot.most_blocks <= cache_.free_blocks() ||
                    blocks + cache_.idle_blocks(slot.chain, hit) <= cache_.free_blocks() - reserved_blocks;
  if (!fits) {
    // When what it hits is evicted meanwhile, its first chunk, and with it what it needs to start, may become smaller; or it
    // takes less to read that back first.
    const bool may_shrink = hit > 0 && (offload_ || chunk_of(slot.to_compute, budget) < slot.to_compute);
    return may_shrink ? Blocked::for_a_step : Blocked::by_blocks;
  }
  if (!slot.loaded) take_lease(slot, hit);
  slot.loaded = false;
  slot.computed = there;
  slot.chunk = static_cast<std::int32_t>(chunk);
  extend(slot, blocks);
  if (slot.preemptions == 0) slot.cached = slot.computed;
  counters.cached_tokens += there;
  counters.prompt_tokens += slot.to_compute;
  return Blocked::no;
}

template <class Scalar>
void EngineCore<Scalar>::take_lease(Slot& slot, std::int32_t blocks) {
  slot.lease = cache_.acquire(slot.chain, blocks);
  coming_blocks_ += slot.most_blocks - blocks;
}

/// Begins to read what the GPU's memory has lost of a prompt. The blocks for it are taken at once; the engine goes on with
/// others until they are filled, and the link to the host serves one request after the other.
template <class Scalar>
Blocked EngineCore<Scalar>::try_load(Slot& slot, std::int32_t hit, std::int64_t reserved_blocks) {
  const std::int32_t there = offload_->blocks_of(slot.offload_chain, std::min(slot.offload_tokens, slot.to_compute - 1));
  const std::int32_t missing = there - hit;
  if (missing <= 0) return Blocked::no;
  if (missing + cache_.idle_blocks(slot.chain, hit) > cache_.free_blocks() - reserved_blocks) return Blocked::by_blocks;
  take_lease(slot, hit);
  cache_.extend(slot.lease, missing, hit);
  coming_blocks_ -= missing;
  slot.computed = there * block_.tokens();
  slot.loaded = true;
  const Slot* const before = loading_.size > 0 ? &loading_.last() : nullptr;
  slot.loaded_us = (before == nullptr ? now_us_ : before->loaded_us) + missing * value_of(load_us_per_block);
  if constexpr (kDerivatives) {
    const Gradient& from = before == nullptr ? now_gradient_ : before->derived.loaded;
    slot.derived.loaded = from + missing * load_us_per_block.v;
  }
  counters.loaded_tokens += std::int64_t{missing} * block_.tokens();
  waiting_.remove(slot);
  loading_.append(slot);
  return Blocked::by_loading;
}

/// Requests whose blocks are back wait in front of those that came after them.
template <class Scalar>
void EngineCore<Scalar>::take_loaded() {
  while (loading_.size > 0 && loading_.first().loaded_us <= now_us_) {
    Slot& slot = loading_.first();
    grow_decodes(step_);
    cache_.extend(slot.lease, 0, static_cast<std::int32_t>(block_.full(std::min(slot.chain_tokens, slot.computed))));
    loading_.remove(slot);
    Slot* place = &waiting_.first();
    while (place != &waiting_.ends && place->loaded) place = place->next;
    waiting_.insert_before(*place, slot);
  }
}

/// Nobody runs: what arrived fits into an empty engine, so blocks are being read back, or such as were keep the others from
/// starting. False: nothing happens before the horizon.
template <class Scalar>
bool EngineCore<Scalar>::idle_until_loaded(double horizon_us) {
  if (loading_.size == 0) {
    const bool gave = give_back_loaded();
    ROOFTUNE_EXPECTS(gave);
    return true;
  }
  const Slot& next = loading_.first();
  const double loaded_us = next.loaded_us;
  const double until_us = std::min(loaded_us, next_arrival_us_);
  if (until_us >= horizon_us) return false;
  blocked_ = Blocked::no;
  now_us_ = std::max(now_us_, until_us);
  if constexpr (kDerivatives) {
    if (until_us < loaded_us) {
      mass_reference_ -= now_gradient_;
      now_gradient_.setZero();
    } else {
      now_gradient_ = next.derived.loaded;
    }
  }
  while (next_arrival_us_ <= now_us_) let_arrive(0.0);
  take_loaded();
  return true;
}

/// The last of the waiting requests that hold blocks read back gives them up: others need the room. False: there is none.
template <class Scalar>
bool EngineCore<Scalar>::give_back_loaded() {
  Slot* slot = &waiting_.last();
  while (slot != &waiting_.ends && !slot->loaded) slot = slot->previous;
  if (slot == &waiting_.ends) return false;
  give_back_blocks(*slot, 0, slot->computed);
  slot->loaded = false;
  return true;
}

/// A request's blocks are copied to the host's memory: its prompt, and what it has generated, which nobody asks for unless its
/// conversation goes on.
template <class Scalar>
void EngineCore<Scalar>::offload_finished(const Slot& slot) {
  offload_->forget(slot.offload_chain);
  const bool goes_on = slot.planned->extends_chain && slot.preemptions == 0;
  const std::int64_t chain_blocks = block_.full(goes_on ? slot.computed : std::min(slot.planned->chain_tokens, slot.computed));
  offload_->store(slot.planned->chain, static_cast<std::int32_t>(chain_blocks),
                  static_cast<std::int32_t>(block_.full(slot.computed) - chain_blocks));
}

template <class Scalar>
void EngineCore<Scalar>::offload_preempted(Slot& slot, std::int64_t tokens_in_cache) {
  const std::int64_t chain_blocks = block_.full(std::min<std::int64_t>(slot.offload_tokens, tokens_in_cache));
  slot.offload_chain = offload_->store_preempted(slot.offload_chain, static_cast<std::int32_t>(chain_blocks),
                                                 static_cast<std::int32_t>(block_.full(tokens_in_cache)));
}

/// The batch of the coming step, as the model wants it.
template <class Scalar>
void EngineCore<Scalar>::see_batch() {
  batch_.decode_requests = decoding();
  batch_.decode_context_tokens = decoding() * step_ + offset_sum_;
  batch_.prefills = {};
  if (!prefilling_.empty()) see_chunks();
  if (wants_contexts_) see_contexts();
}

template <class Scalar>
void EngineCore<Scalar>::see_chunks() {
  counters.largest_batch = std::max(counters.largest_batch, running_.size);
  chunks_.clear();
  for (const Slot* const prefilling : prefilling_) {
    const Slot& slot = *prefilling;
    if (slot.chunk > 0) chunks_.push_back({.context_tokens = slot.computed, .new_tokens = slot.chunk});
  }
  batch_.prefills = chunks_;
}

template <class Scalar>
void EngineCore<Scalar>::see_contexts() {
  contexts_.clear();
  for (const Slot* slot = &running_.first(); slot != &running_.ends; slot = slot->next) {
    if (slot->decoding) contexts_.push_back(step_ + slot->context_offset);
  }
  batch_.decode_contexts = contexts_;
  batch_.decode_max_context_tokens = contexts_.empty() ? 0 : *std::ranges::max_element(contexts_);
}

/// The coming steps as the model sees them. While the batch stays the same, they are the rest of the steps before; plain
/// stepping asks anew for every step. Only whoever decodes makes the next step longer.
template <class Scalar>
void EngineCore<Scalar>::see_stretch() {
  if (stretch_.steps > 0) return;
  see_batch();
  const latency::StepPiece<Scalar> piece = step_time_.piece(batch_);
  stretch_.grows = prefilling_.empty();
  stretch_.steps = stretch_.grows && stepping == Stepping::closed_form ? piece.valid_steps : 1;
  stretch_.first_us = value_of(piece.duration_us);
  stretch_.increment_us = stretch_.grows ? value_of(piece.slope_us_per_token) * static_cast<double>(decoding()) : 0.0;
  if constexpr (kDerivatives) see_gradients(piece);
}

/// The model's derivatives, and the masses' share: more requests than one may stand behind a decode or a prefill, and what
/// it adds to the step weighs with that.
template <class Scalar>
void EngineCore<Scalar>::see_gradients(const latency::StepPiece<Scalar>& piece) {
  if constexpr (kDerivatives) {
    if (decoding() > 0) {
      const double slope = value_of(piece.slope_us_per_token);
      const double per_request = step_time_.decode_marginal_us(batch_) + slope * static_cast<double>(step_);
      stretch_.first_gradient = piece.duration_us.v + per_request * mass_sum_ + slope * mass_offset_sum_;
      if (stretch_.grows)
        stretch_.increment_gradient = static_cast<double>(decoding()) * piece.slope_us_per_token.v + slope * mass_sum_;
    } else {
      stretch_.first_gradient = piece.duration_us.v;
      if (stretch_.grows) stretch_.increment_gradient.setZero();
    }
    if (batch_.prefills.empty()) return;
    double without_us = 0.0;
    if (decoding() > 0) {
      latency::Batch decodes = batch_;
      decodes.prefills = {};
      without_us = step_time_.duration_us(decodes);
    }
    const double per_prefill_us = (stretch_.first_us - without_us) / static_cast<double>(batch_.prefills.size());
    for (const Slot* const slot : prefilling_) stretch_.first_gradient += per_prefill_us * slot->derived.mass;
  }
}

/// The largest number of steps, at most `steps`, for which the pool has blocks.
template <class Scalar>
std::int64_t EngineCore<Scalar>::steps_within_pool(std::int64_t steps) {
  if (has_room_until(step_ + steps)) return steps;
  grow_decodes(step_ + 1);
  const std::int64_t free = cache_.free_blocks();
  if (decode_blocks_.untold_until(step_ + steps) <= free) return steps;
  std::int64_t fits = 1;
  std::int64_t too_many = steps;
  while (too_many - fits > 1) {
    const std::int64_t middle = fits + (too_many - fits) / 2;
    (decode_blocks_.untold_until(step_ + middle) <= free ? fits : too_many) = middle;
  }
  return fits;
}

template <class Scalar>
std::int64_t EngineCore<Scalar>::steps_to_next_event() {
  if (!pending_.empty() || stretch_.steps == 1 || blocked_ == Blocked::for_a_step) return 1;
  std::int64_t steps_to_finish = finishing_.next_step() - step_ + 1;
  // Before a request's last step, the one after it is planned without that request.
  if (blocked_ == Blocked::by_blocks && steps_to_finish > 1) --steps_to_finish;
  std::int64_t steps = std::min(stretch_.steps, steps_to_finish);
  // Whoever comes while others wait for room waits behind them: no event.
  if (waiting_.size == 0) {
    steps = steps_until(next_arrival_us_ - now_us_, stretch_.first_us, stretch_.increment_us, steps);
  }
  if (loading_.size > 0) {
    const double gap_us = loading_.first().loaded_us - now_us_;
    steps = steps_until(gap_us, stretch_.first_us, stretch_.increment_us, steps);
  }
  return steps_within_pool(steps);
}

template <class Scalar>
void EngineCore<Scalar>::advance(std::int64_t steps) {
  if (observes_steps_) observe_step();
  const auto count = static_cast<double>(steps);
  stretch_.last_us = stretch_.first_us + (count - 1.0) * stretch_.increment_us;
  const double half_us = 0.5 * stretch_.increment_us;
  const double elapsed_us = steps == 1 ? stretch_.first_us : count * (stretch_.first_us - half_us + count * half_us);
  now_us_ += elapsed_us;
  if constexpr (kDerivatives) {
    if (stretch_.grows) {
      now_gradient_ += count * stretch_.first_gradient;
      if (steps > 1) now_gradient_ += (0.5 * count * (count - 1.0)) * stretch_.increment_gradient;
      stretch_.first_gradient += count * stretch_.increment_gradient;
    } else {
      now_gradient_ += stretch_.first_gradient;
    }
  }
  stretch_.first_us = stretch_.last_us + stretch_.increment_us;
  stretch_.steps -= steps;
  step_ += steps;
  ++counters.advances;
  counters.busy_us += elapsed_us;
  counters.batch_time_us += elapsed_us * static_cast<double>(running_.size);
}

template <class Scalar>
void EngineCore<Scalar>::observe_step() {
  grow_decodes(step_ + 1);
  observer_->on_step({.start_us = now_us_,
                      .duration_us = stretch_.first_us,
                      .batch = batch_,
                      .waiting = waiting_.size,
                      .kv_blocks_in_use = cache_.total_blocks() - cache_.free_blocks()});
}

template <class Scalar>
void EngineCore<Scalar>::see_fullness() {
  const std::int64_t free = cache_.free_blocks();
  std::int64_t& least = counters.least_free_blocks;
  if (free - decode_blocks_.most_untold_until(step_) < least) least = std::min(least, free - decode_blocks_.untold_until(step_));
}

template <class Scalar>
void EngineCore<Scalar>::complete_finished() {
  see_fullness();
  while (finishing_.next_step() < step_) {
    Slot& slot = finishing_.pop();
    slot.computed = static_cast<std::int32_t>(step_ + slot.context_offset);
    slot.generated = slot.output_tokens;
    stop_decoding(slot, step_);
    complete(slot);
  }
}

/// Prompts that are complete yield their first token at the step's end.
template <class Scalar>
void EngineCore<Scalar>::finish_prefills() {
  std::size_t kept = 0;
  for (Slot* const prefilling : prefilling_) {
    Slot& slot = *prefilling;
    slot.computed += slot.chunk;
    slot.chunk = 0;
    if (slot.computed < slot.to_compute) {
      prefilling_[kept++] = &slot;
      continue;
    }
    if (slot.first_token_us < 0.0) {
      slot.first_token_us = now_us_;
      if constexpr (kDerivatives) {
        if (counts(slot)) {
          ttft_gradient_ += now_gradient_;
          if (slot.output_tokens > 1) tpot_gradient_ -= now_gradient_ * (1.0 / (slot.output_tokens - 1));
        }
      }
    }
    if (++slot.generated == slot.output_tokens) {
      see_fullness();
      complete(slot);
    } else {
      start_decoding(slot);
    }
  }
  prefilling_.resize(kept);
  prompts_go_on_ = kept > 0;
}

template <class Scalar>
void EngineCore<Scalar>::start_decoding(Slot& slot) {
  slot.decoding = true;
  stretch_.steps = 0;
  slot.context_offset = slot.computed - step_;
  offset_sum_ += slot.context_offset;
  decode_blocks_.add(slot.context_offset, step_);
  if constexpr (kDerivatives) {
    mass_sum_ += slot.derived.mass;
    mass_offset_sum_ += static_cast<double>(slot.context_offset) * slot.derived.mass;
  }
  const std::int64_t finish_step = step_ + slot.output_tokens - slot.generated - 1;
  finishing_.push({.finish_step = finish_step, .slot = &slot});
}

template <class Scalar>
void EngineCore<Scalar>::stop_decoding(Slot& slot, std::int64_t before_step) {
  slot.decoding = false;
  stretch_.steps = 0;
  offset_sum_ -= slot.context_offset;
  decode_blocks_.remove(slot.context_offset, before_step);
  if constexpr (kDerivatives) {
    mass_sum_ -= slot.derived.mass;
    mass_offset_sum_ -= static_cast<double>(slot.context_offset) * slot.derived.mass;
  }
}

template <class Scalar>
void EngineCore<Scalar>::record(const Slot& slot) {
  const double ttft_us = slot.first_token_us - slot.arrival_us;
  const double e2e_us = now_us_ - slot.arrival_us;
  ++record_.finished;
  ttft_sum_us_ += ttft_us;
  e2e_sum_us_ += e2e_us;
  if constexpr (kDerivatives) e2e_gradient_ += now_gradient_;
  if (slot.output_tokens > 1) {
    const double share = 1.0 / (slot.output_tokens - 1);
    tpot_sum_us_ += (now_us_ - slot.first_token_us) * share;
    if constexpr (kDerivatives) tpot_gradient_ += share * now_gradient_;
  } else {
    ++record_.single_token;
  }
  record_.prompt_tokens += slot.planned->prompt_tokens;
  record_.output_tokens += slot.output_tokens;
  if (keep_latencies) {
    const double before_us = value_of(front_end.constant_us) + value_of(front_end.per_prompt_token_us) * slot.planned->prompt_tokens;
    const double token_us = value_of(front_end.per_output_token_us);
    record_.ttft_us.push_back(ttft_us + before_us + token_us);
    record_.e2e_us.push_back(e2e_us + before_us + token_us * slot.output_tokens);
    if (slot.output_tokens > 1) record_.tpot_us.push_back((e2e_us - ttft_us) / (slot.output_tokens - 1) + token_us);
  }
}

template <class Scalar>
void EngineCore<Scalar>::complete(Slot& slot) {
  if constexpr (kDerivatives) room_gradient_ = slot.derived.arrival;
  if (counts(slot)) {
    record(slot);
  } else {
    ++record_.warm_up;
    record_.warm_up_output_tokens += slot.output_tokens;
  }
  if (observer_ != nullptr) {
    observer_->on_finished({.stage = stage_index_,
                            .index = index_of(*slot.planned),
                            .arrival_us = slot.arrival_us,
                            .first_token_us = slot.first_token_us,
                            .finished_us = now_us_,
                            .prompt_tokens = slot.planned->prompt_tokens,
                            .cached_tokens = slot.cached,
                            .output_tokens = slot.output_tokens,
                            .preemptions = slot.preemptions});
  }
  if (offload_) offload_finished(slot);
  // A conversation goes on from here.
  const std::int64_t published = slot.planned->extends_chain && slot.preemptions == 0 ? block_.full(slot.computed) : 0;
  if (published > 0) grow_decodes(step_);
  cache_.release(slot.lease, grown_blocks(slot, slot.most_blocks), static_cast<std::int32_t>(published));
  running_.remove(slot);
  --in_flight_;
  const PlannedRequest& planned = *slot.planned;
  slot.next = spare_slot_;
  spare_slot_ = &slot;
  go_on_after(planned, now_us_, now_gradient_);
}

/// How many of a request's `blocks` were taken by decoding, beyond its lease.
template <class Scalar>
std::int64_t EngineCore<Scalar>::grown_blocks(const Slot& slot, std::int64_t blocks) const {
  const std::int64_t leased = std::int64_t{slot.lease.chain_blocks} + slot.lease.private_blocks;
  return std::max<std::int64_t>(0, blocks - leased);
}

/// Blocks ran out. True: a request was preempted for it. One that runs alone would only preempt itself again and again while
/// others wait with blocks that were read back, so those give theirs first.
template <class Scalar>
bool EngineCore<Scalar>::make_room(std::int64_t decode_tokens) {
  if (offload_ && running_.size == 1 && give_back_loaded()) return false;
  preempt_last(decode_tokens);
  return true;
}

/// A request that starts again later. Its full blocks keep their content until they are needed.
template <class Scalar>
void EngineCore<Scalar>::give_back_blocks(Slot& slot, std::int64_t grown, std::int64_t tokens_in_cache) {
  see_fullness();
  coming_blocks_ -= slot.most_blocks - slot.lease.chain_blocks - slot.lease.private_blocks - grown;
  slot.chain = cache_.release_preempted(slot.lease, grown, static_cast<std::int32_t>(block_.full(tokens_in_cache)));
  if (cache_.is_continuation(slot.chain)) slot.chain_tokens = slot.to_compute;
  slot.lease = {};
  slot.computed = 0;
}

/// vLLM's recompute preemption: the last admitted request gives its blocks back and waits in front. Its full blocks stay
/// cached until they are needed, so it may find some of them again. A decoding request has room for `decode_tokens` more
/// tokens than it has written.
template <class Scalar>
void EngineCore<Scalar>::preempt_last(std::int64_t decode_tokens) {
  ROOFTUNE_EXPECTS(running_.size > 0);
  Slot& slot = running_.last();
  std::int64_t tokens_in_cache = slot.computed + slot.chunk;
  std::int64_t room = tokens_in_cache;
  if (offload_) offload_preempted(slot, slot.decoding ? step_ + slot.context_offset : slot.computed);
  if (slot.decoding) {
    tokens_in_cache = step_ + slot.context_offset;
    room = tokens_in_cache + decode_tokens;
    slot.generated += static_cast<std::int32_t>(tokens_in_cache) - slot.to_compute;
    stop_decoding(slot, step_ + decode_tokens);
    finishing_.erase(slot);
  } else {
    std::erase(prefilling_, &slot);
  }
  slot.to_compute = slot.planned->prompt_tokens + slot.generated;
  give_back_blocks(slot, grown_blocks(slot, block_.holding(room)), tokens_in_cache);
  if (offload_ && offload_->is_continuation(slot.offload_chain)) slot.offload_tokens = slot.to_compute;
  slot.chunk = 0;
  ++slot.preemptions;
  ++counters.preemptions;
  running_.remove(slot);
  waiting_.prepend(slot);
}

/// The front end is linear in a request's lengths, so the sums take it at once.
template <class Scalar>
StageRecord<Scalar> EngineCore<Scalar>::end_stage() {
  record_.ttft_sum_us = Scalar(ttft_sum_us_);
  record_.e2e_sum_us = Scalar(e2e_sum_us_);
  record_.tpot_sum_us = Scalar(tpot_sum_us_);
  if constexpr (kDerivatives) {
    record_.ttft_sum_us.v = ttft_gradient_ - arrival_gradient_;
    record_.e2e_sum_us.v = e2e_gradient_ - arrival_gradient_;
    record_.tpot_sum_us.v = tpot_gradient_;
  }
  const auto finished = static_cast<double>(record_.finished);
  const Scalar before_us =
      finished * front_end.constant_us + static_cast<double>(record_.prompt_tokens) * front_end.per_prompt_token_us;
  record_.ttft_sum_us += before_us + finished * front_end.per_output_token_us;
  record_.e2e_sum_us += before_us + static_cast<double>(record_.output_tokens) * front_end.per_output_token_us;
  record_.tpot_sum_us += static_cast<double>(record_.finished - record_.single_token) * front_end.per_output_token_us;
  record_.last_finish_us = now_us_;
  counters.longest_queue = std::max(counters.longest_queue, record_.longest_queue);
  counters.steps = step_;
  counters.generated_tokens += record_.output_tokens + record_.warm_up_output_tokens;
  return std::move(record_);
}

template <class Scalar>
void EngineCore<Scalar>::observe(Observer* observer) {
  observer_ = observer;
  observes_steps_ = observer != nullptr && observer->wants_steps();
  if (observes_steps_) stepping = Stepping::plain;
}

template <class Scalar>
void EngineCore<Scalar>::List::insert_before(Slot& next, Slot& slot) {
  slot.previous = next.previous;
  slot.next = &next;
  slot.previous->next = &slot;
  next.previous = &slot;
  ++size;
}

template <class Scalar>
void EngineCore<Scalar>::List::remove(Slot& slot) {
  slot.previous->next = slot.next;
  slot.next->previous = slot.previous;
  --size;
}

}  // namespace

std::string_view rejection_text(RejectionReason reason) {
  switch (reason) {
    case RejectionReason::model_length: return "longer than max_model_len";
    case RejectionReason::kv_pool: return "larger than the KV pool";
  }
  return "";
}

template <class Scalar>
class Engine<Scalar>::Impl : public EngineCore<Scalar> {
 public:
  using EngineCore<Scalar>::EngineCore;
};

template <class Scalar>
Engine<Scalar>::Engine(const EngineSetup& setup, std::span<const PrefixChain> chains, latency::StepTime<Scalar>& step_time)
    : impl_(std::make_unique<Impl>(setup, chains, step_time)) {}

template <class Scalar>
Engine<Scalar>::~Engine() = default;

template <class Scalar>
void Engine<Scalar>::observe(Observer* observer) {
  impl_->observe(observer);
}

template <class Scalar>
void Engine<Scalar>::set_stepping(Stepping stepping) {
  impl_->stepping = stepping;
}

template <class Scalar>
void Engine<Scalar>::keep_latencies(bool keep) {
  impl_->keep_latencies = keep;
}

template <class Scalar>
void Engine<Scalar>::set_front_end(const FrontEnd<Scalar>& front_end) {
  impl_->front_end = front_end;
}

template <class Scalar>
void Engine<Scalar>::set_turnaround(const Scalar& turnaround_us) {
  impl_->turnaround_us = turnaround_us;
}

template <class Scalar>
void Engine<Scalar>::set_loading(const Scalar& us_per_block) {
  impl_->load_us_per_block = us_per_block;
}

template <class Scalar>
StageRecord<Scalar> Engine<Scalar>::run_stage(const StagePlan& plan, int concurrency, double start_us) {
  impl_->begin_stage(plan, concurrency, start_us);
  impl_->run_to(std::numeric_limits<double>::infinity());
  return impl_->end_stage();
}

template <class Scalar>
void Engine<Scalar>::begin_stage(double start_us, double requests_per_us, std::size_t most_requests) {
  impl_->begin_routed_stage(start_us, requests_per_us, most_requests);
}

template <class Scalar>
void Engine<Scalar>::run_to(double horizon_us) {
  impl_->run_to(horizon_us);
}

template <class Scalar>
void Engine<Scalar>::offer(const PlannedRequest& request) {
  impl_->offer(request);
}

template <class Scalar>
std::int64_t Engine<Scalar>::in_flight() const {
  return impl_->in_flight();
}

template <class Scalar>
StageRecord<Scalar> Engine<Scalar>::end_stage() {
  impl_->run_to(std::numeric_limits<double>::infinity());
  return impl_->end_stage();
}

template <class Scalar>
void Engine<Scalar>::leave_out(std::int64_t warm_up_requests) {
  impl_->warm_up_requests = warm_up_requests;
}

template <class Scalar>
void Engine<Scalar>::limit_events(std::int64_t most) {
  impl_->most_advances = most;
}

template <class Scalar>
bool Engine<Scalar>::out_of_events() const {
  return impl_->out_of_events();
}

template <class Scalar>
const EngineCounters& Engine<Scalar>::counters() const {
  return impl_->counters;
}

template class Engine<double>;
template class Engine<core::Dual<core::kNarrowWidth>>;
template class Engine<core::Dual<core::kMediumWidth>>;
template class Engine<core::Dual<core::kWideWidth>>;

}  // namespace rooftune::sim
