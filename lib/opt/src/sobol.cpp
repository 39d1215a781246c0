#include "sobol.hpp"

#include <array>
#include <bit>

#include "rooftune/core/contract.hpp"

namespace rooftune::opt {
namespace {

constexpr int kBits = 32;

/// A primitive polynomial modulo 2 and the first direction integers of one dimension.
struct DimensionSeed {
  int degree;
  /// Inner coefficients of the polynomial, highest first.
  std::uint32_t coefficients;
  std::array<std::uint32_t, 7> first;
};

/// Dimensions 2 to 21; S. Joe and F. Y. Kuo, "Constructing Sobol sequences with better two-dimensional projections", 2008.
constexpr std::array kSeeds{
    DimensionSeed{1, 0, {1}},
    DimensionSeed{2, 1, {1, 3}},
    DimensionSeed{3, 1, {1, 3, 1}},
    DimensionSeed{3, 2, {1, 1, 1}},
    DimensionSeed{4, 1, {1, 1, 3, 3}},
    DimensionSeed{4, 4, {1, 3, 5, 13}},
    DimensionSeed{5, 2, {1, 1, 5, 5, 17}},
    DimensionSeed{5, 4, {1, 1, 5, 5, 5}},
    DimensionSeed{5, 7, {1, 1, 7, 11, 19}},
    DimensionSeed{5, 11, {1, 1, 5, 1, 1}},
    DimensionSeed{5, 13, {1, 1, 1, 3, 11}},
    DimensionSeed{5, 14, {1, 3, 5, 5, 31}},
    DimensionSeed{6, 1, {1, 3, 3, 9, 7, 49}},
    DimensionSeed{6, 13, {1, 1, 1, 15, 21, 21}},
    DimensionSeed{6, 16, {1, 3, 1, 13, 27, 49}},
    DimensionSeed{6, 19, {1, 1, 1, 15, 7, 5}},
    DimensionSeed{6, 22, {1, 3, 1, 15, 13, 25}},
    DimensionSeed{6, 25, {1, 1, 5, 5, 19, 61}},
    DimensionSeed{7, 1, {1, 3, 7, 11, 23, 15, 103}},
    DimensionSeed{7, 4, {1, 3, 7, 13, 13, 15, 69}},
};
static_assert(kSeeds.size() + 1 == SobolSequence::kMostDimensions);

/// Bratley & Fox 1988, equation 2.
std::vector<std::uint32_t> directions_of(const DimensionSeed& seed) {
  std::vector<std::uint32_t> v(kBits);
  for (int i = 0; i < kBits; ++i) {
    if (i < seed.degree) {
      v[i] = seed.first[i] << (kBits - 1 - i);
      continue;
    }
    v[i] = v[i - seed.degree] ^ (v[i - seed.degree] >> seed.degree);
    for (int k = 1; k < seed.degree; ++k) {
      if ((seed.coefficients >> (seed.degree - 1 - k)) & 1U) v[i] ^= v[i - k];
    }
  }
  return v;
}

std::vector<std::uint32_t> directions_of_van_der_corput() {
  std::vector<std::uint32_t> v(kBits);
  for (int i = 0; i < kBits; ++i) v[i] = 1U << (kBits - 1 - i);
  return v;
}

}  // namespace

SobolSequence::SobolSequence(std::size_t dimensions) : current_(dimensions, 0) {
  ROOFTUNE_EXPECTS(dimensions <= kMostDimensions);
  for (std::size_t d = 0; d < dimensions; ++d) {
    directions_.push_back(d == 0 ? directions_of_van_der_corput() : directions_of(kSeeds[d - 1]));
  }
}

std::vector<std::uint32_t> SobolSequence::next() {
  std::vector<std::uint32_t> point = current_;
  const int lowest_zero = std::countr_one(index_++);
  for (std::size_t d = 0; d < current_.size(); ++d) current_[d] ^= directions_[d][lowest_zero];
  return point;
}

}  // namespace rooftune::opt
