#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "rooftune/core/contract.hpp"

namespace rooftune::sim {

/// Decoding requests by the step at whose end they finish; of those that finish together the first admitted leaves first, as
/// their `ticket` says. Outputs of equal length finish in the order they began, so most entries arrive sorted: those go to a
/// plain queue, the rest to a heap.
template <class Slot>
class FinishQueue {
 public:
  struct Entry {
    std::int64_t finish_step = 0;
    Slot* slot = nullptr;
  };

  /// The step at whose end the next request finishes; without one, later than any.
  [[nodiscard]] std::int64_t next_step() const { return next_step_; }

  void reserve(std::size_t entries) {
    sorted_.resize(std::bit_ceil(std::max<std::size_t>(entries, 2)), kNone);
    mask_ = static_cast<std::uint32_t>(sorted_.size()) - 1;
    heap_.reserve(entries);
  }

  void push(const Entry& entry) {
    if (head_ == tail_ || !later(sorted(tail_ - 1), entry)) {
      if (tail_ - head_ >= mask_) widen();
      sorted(tail_++) = entry;
      sorted(tail_) = kNone;
    } else {
      heap_.push_back(entry);
      std::ranges::push_heap(heap_, later);
    }
    next_step_ = std::min(next_step_, entry.finish_step);
  }

  /// Calls visit(slot) for every entry that finishes at `step`, which is the earliest.
  template <class Visit>
  void for_each_at(std::int64_t step, const Visit& visit) const {
    for (std::uint32_t i = head_; i != tail_ && sorted(i).finish_step == step; ++i) visit(*sorted(i).slot);
    visit_heap(0, step, visit);
  }

  /// Takes out who finishes next.
  Slot& pop() {
    Slot* slot = nullptr;
    if (heap_.empty() || !later(sorted(head_), heap_.front())) {
      slot = sorted(head_++).slot;
    } else {
      slot = heap_.front().slot;
      std::ranges::pop_heap(heap_, later);
      heap_.pop_back();
    }
    see_next();
    return *slot;
  }

  /// Removes the entry of a request that is preempted, in time linear in the number of entries.
  void erase(const Slot& slot) {
    std::uint32_t place = head_;
    while (place != tail_ && sorted(place).slot != &slot) ++place;
    if (place != tail_) {
      for (; place + 1 != tail_; ++place) sorted(place) = sorted(place + 1);
      sorted(--tail_) = kNone;
    } else {
      const auto found = std::ranges::find(heap_, &slot, &Entry::slot);
      ROOFTUNE_EXPECTS(found != heap_.end());
      found->finish_step = std::numeric_limits<std::int64_t>::min();  // to the top, and out
      std::push_heap(heap_.begin(), found + 1, later);
      std::ranges::pop_heap(heap_, later);
      heap_.pop_back();
    }
    see_next();
  }

 private:
  static constexpr Entry kNone{.finish_step = std::numeric_limits<std::int64_t>::max()};

  static bool later(const Entry& a, const Entry& b) {
    return a.finish_step != b.finish_step ? a.finish_step > b.finish_step : a.slot->ticket > b.slot->ticket;
  }
  [[nodiscard]] Entry& sorted(std::uint32_t place) { return sorted_[place & mask_]; }
  [[nodiscard]] const Entry& sorted(std::uint32_t place) const { return sorted_[place & mask_]; }
  void see_next() {
    next_step_ = sorted(head_).finish_step;
    if (!heap_.empty()) next_step_ = std::min(next_step_, heap_.front().finish_step);
  }
  /// The earliest lie together at the heap's top.
  template <class Visit>
  void visit_heap(std::size_t place, std::int64_t step, const Visit& visit) const {
    if (place >= heap_.size() || heap_[place].finish_step != step) return;
    visit(*heap_[place].slot);
    visit_heap(2 * place + 1, step, visit);
    visit_heap(2 * place + 2, step, visit);
  }
  void widen() {
    std::vector<Entry> wider(2 * sorted_.size(), kNone);
    for (std::uint32_t place = head_; place != tail_; ++place) wider[place & (wider.size() - 1)] = sorted(place);
    sorted_ = std::move(wider);
    mask_ = static_cast<std::uint32_t>(sorted_.size()) - 1;
  }

  std::vector<Entry> sorted_ = std::vector<Entry>(2, kNone);  ///< a ring: places from head_ to before tail_, where kNone stands
  std::uint32_t mask_ = 1;
  std::uint32_t head_ = 0;
  std::uint32_t tail_ = 0;
  std::vector<Entry> heap_;
  std::int64_t next_step_ = kNone.finish_step;
};

}  // namespace rooftune::sim
