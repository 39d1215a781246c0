#include "rooftune/sim/engine.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "finish_queue.hpp"
#include "rooftune/core/contract.hpp"

namespace rooftune::sim {
namespace {

using core::value_of;
using latency::PrefillChunk;

template <class T>
constexpr std::size_t at(T index) {
  return static_cast<std::size_t>(index);
}

/// Smallest k >= 1 with k * first + increment * k (k - 1) / 2 >= gap: in which of the coming steps an arrival falls.
std::int64_t steps_until(double gap_us, double first_us, double increment_us, std::int64_t limit) {
  if (gap_us <= first_us || limit <= 1) return 1;
  const auto elapsed = [&](std::int64_t k) {
    const auto steps = static_cast<double>(k);
    return steps * first_us + increment_us * (0.5 * steps * (steps - 1.0));
  };
  if (elapsed(limit) < gap_us) return limit;
  const double b = first_us - 0.5 * increment_us;
  const double root = 2.0 * gap_us / (b + std::sqrt(std::max(0.0, b * b + 2.0 * increment_us * gap_us)));
  std::int64_t k = std::clamp(static_cast<std::int64_t>(std::ceil(root)), std::int64_t{1}, limit);
  while (k > 1 && elapsed(k - 1) >= gap_us) --k;
  while (k < limit && elapsed(k) < gap_us) ++k;
  return k;
}

/// A stretch of steps with linearly growing duration.
template <class Scalar>
struct Stretch {
  Scalar first_us{0.0};
  Scalar increment_us{0.0};  ///< per step
  std::int64_t valid_steps = 1;
};

enum class Blocked { no, by_tokens, by_capacity };

}  // namespace

template <class Scalar>
class Engine<Scalar>::Impl {
 public:
  Impl(const EngineSetup& setup, std::span<const PrefixChain> chains, latency::StepTime<Scalar>& step_time)
      : setup_(setup),
        step_time_(step_time),
        cache_(setup.kv_blocks, setup.block_tokens, chains, setup.prefix_caching),
        phase_(at(setup.block_tokens), 0) {}

  StageRecord<Scalar> run_stage(const StagePlan& plan, int concurrency, double start_us);

  Observer* observer = nullptr;
  Stepping stepping = Stepping::closed_form;
  bool keep_latencies = false;
  FrontEnd<Scalar> front_end;
  EngineCounters counters;

 private:
  static constexpr bool kDerivatives = core::carries_derivatives<Scalar>;

  /// A request that has arrived and not yet finished.
  struct Slot {
    const PlannedRequest* request = nullptr;
    std::int64_t index = 0;
    Scalar anchor{0.0};       ///< arrival; its derivative is the clock's at that moment
    Scalar first_token{0.0};
    Scalar mass{0.0};         ///< derivative of the expected number of requests that this one stands for
    KvLease lease;
    std::int32_t chain = -1;
    std::int32_t chain_tokens = 0;
    std::int32_t output_tokens = 0;
    std::int32_t generated = 0;
    std::int32_t to_compute = 0;   ///< prompt tokens, and after a preemption the generated ones again
    std::int32_t computed = 0;     ///< tokens in the KV cache while prefilling
    std::int32_t chunk = 0;        ///< tokens of the next step; 0: not assigned yet
    std::int64_t context_offset = 0;  ///< decoding: context = step + context_offset
    std::int32_t cached = 0;
    std::int32_t preemptions = 0;
    std::int32_t version = 0;
    std::int32_t previous = -1;
    std::int32_t next = -1;
    bool decoding = false;
    bool has_first_token = false;
  };

  struct List {
    std::int32_t head = -1;
    std::int32_t tail = -1;
    std::int64_t size = 0;
  };

  // --- the story of one stage, in order of appearance ---
  void start_stage(double start_us);
  void idle_until(double time_us);
  void take_arrivals(const Scalar& step_start, const Scalar& step_us);
  void join_pending();
  bool secure_blocks();
  void admit();
  Stretch<Scalar> stretch();
  std::int64_t steps_to_next_event(const Stretch<Scalar>& stretch);
  void advance(const Stretch<Scalar>& stretch, std::int64_t steps);
  void finish_prefills();
  void complete_finished();
  void add_front_end();

  // --- verbs ---
  std::int32_t arrive(const Scalar& anchor, const Scalar& mass);
  void start_decoding(std::int32_t id);
  void stop_decoding(Slot& slot);
  void complete(std::int32_t id);
  void preempt_last();
  void release_blocks(Slot& slot, std::int64_t tokens_in_cache, std::int64_t published_tokens);
  bool try_admit(std::int32_t id, std::int64_t budget, std::int64_t reserved_blocks, Blocked& blocked);
  [[nodiscard]] std::int64_t tokens_of_next_step();
  [[nodiscard]] std::int64_t growth(std::int64_t steps) const;
  [[nodiscard]] std::int64_t steps_within_pool(std::int64_t steps) const;
  [[nodiscard]] latency::Batch batch();
  [[nodiscard]] std::int64_t blocks_for(std::int64_t tokens) const { return (tokens + setup_.block_tokens - 1) / setup_.block_tokens; }
  [[nodiscard]] bool closed_loop() const { return concurrency_ > 0; }
  [[nodiscard]] FinishQueue::Entry next_to_finish() {
    return finishing_.top([this](const FinishQueue::Entry& entry) { return slots_[at(entry.slot)].version != entry.version; });
  }
  void append(List& list, std::int32_t id);
  void prepend(List& list, std::int32_t id);
  void remove(List& list, std::int32_t id);

  EngineSetup setup_;
  latency::StepTime<Scalar>& step_time_;
  KvCache cache_;

  Scalar now_{0.0};
  std::int64_t step_ = 0;  ///< index of the step that starts at now_

  std::vector<Slot> slots_;
  std::vector<std::int32_t> spare_slots_;
  List running_;  ///< in order of admission
  List waiting_;  ///< arrived, in order of service
  std::vector<std::int32_t> pending_;     ///< admitted, joining the next step
  std::vector<std::int32_t> prefilling_;  ///< running requests whose prompt is not complete
  std::vector<PrefillChunk> chunks_;
  std::vector<std::int64_t> contexts_;
  FinishQueue finishing_;

  // Sums over the decoding requests.
  std::int64_t decoding_ = 0;
  std::int64_t offset_sum_ = 0;
  std::vector<std::int64_t> phase_;  ///< decoding requests by context_offset modulo the block size
  Scalar mass_sum_{0.0};
  Scalar mass_offset_sum_{0.0};

  // The stage that runs.
  const StagePlan* plan_ = nullptr;
  StageRecord<Scalar> record_;
  std::int64_t next_arrival_ = 0;
  double stage_start_us_ = 0.0;
  int concurrency_ = 0;
  int stage_index_ = -1;

  // Derivative bookkeeping.
  Blocked blocked_ = Blocked::no;
  Scalar queue_anchor_{0.0};      ///< where the present queue began
  Scalar mass_reference_{0.0};    ///< clock at the last arrival
  Scalar mass_carry_{0.0};        ///< clock derivative gathered since then, before an idle period reset the clock
};

template <class Scalar>
StageRecord<Scalar> Engine<Scalar>::Impl::run_stage(const StagePlan& plan, int concurrency, double start_us) {
  plan_ = &plan;
  concurrency_ = concurrency;
  start_stage(start_us);
  while (true) {
    if (running_.size == 0 && pending_.empty() && waiting_.size == 0) {
      if (next_arrival_ == static_cast<std::int64_t>(plan.requests.size())) break;
      idle_until(stage_start_us_ + plan.requests[at(next_arrival_)].arrival_us);
    }
    join_pending();
    if (!secure_blocks()) admit();
    if (running_.size == 0) continue;
    const Stretch<Scalar> stretch = this->stretch();
    advance(stretch, steps_to_next_event(stretch));
    finish_prefills();
    complete_finished();
  }
  add_front_end();
  record_.last_finish_us = value_of(now_);
  return std::move(record_);
}

template <class Scalar>
void Engine<Scalar>::Impl::start_stage(double start_us) {
  ++stage_index_;
  record_ = {};
  if (keep_latencies) {
    record_.ttft_us.reserve(plan_->requests.size());
    record_.e2e_us.reserve(plan_->requests.size());
  }
  next_arrival_ = 0;
  stage_start_us_ = std::max(start_us, value_of(now_));
  now_ = Scalar(stage_start_us_);
  mass_reference_ = now_;
  mass_carry_ = Scalar(0.0);
  blocked_ = Blocked::no;
  record_.first_arrival_us = stage_start_us_ + (plan_->requests.empty() ? 0.0 : plan_->requests.front().arrival_us);
}

/// Nothing to do until `time_us`: the clock starts anew there, without a derivative.
template <class Scalar>
void Engine<Scalar>::Impl::idle_until(double time_us) {
  if constexpr (kDerivatives) {
    mass_carry_.v += now_.v - mass_reference_.v;
    mass_reference_.v.setZero();
  }
  now_ = Scalar(std::max(time_us, value_of(now_)));
  blocked_ = Blocked::no;
  const auto count = closed_loop() ? std::min<std::int64_t>(concurrency_, std::ssize(plan_->requests)) : std::int64_t{0};
  if (closed_loop()) {
    while (next_arrival_ < count) arrive(now_, Scalar(0.0));
  } else {
    take_arrivals(now_, Scalar(0.0));
  }
}

/// Lets everything arrive that was sent up to now_, during the step that began at `step_start` and took `step_us`.
template <class Scalar>
void Engine<Scalar>::Impl::take_arrivals(const Scalar& step_start, const Scalar& step_us) {
  if (closed_loop()) return;
  const double now_us = value_of(now_);
  const std::int64_t planned = std::ssize(plan_->requests);
  while (next_arrival_ < planned) {
    const double arrival_us = stage_start_us_ + plan_->requests[at(next_arrival_)].arrival_us;
    if (arrival_us > now_us) return;
    Scalar anchor(arrival_us);
    Scalar mass(0.0);
    if constexpr (kDerivatives) {
      if (blocked_ != Blocked::no) {
        anchor.v = queue_anchor_.v;
      } else {
        const double duration_us = value_of(step_us);
        const double share = duration_us > 0.0 ? (arrival_us - value_of(step_start)) / duration_us : 0.0;
        anchor.v = step_start.v + share * step_us.v;
        mass.v = plan_->requests_per_us * (mass_carry_.v + anchor.v - mass_reference_.v);
      }
      mass_reference_ = anchor;
      mass_carry_ = Scalar(0.0);
    }
    arrive(anchor, mass);
  }
}

template <class Scalar>
std::int32_t Engine<Scalar>::Impl::arrive(const Scalar& anchor, const Scalar& mass) {
  const PlannedRequest& request = plan_->requests[at(next_arrival_)];
  const std::int64_t index = next_arrival_++;
  const std::int64_t output = std::min<std::int64_t>(request.output_tokens, setup_.max_model_len - request.prompt_tokens);
  // The engine refuses what can never run: a prompt without room for one token, or more blocks than there are.
  if (output < 1 || blocks_for(request.prompt_tokens + output - 1) > cache_.total_blocks()) {
    ++record_.rejected;
    ++counters.rejected;
    return -1;
  }
  std::int32_t id = 0;
  if (spare_slots_.empty()) {
    id = static_cast<std::int32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    id = spare_slots_.back();
    spare_slots_.pop_back();
  }
  Slot& slot = slots_[at(id)];
  const std::int32_t version = slot.version;
  slot = {};
  slot.version = version;
  slot.request = &request;
  slot.index = index;
  slot.anchor = anchor;
  slot.mass = mass;
  slot.chain = request.chain;
  slot.chain_tokens = request.chain_tokens;
  slot.output_tokens = static_cast<std::int32_t>(output);
  slot.to_compute = request.prompt_tokens;
  append(waiting_, id);
  record_.longest_queue = std::max(record_.longest_queue, waiting_.size);
  return id;
}

template <class Scalar>
void Engine<Scalar>::Impl::join_pending() {
  for (const std::int32_t id : pending_) {
    append(running_, id);
    prefilling_.push_back(id);
  }
  pending_.clear();
}

/// Allocates what the coming step writes, preempting the last admitted requests when blocks run out. True if it did.
template <class Scalar>
bool Engine<Scalar>::Impl::secure_blocks() {
  bool preempted = false;
  std::int64_t budget = setup_.max_num_batched_tokens - decoding_;
  for (const std::int32_t id : prefilling_) budget -= slots_[at(id)].chunk;
  for (std::size_t i = 0; i < prefilling_.size();) {
    const std::int32_t id = prefilling_[i];
    Slot& slot = slots_[at(id)];
    if (slot.chunk == 0) {
      std::int64_t chunk = std::min<std::int64_t>(slot.to_compute - slot.computed, budget);
      if (setup_.long_prefill_token_threshold > 0) chunk = std::min<std::int64_t>(chunk, setup_.long_prefill_token_threshold);
      const std::int64_t blocks = blocks_for(slot.computed + chunk) - blocks_for(slot.computed);
      if (chunk > 0 && blocks > cache_.free_blocks()) {
        preempt_last();
        preempted = true;
        continue;  // the same index: either the request itself is gone, or there is room now
      }
      if (chunk > 0) {
        cache_.extend(slot.lease, static_cast<std::int32_t>(blocks), slot.chain_tokens / setup_.block_tokens);
        slot.chunk = static_cast<std::int32_t>(chunk);
        budget -= chunk;
      }
    }
    ++i;
  }
  while (growth(1) > cache_.free_blocks()) {
    preempt_last();
    preempted = true;
  }
  return preempted;
}

/// Tokens that the step after the coming one is already bound to process.
template <class Scalar>
std::int64_t Engine<Scalar>::Impl::tokens_of_next_step() {
  std::int64_t tokens = decoding_ - (next_to_finish().finish_step == step_ ? 1 : 0);
  for (const std::int32_t id : prefilling_) {
    const Slot& slot = slots_[at(id)];
    const std::int64_t left = slot.to_compute - slot.computed - slot.chunk;
    tokens += left > 0 ? left : (slot.generated + 1 < slot.output_tokens ? 1 : 0);
  }
  return tokens;
}

/// Admits waiting requests: into the coming step when the engine is idle or schedules synchronously, else into the one
/// after, because the scheduler works one step ahead.
template <class Scalar>
void Engine<Scalar>::Impl::admit() {
  blocked_ = Blocked::no;
  if (waiting_.size == 0) return;
  const bool ahead = setup_.async_scheduling && running_.size > 0;
  std::int64_t used = 0;
  if (ahead) {
    used = tokens_of_next_step();
  } else {
    used = decoding_;
    for (const std::int32_t id : prefilling_) used += slots_[at(id)].chunk;
  }
  std::int64_t budget = setup_.max_num_batched_tokens - used;
  // Running requests come first: what they take until the newcomers join is not to be had.
  const std::int64_t reserved_blocks = growth(ahead ? 2 : 1);
  while (waiting_.size > 0) {
    const std::int32_t id = waiting_.head;
    if (running_.size + std::ssize(pending_) >= setup_.max_num_seqs) {
      blocked_ = Blocked::by_capacity;
    } else if (budget <= 0) {
      blocked_ = Blocked::by_tokens;
    } else {
      try_admit(id, budget, reserved_blocks, blocked_);
    }
    if (blocked_ != Blocked::no) break;
    remove(waiting_, id);
    budget -= slots_[at(id)].chunk;
    if (ahead) {
      pending_.push_back(id);
    } else {
      append(running_, id);
      prefilling_.push_back(id);
    }
  }
  if constexpr (kDerivatives) {
    // queue_anchor_ stays where the queue began for as long as it lasts; it is renewed by the first request of the next one.
    if (blocked_ != Blocked::no) queue_anchor_ = slots_[at(waiting_.head)].anchor;
  }
}

template <class Scalar>
bool Engine<Scalar>::Impl::try_admit(std::int32_t id, std::int64_t budget, std::int64_t reserved_blocks, Blocked& blocked) {
  Slot& slot = slots_[at(id)];
  // At least the last token is computed, whatever is cached.
  const std::int32_t hit_limit = std::min(slot.chain_tokens, slot.to_compute - 1);
  const std::int32_t hit_blocks = cache_.resident_blocks(slot.chain, hit_limit);
  const std::int64_t hit_tokens = std::int64_t{hit_blocks} * setup_.block_tokens;
  std::int64_t chunk = slot.to_compute - hit_tokens;
  if (setup_.long_prefill_token_threshold > 0) chunk = std::min<std::int64_t>(chunk, setup_.long_prefill_token_threshold);
  if (!setup_.chunked_prefill && chunk > budget) {
    // Without chunking a prompt longer than the whole budget could never start; the engine then takes it alone.
    if (budget < setup_.max_num_batched_tokens) {
      blocked = Blocked::by_tokens;
      return false;
    }
  } else {
    chunk = std::min(chunk, budget);
  }
  const std::int64_t blocks = blocks_for(hit_tokens + chunk) - hit_blocks;
  if (blocks > cache_.free_blocks() - cache_.idle_blocks(slot.chain) - reserved_blocks) {
    blocked = Blocked::by_capacity;
    return false;
  }
  slot.lease = cache_.acquire(slot.chain, hit_blocks);
  cache_.extend(slot.lease, static_cast<std::int32_t>(blocks), slot.chain_tokens / setup_.block_tokens);
  slot.computed = static_cast<std::int32_t>(hit_tokens);
  slot.chunk = static_cast<std::int32_t>(chunk);
  if (slot.preemptions == 0) slot.cached = slot.computed;
  counters.cached_tokens += hit_tokens;
  counters.prompt_tokens += slot.to_compute;
  return true;
}

template <class Scalar>
latency::Batch Engine<Scalar>::Impl::batch() {
  chunks_.clear();
  for (const std::int32_t id : prefilling_) {
    const Slot& slot = slots_[at(id)];
    if (slot.chunk > 0) chunks_.push_back({.context_tokens = slot.computed, .new_tokens = slot.chunk});
  }
  latency::Batch batch;
  batch.prefills = chunks_;
  batch.decode_requests = decoding_;
  batch.decode_context_tokens = decoding_ * step_ + offset_sum_;
  if (step_time_.wants_decode_contexts()) {
    contexts_.clear();
    for (std::int32_t id = running_.head; id >= 0; id = slots_[at(id)].next) {
      if (slots_[at(id)].decoding) contexts_.push_back(step_ + slots_[at(id)].context_offset);
    }
    batch.decode_contexts = contexts_;
    batch.decode_max_context_tokens = contexts_.empty() ? 0 : *std::ranges::max_element(contexts_);
  }
  return batch;
}

/// The coming steps as the model sees them, with the masses' share of the derivative.
template <class Scalar>
Stretch<Scalar> Engine<Scalar>::Impl::stretch() {
  latency::Batch batch = this->batch();
  const latency::StepPiece<Scalar> piece = step_time_.piece(batch);
  Stretch<Scalar> stretch{.first_us = piece.duration_us,
                          .increment_us = piece.slope_us_per_token * static_cast<double>(decoding_),
                          .valid_steps = piece.valid_steps};
  if constexpr (kDerivatives) {
    if (decoding_ > 0) {
      const double slope = value_of(piece.slope_us_per_token);
      const double per_request = step_time_.decode_marginal_us(batch);
      stretch.first_us.v += per_request * mass_sum_.v + slope * (mass_offset_sum_.v + static_cast<double>(step_) * mass_sum_.v);
      stretch.increment_us.v += slope * mass_sum_.v;
    }
    if (!batch.prefills.empty()) {
      // More requests than one may stand behind a prefill: what it adds to the step weighs with its mass.
      Scalar prefill_mass(0.0);
      for (const std::int32_t id : prefilling_) prefill_mass.v += slots_[at(id)].mass.v;
      const double chunks = static_cast<double>(batch.prefills.size());
      double without_us = 0.0;
      if (decoding_ > 0) {
        latency::Batch decodes = batch;
        decodes.prefills = {};
        without_us = value_of(step_time_.piece(decodes).duration_us);
      }
      stretch.first_us.v += (value_of(piece.duration_us) - without_us) / chunks * prefill_mass.v;
    }
  }
  return stretch;
}

/// Blocks that the decoding requests take in the coming steps.
template <class Scalar>
std::int64_t Engine<Scalar>::Impl::growth(std::int64_t steps) const {
  const std::int64_t size = setup_.block_tokens;
  std::int64_t blocks = (steps / size) * decoding_;
  const std::int64_t first = step_ % size;
  for (std::int64_t i = 0; i < steps % size; ++i) {
    // A request takes a block in a step whose context is a multiple of the block size.
    const std::int64_t phase = (2 * size - first - i) % size;
    blocks += phase_[at(phase)];
  }
  return blocks;
}

/// The largest number of steps, at most `steps`, for which the pool has blocks.
template <class Scalar>
std::int64_t Engine<Scalar>::Impl::steps_within_pool(std::int64_t steps) const {
  const std::int64_t free = cache_.free_blocks();
  if ((steps / setup_.block_tokens + 1) * decoding_ <= free || growth(steps) <= free) return steps;
  std::int64_t fits = 1;
  std::int64_t too_many = steps;
  while (too_many - fits > 1) {
    const std::int64_t middle = fits + (too_many - fits) / 2;
    (growth(middle) <= free ? fits : too_many) = middle;
  }
  return fits;
}

template <class Scalar>
std::int64_t Engine<Scalar>::Impl::steps_to_next_event(const Stretch<Scalar>& stretch) {
  const bool only_decoding = prefilling_.empty() && pending_.empty() && (waiting_.size == 0 || blocked_ == Blocked::by_capacity);
  if (!only_decoding || stepping == Stepping::plain) return 1;
  std::int64_t steps = std::min(stretch.valid_steps, next_to_finish().finish_step - step_ + 1);
  if (waiting_.size == 0 && !closed_loop() && next_arrival_ < std::ssize(plan_->requests)) {
    const double gap_us = stage_start_us_ + plan_->requests[at(next_arrival_)].arrival_us - value_of(now_);
    steps = steps_until(gap_us, value_of(stretch.first_us), value_of(stretch.increment_us), steps);
  }
  return steps_within_pool(std::max<std::int64_t>(1, steps));
}

template <class Scalar>
void Engine<Scalar>::Impl::advance(const Stretch<Scalar>& stretch, std::int64_t steps) {
  const std::int64_t grown = growth(steps);
  if (grown > 0) cache_.grow(grown);
  if (observer != nullptr && observer->wants_steps()) {
    const latency::Batch batch = this->batch();
    observer->on_step({.start_us = value_of(now_),
                       .duration_us = value_of(stretch.first_us),
                       .batch = batch,
                       .waiting = waiting_.size,
                       .kv_blocks_in_use = cache_.total_blocks() - cache_.free_blocks()});
  }
  const auto before_last = static_cast<double>(steps - 1);
  const double start_us = value_of(now_);
  Scalar last_step = stretch.first_us;
  if (steps > 1) {
    now_ += before_last * stretch.first_us + (0.5 * before_last * (before_last - 1.0)) * stretch.increment_us;
    last_step += before_last * stretch.increment_us;
  }
  const Scalar last_start = now_;
  now_ += last_step;
  step_ += steps;
  const double elapsed_us = value_of(now_) - start_us;
  counters.steps += steps;
  ++counters.advances;
  counters.busy_us += elapsed_us;
  counters.batch_time_us += elapsed_us * static_cast<double>(running_.size);
  counters.largest_batch = std::max(counters.largest_batch, running_.size);
  take_arrivals(last_start, last_step);
}

/// Prompts that are complete yield their first token at the step's end.
template <class Scalar>
void Engine<Scalar>::Impl::finish_prefills() {
  if (prefilling_.empty()) return;
  std::size_t kept = 0;
  for (const std::int32_t id : prefilling_) {
    Slot& slot = slots_[at(id)];
    slot.computed += slot.chunk;
    slot.chunk = 0;
    if (slot.computed < slot.to_compute) {
      prefilling_[kept++] = id;
      continue;
    }
    if (!slot.has_first_token) {
      slot.has_first_token = true;
      slot.first_token = now_;
    }
    if (++slot.generated == slot.output_tokens) {
      complete(id);
    } else {
      start_decoding(id);
    }
  }
  prefilling_.resize(kept);
}

template <class Scalar>
void Engine<Scalar>::Impl::start_decoding(std::int32_t id) {
  Slot& slot = slots_[at(id)];
  slot.decoding = true;
  slot.context_offset = slot.computed - step_;
  const std::int64_t size = setup_.block_tokens;
  ++phase_[at((slot.context_offset % size + size) % size)];
  ++decoding_;
  offset_sum_ += slot.context_offset;
  if constexpr (kDerivatives) {
    mass_sum_.v += slot.mass.v;
    mass_offset_sum_.v += static_cast<double>(slot.context_offset) * slot.mass.v;
  }
  finishing_.push({.finish_step = step_ + slot.output_tokens - slot.generated - 1, .slot = id, .version = slot.version});
}

template <class Scalar>
void Engine<Scalar>::Impl::stop_decoding(Slot& slot) {
  slot.decoding = false;
  const std::int64_t size = setup_.block_tokens;
  --phase_[at((slot.context_offset % size + size) % size)];
  --decoding_;
  offset_sum_ -= slot.context_offset;
  if constexpr (kDerivatives) {
    mass_sum_.v -= slot.mass.v;
    mass_offset_sum_.v -= static_cast<double>(slot.context_offset) * slot.mass.v;
  }
}

/// The front end is linear in a request's lengths, so the sums take it at once.
template <class Scalar>
void Engine<Scalar>::Impl::add_front_end() {
  const auto finished = static_cast<double>(record_.finished);
  const Scalar before_us = finished * front_end.constant_us + record_.prompt_tokens_sum * front_end.per_prompt_token_us;
  record_.ttft_sum_us += before_us + finished * front_end.per_output_token_us;
  record_.e2e_sum_us += before_us + record_.output_tokens_sum * front_end.per_output_token_us;
  record_.tpot_sum_us += static_cast<double>(record_.finished - record_.single_token) * front_end.per_output_token_us;
}

template <class Scalar>
void Engine<Scalar>::Impl::complete_finished() {
  for (FinishQueue::Entry entry = next_to_finish(); entry.finish_step < step_; entry = next_to_finish()) {
    finishing_.pop(entry);
    Slot& slot = slots_[at(entry.slot)];
    slot.computed = static_cast<std::int32_t>(step_ + slot.context_offset);
    slot.generated = slot.output_tokens;
    stop_decoding(slot);
    complete(entry.slot);
  }
}

template <class Scalar>
void Engine<Scalar>::Impl::complete(std::int32_t id) {
  Slot& slot = slots_[at(id)];
  const Scalar ttft = slot.first_token - slot.anchor;
  const Scalar e2e = now_ - slot.anchor;
  ++record_.finished;
  record_.ttft_sum_us += ttft;
  record_.e2e_sum_us += e2e;
  if (slot.output_tokens > 1) {
    record_.tpot_sum_us += (now_ - slot.first_token) * (1.0 / (slot.output_tokens - 1));
  } else {
    ++record_.single_token;
  }
  record_.prompt_tokens_sum += slot.request->prompt_tokens;
  record_.output_tokens_sum += slot.output_tokens;
  counters.generated_tokens += slot.output_tokens;
  if (keep_latencies) {
    const double before_us =
        value_of(front_end.constant_us) + value_of(front_end.per_prompt_token_us) * slot.request->prompt_tokens;
    const double token_us = value_of(front_end.per_output_token_us);
    record_.ttft_us.push_back(value_of(ttft) + before_us + token_us);
    record_.e2e_us.push_back(value_of(e2e) + before_us + token_us * slot.output_tokens);
  }
  if (observer != nullptr) {
    observer->on_finished({.stage = stage_index_,
                           .index = slot.index,
                           .arrival_us = value_of(slot.anchor),
                           .first_token_us = value_of(slot.first_token),
                           .finished_us = value_of(now_),
                           .prompt_tokens = slot.request->prompt_tokens,
                           .cached_tokens = slot.cached,
                           .output_tokens = slot.output_tokens,
                           .preemptions = slot.preemptions});
  }
  release_blocks(slot, slot.computed, slot.request->extends_chain && slot.preemptions == 0 ? slot.computed : 0);
  remove(running_, id);
  ++slot.version;
  spare_slots_.push_back(id);
  if (closed_loop() && next_arrival_ < std::ssize(plan_->requests)) arrive(now_, Scalar(0.0));
}

/// Gives back everything a request holds. Its first `published_tokens` tokens continue its chain for later requests.
template <class Scalar>
void Engine<Scalar>::Impl::release_blocks(Slot& slot, std::int64_t tokens_in_cache, std::int64_t published_tokens) {
  const std::int64_t known = std::int64_t{slot.lease.chain_blocks} + slot.lease.private_blocks;
  const std::int64_t grown = std::max<std::int64_t>(0, blocks_for(tokens_in_cache) - known);
  const std::int64_t published = published_tokens / setup_.block_tokens - slot.lease.chain_blocks;
  cache_.release(slot.lease, grown, std::max<std::int64_t>(0, published));
  slot.lease = {};
}

/// vLLM's recompute preemption: the last admitted request gives its blocks back and waits in front. Its full blocks stay
/// cached until they are needed, so it may find some of them again.
template <class Scalar>
void Engine<Scalar>::Impl::preempt_last() {
  ROOFTUNE_EXPECTS(running_.size > 0);
  const std::int32_t id = running_.tail;
  Slot& slot = slots_[at(id)];
  std::int64_t tokens_in_cache = slot.computed + slot.chunk;
  if (slot.decoding) {
    tokens_in_cache = step_ + slot.context_offset;
    slot.generated = static_cast<std::int32_t>(tokens_in_cache) - slot.to_compute + slot.generated;
    stop_decoding(slot);
  } else {
    std::erase(prefilling_, id);
  }
  if (setup_.prefix_caching) {
    // Its own continuation becomes a chain of its own that only the request itself looks up again.
    const std::int32_t shared_tokens = slot.lease.chain_blocks * setup_.block_tokens;
    const KvLease held = slot.lease;
    const std::int64_t known = std::int64_t{held.chain_blocks} + held.private_blocks;
    const std::int64_t grown = std::max<std::int64_t>(0, blocks_for(tokens_in_cache) - known);
    const std::int32_t own = cache_.add_chain(slot.chain, shared_tokens);
    cache_.release_as(held, grown, own, tokens_in_cache / setup_.block_tokens - held.chain_blocks);
    slot.chain = own;
  } else {
    release_blocks(slot, tokens_in_cache, 0);
  }
  slot.lease = {};
  slot.to_compute = slot.request->prompt_tokens + slot.generated;
  slot.chain_tokens = slot.to_compute;
  slot.computed = 0;
  slot.chunk = 0;
  ++slot.preemptions;
  ++slot.version;
  ++counters.preemptions;
  remove(running_, id);
  prepend(waiting_, id);
}

template <class Scalar>
void Engine<Scalar>::Impl::append(List& list, std::int32_t id) {
  Slot& slot = slots_[at(id)];
  slot.previous = list.tail;
  slot.next = -1;
  if (list.tail >= 0) slots_[at(list.tail)].next = id;
  list.tail = id;
  if (list.head < 0) list.head = id;
  ++list.size;
}

template <class Scalar>
void Engine<Scalar>::Impl::prepend(List& list, std::int32_t id) {
  Slot& slot = slots_[at(id)];
  slot.previous = -1;
  slot.next = list.head;
  if (list.head >= 0) slots_[at(list.head)].previous = id;
  list.head = id;
  if (list.tail < 0) list.tail = id;
  ++list.size;
}

template <class Scalar>
void Engine<Scalar>::Impl::remove(List& list, std::int32_t id) {
  const Slot& slot = slots_[at(id)];
  if (slot.previous >= 0) slots_[at(slot.previous)].next = slot.next;
  if (slot.next >= 0) slots_[at(slot.next)].previous = slot.previous;
  if (list.head == id) list.head = slot.next;
  if (list.tail == id) list.tail = slot.previous;
  --list.size;
}

template <class Scalar>
Engine<Scalar>::Engine(const EngineSetup& setup, std::span<const PrefixChain> chains, latency::StepTime<Scalar>& step_time)
    : impl_(std::make_unique<Impl>(setup, chains, step_time)) {}

template <class Scalar>
Engine<Scalar>::~Engine() = default;

template <class Scalar>
void Engine<Scalar>::observe(Observer* observer) {
  impl_->observer = observer;
  if (observer != nullptr && observer->wants_steps()) impl_->stepping = Stepping::plain;
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
StageRecord<Scalar> Engine<Scalar>::run_stage(const StagePlan& plan, int concurrency, double start_us) {
  return impl_->run_stage(plan, concurrency, start_us);
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
