#include "drafted_decodes.hpp"

#include <algorithm>
#include <functional>

#include "rooftune/core/random.hpp"

namespace rooftune::sim {

DraftedDecodes::DraftedDecodes(const SpeculationSetup& setup, BlockSize block, std::int64_t longest, bool two_in_flight,
                               Stepping stepping)
    : setup_(setup), block_(block), longest_(longest), two_in_flight_(two_in_flight), keeps_draws_(stepping == Stepping::plain) {
  ROOFTUNE_EXPECTS(std::ssize(setup.acceptance) == setup.draft_tokens);
  ROOFTUNE_EXPECTS(std::ranges::is_sorted(setup.acceptance, std::greater{}));
}

void DraftedDecodes::enqueue(std::uint32_t number, std::uint32_t draw) {
  if (courses_.size() <= number) courses_.resize(number + std::size_t{1});
  Course& course = courses_[number];
  course.stream = core::mixed(draw);
  course.draws = 0;
}

/// How many drafted tokens a step accepts: position i with the share of steps that get that far.
std::int64_t DraftedDecodes::accepted(std::uint64_t stream, std::uint32_t draw) const {
  const double uniform = static_cast<double>(core::mixed(stream + draw) >> 11) * 0x1.0p-53;
  std::int64_t tokens = 0;
  for (const double share : setup_.acceptance) {
    if (uniform >= share) break;
    ++tokens;
  }
  return tokens;
}

std::int64_t DraftedDecodes::begin(std::uint32_t number, std::int64_t first_step, std::int64_t context, std::int64_t tokens) {
  Course& course = courses_[number];
  course.first_step = first_step;
  course.context = context;
  course.tokens = tokens;
  course.steps = 0;
  course.got.clear();
  for (std::int64_t got = 0; got < tokens; ++course.steps) {
    // What is accepted beyond the last token is dropped.
    got = std::min(tokens, got + 1 + accepted(course.stream, course.draws + static_cast<std::uint32_t>(course.steps)));
    if (keeps_draws_) course.got.push_back(static_cast<std::int32_t>(got));
  }
  return course.steps;
}

void DraftedDecodes::interrupt(std::uint32_t number, std::int64_t step) {
  Course& course = courses_[number];
  course.draws += static_cast<std::uint32_t>(std::clamp<std::int64_t>(step - course.first_step, 0, course.steps));
}

std::int64_t DraftedDecodes::got_before(std::uint32_t number, std::int64_t step) const {
  const Course& course = courses_[number];
  const std::int64_t steps = step - course.first_step;
  if (steps <= 0) return 0;
  if (steps >= course.steps) return course.tokens;
  if (keeps_draws_) return course.got[static_cast<std::size_t>(steps) - 1];
  return steps * course.tokens / course.steps;
}

ContextLine DraftedDecodes::line(std::uint32_t number) const {
  const Course& course = courses_[number];
  const double rate = course.steps > 0 ? static_cast<double>(course.tokens) / static_cast<double>(course.steps) : 1.0;
  return {.rate = rate, .offset = static_cast<double>(course.context) - rate * static_cast<double>(course.first_step)};
}

std::int64_t DraftedDecodes::blocks_before(std::uint32_t number, std::int64_t step) const {
  const Course& course = courses_[number];
  if (step <= course.first_step) return block_.holding(course.context);
  // The last step that was decided computes this many positions from its own context on. Where two are in flight, the first of
  // them counts as if all were accepted.
  const bool after_another = two_in_flight_ && step - 1 > course.first_step;
  const std::int64_t before = context_before(number, after_another ? step - 2 : step - 1);
  const std::int64_t computed = tokens_per_decode() * (after_another ? 2 : 1);
  return block_.holding(capped(before + computed + setup_.lookahead_tokens));
}

void DraftedDecodes::add(std::uint32_t number, std::int64_t step) {
  courses_[number].place = static_cast<std::uint32_t>(growing_.size());
  growing_.push_back(number);
  told_ += blocks_before(number, step);
  told_until_ = std::min(told_until_, step);  // as in DecodeBlocks
}

void DraftedDecodes::remove(std::uint32_t number, std::int64_t step) {
  const std::uint32_t place = courses_[number].place;
  growing_[place] = growing_.back();
  courses_[growing_[place]].place = place;
  growing_.pop_back();
  told_ -= blocks_before(number, step);
  ++removed_;
}

std::int64_t DraftedDecodes::tell_until(std::int64_t step) {
  if (step <= told_until_) return 0;
  const std::int64_t untold = untold_until(step);
  told_ += untold;
  told_until_ = step;
  removed_ = 0;
  return untold;
}

std::int64_t DraftedDecodes::most_untold_until(std::int64_t step) const {
  const std::int64_t steps = step - told_until_;
  return (block_.holding(steps * tokens_per_decode() + beyond()) + 1) * (requests() + removed_);
}

std::int64_t DraftedDecodes::held_before(std::int64_t step) const {
  std::int64_t blocks = 0;
  for (const std::uint32_t number : growing_) blocks += blocks_before(number, step);
  return blocks;
}

}  // namespace rooftune::sim
