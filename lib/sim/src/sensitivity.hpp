#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "request.hpp"
#include "rooftune/core/derivative.hpp"
#include "rooftune/latency/step_time.hpp"
#include "rooftune/sim/engine.hpp"
#include "scheduler.hpp"
#include "stretch.hpp"

/// What rides along with the values of a simulation. The engine tells a sensitivity what happens, in order; it decides nothing.
/// `NoSensitivity` ignores everything: plain numbers. `PathSensitivity` follows the derivatives of the clock, of the latency sums
/// and of the requests' masses (docs/adr/0007).
namespace rooftune::sim {

/// The batch of a step, and who prefills in it.
struct RunningBatch {
  const latency::Batch& batch;
  const std::vector<Chunk>& chunks;
  std::int64_t step = 0;
  double growth;  ///< tokens that the decodes get in a step, together
};

class NoSensitivity {
 public:
  static constexpr bool kFollowsRequests = false;
  explicit NoSensitivity(const EngineOptions<double>& /*options*/) {}

  void begin_stage(double /*requests_per_us*/) {}
  void add_slot() {}

  // --- the clock ---
  void see_stretch(const Stretch& /*stretch*/, const latency::StepPiece<double>& /*piece*/, latency::StepTime<double>& /*model*/,
                   const RunningBatch& /*batch*/) {}
  void advance(const Stretch& /*stretch*/, std::int64_t /*steps*/) {}
  void idle_until_planned() {}
  void idle_until_reply(std::int64_t /*reply*/) {}
  void idle_until_loaded(const Slot& /*slot*/) {}
  void idle_as(const NoSensitivity& /*other*/) {}
  [[nodiscard]] std::int64_t take_over(NoSensitivity& /*other*/, std::int64_t reply) { return reply; }

  // --- requests ---
  [[nodiscard]] std::int64_t replied(std::int64_t /*step*/) { return 0; }
  void not_followed(std::int64_t /*reply*/) {}
  void arrive(Slot* /*slot*/, bool /*counts*/, const Stretch& /*stretch*/, double /*rest_of_step*/) {}
  void arrive_after(Slot* /*slot*/, bool /*counts*/, std::int64_t /*reply*/, std::int64_t /*step*/, const Stretch& /*stretch*/,
                    double /*rest_of_step*/) {}
  void admit(const Slot& /*slot*/, bool /*counts*/) {}
  void see_queue(Blocked /*blocked*/, SlotList& /*waiting*/) {}
  void begin_loading(const Slot& /*slot*/, const Slot* /*before*/, std::int64_t /*blocks*/) {}
  void first_token(const Slot& /*slot*/) {}
  void start_decoding(const Slot& /*slot*/) {}
  void stop_decoding(const Slot& /*slot*/) {}
  void start_decoding(const Slot& /*slot*/, const ContextLine& /*line*/) {}
  void stop_decoding(const Slot& /*slot*/, const ContextLine& /*line*/) {}
  void finish(const Slot& /*slot*/) {}
  void record(const Slot& /*slot*/) {}

  /// Gives the sums of the record, which hold values, their derivatives.
  void finish_record(StageRecord<double>& /*record*/) const {}
};

/// Infinitesimal perturbation analysis with three corrections (docs/adr/0007): arrivals are anchored inside the running step at
/// their phase; every request carries a mass, by how much the expected number of arrivals in its gap grows when steps take
/// longer; whoever had to wait for room is anchored where the one was whose end made it.
template <class Scalar>
class PathSensitivity {
 public:
  static constexpr bool kFollowsRequests = true;
  explicit PathSensitivity(const EngineOptions<Scalar>& options)
      : turnaround_(options.turnaround_us.v), load_per_block_(options.load_us_per_block.v) {}

  void begin_stage(double requests_per_us) {
    requests_per_us_ = requests_per_us;
    for (Gradient* gradient : {&now_, &arrivals_, &ttft_, &e2e_, &tpot_, &mass_sum_, &mass_offset_sum_, &mass_growth_sum_, &queue_,
                               &room_, &mass_reference_}) {
      gradient->setZero();
    }
    blocked_ = Blocked::no;
  }
  void add_slot() { requests_.emplace_back(); }

  // --- the clock ---

  /// The model's derivatives, and the masses' share: more requests than one may stand behind a decode or a prefill, and what
  /// it adds to the step weighs with that.
  void see_stretch(const Stretch& stretch, const latency::StepPiece<Scalar>& piece, latency::StepTime<Scalar>& model,
                   const RunningBatch& running) {
    const latency::Batch& batch = running.batch;
    passed_steps_ = 0.0;
    if (batch.decode_requests > 0) {
      const double slope = core::value_of(piece.slope_us_per_token);
      const double per_request = model.decode_marginal_us(batch) + slope * static_cast<double>(running.step);
      first_ = piece.duration_us.v + per_request * mass_sum_ + slope * mass_offset_sum_;
      if (stretch.grows) increment_ = running.growth * piece.slope_us_per_token.v + slope * mass_sum_;
      if (drafts_) {
        first_ += (slope * static_cast<double>(running.step)) * mass_growth_sum_;
        if (stretch.grows) increment_ += slope * mass_growth_sum_;
      }
    } else {
      first_ = piece.duration_us.v;
      if (stretch.grows) increment_.setZero();
    }
    if (running.chunks.empty()) return;
    double without_us = 0.0;
    if (batch.decode_requests > 0) {
      latency::Batch without = batch;
      without.prefills = {};
      without_us = model.duration_us(without);
    }
    const double per_prefill_us = (stretch.first_us - without_us) / static_cast<double>(running.chunks.size());
    for (const Chunk& chunk : running.chunks) first_ += per_prefill_us * of(*chunk.slot).mass;
    // Beside decodes that wait, more prompts are steps of their own: the decodes wait for them, these prompts do not.
    prompts_are_steps_ = batch.decode_requests == 0 && running.growth > 0.0;
    if (!prompts_are_steps_) return;
    more_prompts_.setZero();
    for (const Chunk& chunk : running.chunks) more_prompts_ += per_prefill_us * of(*chunk.slot).mass;
  }

  [[gnu::flatten]] void advance(const Stretch& stretch, std::int64_t steps) {
    if (!stretch.grows) {
      now_ += first_;
      return;
    }
    see_coming_step();
    passed_steps_ = static_cast<double>(steps);
    if (steps == 1) {
      now_ += first_;
    } else {
      now_ = now_ + passed_steps_ * first_ + (0.5 * passed_steps_ * (passed_steps_ - 1.0)) * increment_;
    }
  }

  /// The clock starts anew where the next request comes, whatever the parameters are.
  void idle_until_planned() {
    mass_reference_ -= now_;
    now_.setZero();
    blocked_ = Blocked::no;
  }
  /// Or some time after a reply.
  void idle_until_reply(std::int64_t reply) {
    mass_reference_ -= now_;
    now_ = replies_[static_cast<std::size_t>(reply)].at;
    mass_reference_ += now_;
    blocked_ = Blocked::no;
  }
  void idle_until_loaded(const Slot& slot) {
    now_ = of(slot).loaded;
    blocked_ = Blocked::no;
  }

  // Ranks that step together have one clock: its derivatives are the same in all.
  void idle_as(const PathSensitivity& other) {
    now_ = other.now_;
    blocked_ = Blocked::no;
  }
  /// A reply that another rank wrote down is followed by a request here.
  [[nodiscard]] std::int64_t take_over(PathSensitivity& other, std::int64_t reply) {
    if (&other == this) return reply;
    const std::int64_t place = replied(0);
    replies_[static_cast<std::size_t>(place)] = other.replies_[static_cast<std::size_t>(reply)];
    other.not_followed(reply);
    return place;
  }

  // --- requests ---

  /// A client is free again: what it sends next, it sends that much later.
  [[nodiscard]] std::int64_t replied(std::int64_t step) {
    std::int64_t place = static_cast<std::int64_t>(replies_.size());
    if (spare_replies_.empty()) {
      replies_.emplace_back();
    } else {
      place = spare_replies_.back();
      spare_replies_.pop_back();
    }
    replies_[static_cast<std::size_t>(place)] = {.at = now_ + turnaround_, .step = step};
    return place;
  }
  void not_followed(std::int64_t reply) { spare_replies_.push_back(reply); }

  /// Derivatives of an arrival at its phase in the step just done: of that step, only the rest counts.
  void arrive(Slot* slot, bool counts, const Stretch& stretch, double rest_of_step) {
    Gradient refused;
    Gradient& arrival = slot != nullptr ? of(*slot).arrival : refused;
    const bool waits = blocked_ != Blocked::no;
    if (waits) {
      arrival = queue_;
    } else {
      anchor(arrival, stretch, rest_of_step);
    }
    if (slot != nullptr) {
      OfRequest& own = of(*slot);
      own.queued = blocked_ == Blocked::by_seats || blocked_ == Blocked::by_blocks;
      if (waits) {
        own.mass.setZero();
      } else {
        own.mass = requests_per_us_ * (arrival - mass_reference_);
      }
      if (counts) arrivals_ += arrival;
    }
    mass_reference_ = arrival;
  }
  /// The same for a request that followed a reply. Where no step began in between, its time moves with the reply's; otherwise it
  /// falls anywhere into a step. How many such requests there are does not depend on how long steps take.
  void arrive_after(Slot* slot, bool counts, std::int64_t reply, std::int64_t step, const Stretch& stretch, double rest_of_step) {
    const Reply& from = replies_[static_cast<std::size_t>(reply)];
    if (slot != nullptr) {
      OfRequest& own = of(*slot);
      own.mass.setZero();
      own.queued = false;
      if (step - from.step <= 1) {
        own.arrival = from.at;
      } else {
        anchor(own.arrival, stretch, rest_of_step);
      }
      if (counts) arrivals_ += own.arrival;
    }
    spare_replies_.push_back(reply);
  }

  /// A request that waited for room starts when another one ended, and that one's end is as far from its own anchor as the
  /// clock has moved since: the newcomer goes on from there.
  void admit(const Slot& slot, bool counts) {
    OfRequest& own = of(slot);
    if (!own.queued) return;
    if (counts) arrivals_ += room_ - own.arrival;
    own.arrival = room_;
    own.queued = false;
  }
  /// Later arrivals are anchored where the present queue began: at the arrival of its first request.
  void see_queue(Blocked blocked, SlotList& waiting) {
    blocked_ = blocked;
    if (blocked_ != Blocked::no) queue_ = of(waiting.first()).arrival;
  }
  void begin_loading(const Slot& slot, const Slot* before, std::int64_t blocks) {
    of(slot).loaded = (before == nullptr ? now_ : of(*before).loaded) + static_cast<double>(blocks) * load_per_block_;
  }
  void first_token(const Slot& slot) {
    ttft_ += now_;
    if (prompts_are_steps_) arrivals_ += more_prompts_;
    if (slot.output_tokens > 1) tpot_ -= now_ * (1.0 / (slot.output_tokens - 1));
  }
  void start_decoding(const Slot& slot) {
    const Gradient& mass = of(slot).mass;
    mass_sum_ += mass;
    mass_offset_sum_ += static_cast<double>(slot.context_offset) * mass;
  }
  void stop_decoding(const Slot& slot) {
    const Gradient& mass = of(slot).mass;
    mass_sum_ -= mass;
    mass_offset_sum_ -= static_cast<double>(slot.context_offset) * mass;
  }
  /// The same, where a step yields `line.rate` tokens.
  void start_decoding(const Slot& slot, const ContextLine& line) { add_drafted(line, of(slot).mass); }
  void stop_decoding(const Slot& slot, const ContextLine& line) { add_drafted(line, -of(slot).mass); }
  void finish(const Slot& slot) { room_ = of(slot).arrival; }
  void record(const Slot& slot) {
    e2e_ += now_;
    if (slot.output_tokens > 1) tpot_ += (1.0 / (slot.output_tokens - 1)) * now_;
  }

  void finish_record(StageRecord<Scalar>& record) const {
    record.ttft_sum_us.v = ttft_ - arrivals_;
    record.e2e_sum_us.v = e2e_ - arrivals_;
    record.tpot_sum_us.v = tpot_;
  }

 private:
  using Gradient = decltype(Scalar::v);

  struct OfRequest {
    Gradient arrival;     ///< the clock's at that moment
    Gradient mass;        ///< of the expected number of requests that this one stands for
    Gradient loaded;      ///< of the time when its blocks are back from the host's memory
    bool queued = false;  ///< it came when there was no room, and waits for somebody to end
  };
  struct Reply {
    Gradient at;
    std::int64_t step = 0;  ///< that began with it
  };

  void add_drafted(const ContextLine& line, const Gradient& mass) {
    drafts_ = true;
    mass_sum_ += mass;
    mass_offset_sum_ += line.offset * mass;
    mass_growth_sum_ += (line.rate - 1.0) * mass;
  }
  [[nodiscard]] OfRequest& of(const Slot& slot) { return requests_[slot.number]; }
  /// Most stretches end before anybody asks again how long their steps are.
  void see_coming_step() {
    if (passed_steps_ > 0.0) first_ += std::exchange(passed_steps_, 0.0) * increment_;
  }
  /// At its phase in the step just done.
  void anchor(Gradient& arrival, const Stretch& stretch, double rest_of_step) {
    see_coming_step();
    if (rest_of_step == 0.0) {
      arrival = now_;
    } else if (stretch.grows) {
      arrival = now_ - rest_of_step * (first_ - increment_);
    } else {
      arrival = now_ - rest_of_step * first_;
    }
  }

  double requests_per_us_ = 0.0;
  Gradient turnaround_;
  Gradient load_per_block_;
  Gradient now_;               ///< the clock's
  Gradient first_;             ///< of the coming step's duration
  Gradient increment_;         ///< per step; set where it grows
  double passed_steps_ = 0.0;  ///< by which first_ is behind
  Gradient more_prompts_;      ///< what stands behind a step's prompts, where that is steps of its own
  Gradient arrivals_;          ///< of the stage's sums
  Gradient ttft_;
  Gradient e2e_;
  Gradient tpot_;
  Gradient mass_sum_;         ///< over the decoding requests
  Gradient mass_offset_sum_;  ///< times context_offset
  Gradient mass_growth_sum_;  ///< times the tokens of a step beyond one
  bool drafts_ = false;       ///< some steps yield more
  bool prompts_are_steps_ = false;
  Gradient room_;            ///< the anchor of the request that ended last and so made room
  Gradient queue_;           ///< the clock's where the present queue began
  Gradient mass_reference_;  ///< the clock's at the last arrival, less what an idle period took from it since
  Blocked blocked_ = Blocked::no;
  std::vector<OfRequest> requests_;  ///< by number of the slot
  std::vector<Reply> replies_;       ///< of clients who have something on its way
  std::vector<std::int64_t> spare_replies_;
};

}  // namespace rooftune::sim
