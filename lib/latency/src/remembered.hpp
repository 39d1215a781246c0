#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace rooftune::latency {

/// What depends on a number alone, remembered once it is known where the number is small. Room for all is there from the start,
/// so that nothing is allocated while an engine runs, but only what was asked for is written: with derivatives an entry is
/// large, and most are never asked for.
template <class Scalar>
class Remembered {
 public:
  Remembered() {
    place_.fill(kUnknown);
    known_.reserve(kMost);
  }

  /// Null where it is not known.
  [[nodiscard]] const Scalar* find(std::int64_t number) const {
    if (number >= kMost) return number == large_number_ ? &large_ : nullptr;
    const std::int32_t place = place_[static_cast<std::size_t>(number)];
    return place == kUnknown ? nullptr : &known_[static_cast<std::size_t>(place)];
  }

  /// Returns where it is kept: for a large number only until the next one.
  const Scalar& keep(std::int64_t number, const Scalar& value) {
    if (number >= kMost) {
      large_number_ = number;
      return large_ = value;
    }
    place_[static_cast<std::size_t>(number)] = static_cast<std::int32_t>(known_.size());
    return known_.emplace_back(value);
  }

 private:
  static constexpr std::int64_t kMost =
      640;  ///< larger steps are prefills, which seldom repeat, but for those that fill the token budget
  static constexpr std::int32_t kUnknown = -1;

  std::array<std::int32_t, kMost> place_;
  std::vector<Scalar> known_;
  Scalar large_{0.0};
  std::int64_t large_number_ = -1;
};

}  // namespace rooftune::latency
