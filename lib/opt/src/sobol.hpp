#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rooftune::opt {

/// Sobol's sequence with the directions of Joe & Kuo 2008 (new-joe-kuo-6.21201), in Gray-code order, from point 0 on.
class SobolSequence {
 public:
  static constexpr std::size_t kMostDimensions = 21;

  /// `dimensions` <= kMostDimensions.
  explicit SobolSequence(std::size_t dimensions);

  /// The next point as 32-bit fractions, one per dimension. At most 2^32 - 1 points.
  [[nodiscard]] std::vector<std::uint32_t> next();

 private:
  std::uint32_t index_ = 0;
  std::vector<std::uint32_t> current_;
  /// 32 direction numbers per dimension.
  std::vector<std::vector<std::uint32_t>> directions_;
};

}  // namespace rooftune::opt
