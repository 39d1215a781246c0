#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace rooftune::opt {

/// How sure one is of a vector of variables: the covariance of a normal distribution, which linear observations narrow one by
/// one (Kalman's update). No matrix is inverted, so variables that nothing is known of just keep their variance. What the
/// observations say about the means is the solver's business.
class GaussianBelief {
 public:
  /// Independent variables with these standard deviations.
  explicit GaussianBelief(std::span<const double> standard_deviations);
  /// `covariance` is row-major and square.
  explicit GaussianBelief(std::vector<double> covariance);

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] double covariance(std::size_t first, std::size_t second) const { return covariance_[first * size_ + second]; }

  /// Learns the value of `row` . x up to noise of this variance (> 0).
  void observe(std::span<const double> row, double noise_variance);
  /// Variance of `row` . x.
  [[nodiscard]] double variance_along(std::span<const double> row) const;

 private:
  /// covariance * row
  [[nodiscard]] std::vector<double> times(std::span<const double> row) const;

  std::size_t size_;
  std::vector<double> covariance_;
};

}  // namespace rooftune::opt
