#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace rooftune::sim {

/// Decoding requests by the step at whose end they finish. Outputs of equal length finish in the order they began, so
/// most entries arrive sorted: those go to a plain queue, the rest to a heap. Entries of requests that were preempted stay
/// behind and are recognised by their ticket.
template <class Slot>
class FinishQueue {
 public:
  struct Entry {
    std::int64_t finish_step = 0;
    Slot* slot = nullptr;
    std::uint32_t ticket = 0;  ///< counts admissions: of requests that finish together the first admitted leaves first
  };
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  /// Whether a finishes after b.
  static bool later(const Entry& a, const Entry& b) {
    return a.finish_step != b.finish_step ? a.finish_step > b.finish_step : a.ticket > b.ticket;
  }

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
  }

  /// The earliest entry, or finish_step kNever. `is_stale(entry)` says that its request was preempted meanwhile.
  template <class IsStale>
  [[nodiscard]] Entry top(const IsStale& is_stale) {
    while (head_ < sorted_.size() && is_stale(sorted_[head_])) ++head_;
    while (!heap_.empty() && is_stale(heap_.front())) pop_heap();
    const Entry none{.finish_step = kNever};
    const Entry& sorted = head_ < sorted_.size() ? sorted_[head_] : none;
    const Entry& heaped = heap_.empty() ? none : heap_.front();
    return later(sorted, heaped) ? heaped : sorted;
  }

  /// Calls visit(entry) for every entry that finishes at `step`, which is the earliest.
  template <class IsStale, class Visit>
  void for_each_at(std::int64_t step, const IsStale& is_stale, const Visit& visit) const {
    for (std::size_t i = head_; i < sorted_.size() && sorted_[i].finish_step == step; ++i) {
      if (!is_stale(sorted_[i])) visit(sorted_[i]);
    }
    for (const Entry& entry : heap_) {
      if (entry.finish_step == step && !is_stale(entry)) visit(entry);
    }
  }

  /// Removes the entry that `top` returned.
  void pop(const Entry& entry) {
    if (head_ < sorted_.size() && sorted_[head_].slot == entry.slot && sorted_[head_].ticket == entry.ticket) {
      ++head_;
    } else {
      pop_heap();
    }
  }

 private:
  void pop_heap() {
    std::ranges::pop_heap(heap_, later);
    heap_.pop_back();
  }
  void compact() {
    sorted_.erase(sorted_.begin(), sorted_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }

  std::vector<Entry> sorted_;
  std::size_t head_ = 0;
  std::vector<Entry> heap_;
};

}  // namespace rooftune::sim
