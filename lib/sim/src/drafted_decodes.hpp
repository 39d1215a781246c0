#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "rooftune/sim/block_size.hpp"
#include "rooftune/sim/engine.hpp"

namespace rooftune::sim {

/// The tokens in the cache of a decoding request, as a straight line over steps: rate x step + offset.
struct ContextLine {
  double rate = 1.0;
  double offset = 0.0;
};

/// The decoding requests of an engine that drafts. In every step a request yields one token and as many drafted ones as are
/// accepted, drawn from a stream of its own: the n-th step of a request gives the same number whatever else happens. So the step
/// of its last token is known when its prompt is complete, as without drafts (docs/speculation.md).
///
/// In between, plain stepping knows what every step accepted. The closed form takes the straight line from the first to the last
/// token instead, so that sums over a batch grow evenly, as stretches of steps need it.
class DraftedDecodes {
 public:
  /// `longest`: tokens that no request's blocks go beyond (max_model_len). `two_in_flight`: a step is decided before it is known
  /// what the one before accepted, and takes blocks as if that were everything.
  DraftedDecodes(const SpeculationSetup& setup, BlockSize block, std::int64_t longest, bool two_in_flight, Stepping stepping);

  /// Positions that a step computes for each decode.
  [[nodiscard]] std::int64_t tokens_per_decode() const { return 1 + setup_.draft_tokens; }
  /// Blocks that a request takes at most, whose cache holds so many tokens in the end.
  [[nodiscard]] std::int64_t most_blocks(std::int64_t tokens) const { return block_.holding(capped(tokens + beyond())); }

  /// A request that arrives: nothing is accepted yet.
  void enqueue(std::uint32_t number, std::uint32_t draw);
  /// It decodes from `first_step` on, with `context` tokens in the cache, until it has `tokens` more. In how many steps.
  std::int64_t begin(std::uint32_t number, std::int64_t first_step, std::int64_t context, std::int64_t tokens);
  /// It is preempted before `step`, and goes on with later draws when it decodes again.
  void interrupt(std::uint32_t number, std::int64_t step);

  /// Its tokens in the cache before that step, those that it has got since `begin`, and both as a line.
  [[nodiscard]] std::int64_t context_before(std::uint32_t number, std::int64_t step) const {
    return courses_[number].context + got_before(number, step);
  }
  [[nodiscard]] std::int64_t got_before(std::uint32_t number, std::int64_t step) const;
  [[nodiscard]] ContextLine line(std::uint32_t number) const;
  /// Its blocks before that step. A step takes those for all positions that it computes, and for what is drafted after it.
  [[nodiscard]] std::int64_t blocks_before(std::uint32_t number, std::int64_t step) const;

  // Blocks of all of them together, and what of them the pool has not been told: as in DecodeBlocks.
  void add(std::uint32_t number, std::int64_t step);
  void remove(std::uint32_t number, std::int64_t step);
  [[nodiscard]] std::int64_t requests() const { return static_cast<std::int64_t>(growing_.size()); }
  [[nodiscard]] std::int64_t tell_until(std::int64_t step);
  [[nodiscard]] std::int64_t untold_until(std::int64_t step) const { return held_before(step) - told_; }
  [[nodiscard]] std::int64_t most_untold_until(std::int64_t step) const;
  [[nodiscard]] std::int64_t taken_in(std::int64_t step) const { return held_before(step + 1) - held_before(step); }

 private:
  /// One request from the end of its prompt, or of what it computes again, to its last token.
  struct Course {
    std::int64_t first_step = 0;
    std::int64_t context = 0;  ///< tokens in the cache then
    std::int64_t tokens = 0;   ///< that it gets in `steps` steps
    std::int64_t steps = 0;
    std::uint64_t stream = 0;
    std::uint32_t draws = 0;          ///< that earlier courses of the request have used
    std::uint32_t place = 0;          ///< in growing_
    std::vector<std::int32_t> got{};  ///< plain stepping: tokens after 1, 2, ... steps
  };

  [[nodiscard]] std::int64_t accepted(std::uint64_t stream, std::uint32_t draw) const;
  [[nodiscard]] std::int64_t held_before(std::int64_t step) const;
  /// Positions beyond its context for which a request has blocks when a step was decided.
  [[nodiscard]] std::int64_t beyond() const { return setup_.draft_tokens * (two_in_flight_ ? 2 : 1) + setup_.lookahead_tokens; }
  [[nodiscard]] std::int64_t capped(std::int64_t tokens) const { return tokens < longest_ ? tokens : longest_; }

  SpeculationSetup setup_;
  BlockSize block_;
  std::int64_t longest_;
  bool two_in_flight_;
  bool keeps_draws_;
  std::vector<Course> courses_;         ///< by number of the slot
  std::vector<std::uint32_t> growing_;  ///< those that take blocks in the steps to come
  std::int64_t told_ = 0;               ///< blocks that the pool knows of, less what requests gave back of which it did not
  std::int64_t told_until_ = 0;
  std::int64_t removed_ = 0;  ///< since it was told
};

}  // namespace rooftune::sim
