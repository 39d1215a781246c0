#include "rooftune/opt/gaussian_belief.hpp"

#include <algorithm>
#include <cmath>

#include "rooftune/core/contract.hpp"

namespace rooftune::opt {

GaussianBelief::GaussianBelief(std::span<const double> standard_deviations)
    : size_(standard_deviations.size()), covariance_(size_ * size_, 0.0) {
  for (std::size_t i = 0; i < size_; ++i) covariance_[i * size_ + i] = standard_deviations[i] * standard_deviations[i];
}

GaussianBelief::GaussianBelief(std::vector<double> covariance)
    : size_(static_cast<std::size_t>(std::lround(std::sqrt(static_cast<double>(covariance.size()))))),
      covariance_(std::move(covariance)) {
  ROOFTUNE_EXPECTS(size_ * size_ == covariance_.size());
}

std::vector<double> GaussianBelief::times(std::span<const double> row) const {
  ROOFTUNE_EXPECTS(row.size() == size_);
  std::vector<double> product(size_, 0.0);
  for (std::size_t i = 0; i < size_; ++i) {
    for (std::size_t j = 0; j < size_; ++j) product[i] += covariance_[i * size_ + j] * row[j];
  }
  return product;
}

void GaussianBelief::observe(std::span<const double> row, double noise_variance) {
  ROOFTUNE_EXPECTS(noise_variance > 0.0);
  const std::vector<double> seen = times(row);
  double variance = noise_variance;
  for (std::size_t i = 0; i < size_; ++i) variance += row[i] * seen[i];
  for (std::size_t i = 0; i < size_; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      const double updated = covariance_[i * size_ + j] - seen[i] * seen[j] / variance;
      covariance_[i * size_ + j] = updated;
      covariance_[j * size_ + i] = updated;
    }
    // Rounding must not make a well-known variable's variance negative.
    covariance_[i * size_ + i] = std::max(covariance_[i * size_ + i], 0.0);
  }
}

double GaussianBelief::variance_along(std::span<const double> row) const {
  const std::vector<double> seen = times(row);
  double variance = 0.0;
  for (std::size_t i = 0; i < size_; ++i) variance += row[i] * seen[i];
  return std::max(variance, 0.0);
}

}  // namespace rooftune::opt
