#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

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
  [[nodiscard]] std::int64_t next_step() const { return next_.finish_step; }

  void reserve(std::size_t entries) {
    sorted_.reserve(entries);
    heap_.reserve(entries);
  }

  void push(const Entry& entry) {
    if (head_ == sorted_.size()) {
      sorted_.clear();
      head_ = 0;
    }
    if (head_ == sorted_.size() || !later(sorted_.back(), entry)) {
      if (sorted_.size() == sorted_.capacity() && head_ > sorted_.size() / 2) compact();
      sorted_.push_back(entry);
    } else {
      heap_.push_back(entry);
      std::ranges::push_heap(heap_, later);
    }
    see_next();
  }

  /// Calls visit(slot) for every entry that finishes at `step`, which is the earliest.
  template <class Visit>
  void for_each_at(std::int64_t step, const Visit& visit) const {
    for (std::size_t i = head_; i < sorted_.size() && sorted_[i].finish_step == step; ++i) visit(*sorted_[i].slot);
    visit_heap(0, step, visit);
  }

  /// Takes out who finishes next.
  Slot& pop() {
    Slot& slot = *next_.slot;
    if (head_ < sorted_.size() && sorted_[head_].slot == &slot) {
      ++head_;
    } else {
      std::ranges::pop_heap(heap_, later);
      heap_.pop_back();
    }
    see_next();
    return slot;
  }

  /// Removes the entry of a request that is preempted, in time linear in the number of entries.
  void erase(const Slot& slot) {
    const auto of_slot = [&](const Entry& entry) { return entry.slot == &slot; };
    const auto found = std::find_if(sorted_.begin() + static_cast<std::ptrdiff_t>(head_), sorted_.end(), of_slot);
    if (found != sorted_.end()) {
      sorted_.erase(found);
    } else {
      std::erase_if(heap_, of_slot);
      std::ranges::make_heap(heap_, later);
    }
    see_next();
  }

 private:
  static constexpr Entry kNone{.finish_step = std::numeric_limits<std::int64_t>::max()};

  static bool later(const Entry& a, const Entry& b) {
    return a.finish_step != b.finish_step ? a.finish_step > b.finish_step : a.slot->ticket > b.slot->ticket;
  }
  void see_next() {
    next_ = head_ < sorted_.size() ? sorted_[head_] : kNone;
    if (!heap_.empty() && (head_ == sorted_.size() || later(next_, heap_.front()))) next_ = heap_.front();
  }
  /// The earliest lie together at the heap's top.
  template <class Visit>
  void visit_heap(std::size_t place, std::int64_t step, const Visit& visit) const {
    if (place >= heap_.size() || heap_[place].finish_step != step) return;
    visit(*heap_[place].slot);
    visit_heap(2 * place + 1, step, visit);
    visit_heap(2 * place + 2, step, visit);
  }
  void compact() {
    sorted_.erase(sorted_.begin(), sorted_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }

  std::vector<Entry> sorted_;
  std::size_t head_ = 0;
  std::vector<Entry> heap_;
  Entry next_ = kNone;
};

}  // namespace rooftune::sim
