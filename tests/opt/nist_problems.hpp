#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "rooftune/opt/objective.hpp"
#include "rooftune/opt/problem.hpp"

namespace rooftune::opt {

/// One problem of the Statistical Reference Datasets of NIST, nonlinear regression
/// (https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml). The observations are in tests/opt/nist/<name>.csv, retyped from
/// the public tables; every table is validated by its certified residual sum of squares (NistData tests). All 27 problems
/// are there, none had to be dropped. Lanczos1 has a certified sum of 1.4e-25, which the 11 certified digits of its
/// parameters cannot reproduce; it is validated by the sum that a fit reaches.
struct NistProblem {
  std::string name;
  std::array<std::vector<double>, 2> starts;
  std::vector<double> certified;
  std::vector<double> standard_deviations;
  double residual_sum_of_squares = 0.0;
  template <class Real>
  struct BasicObservation {
    Real y;
    std::array<Real, 2> x;
  };
  /// Residuals of Lanczos1 are differences of 1e-13 between numbers around 1, known to 13 digits: double leaves three digits of
  /// its sum of squares, and of the standard errors.
  using Observation = BasicObservation<long double>;
  std::vector<Observation> observations;
  /// Residual and its derivatives by the parameters at one observation.
  std::function<double(const double* parameters, const Observation& observation, double* derivatives)> residual;

  /// The residuals at a point, with or without a Jacobian.
  [[nodiscard]] std::unique_ptr<Objective> objective(Support support) const;
  /// Unbounded, from one of the two starts; scales are the magnitudes of the start.
  [[nodiscard]] Problem problem(std::size_t start) const;
};

[[nodiscard]] const std::vector<NistProblem>& nist_problems();
[[nodiscard]] const NistProblem& nist_problem(const std::string& name);

/// The smallest number of correct significant digits over the entries: min -log10 |x - certified| / |certified|, at most 11
/// (the certified values have no more); NaN counts as none.
[[nodiscard]] double correct_digits(const std::vector<double>& values, const std::vector<double>& certified);

}  // namespace rooftune::opt
