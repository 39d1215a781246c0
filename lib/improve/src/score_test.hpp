#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/eval/residuals.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/params/space.hpp"

namespace rooftune::improve {

using Column = std::vector<double>;

inline double dot(const Column& a, const Column& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// What is left of vectors when everything that some columns can explain is taken out.
class Complement {
 public:
  void take_out(Column column) {
    const double length = std::sqrt(dot(column, column));
    column = of(std::move(column));
    const double left = std::sqrt(dot(column, column));
    if (!(left > kDependent * length)) return;
    for (double& value : column) value /= left;
    basis_.push_back(std::move(column));
  }

  /// Twice, because once loses digits (Giraud et al. 2005: twice is enough).
  [[nodiscard]] Column of(Column column) const {
    for (int pass = 0; pass < 2; ++pass) {
      for (const Column& axis : basis_) {
        const double share = dot(column, axis);
        for (std::size_t i = 0; i < column.size(); ++i) column[i] -= share * axis[i];
      }
    }
    return column;
  }

  [[nodiscard]] std::size_t dimensions() const { return basis_.size(); }

 private:
  static constexpr double kDependent = 1e-7;
  std::vector<Column> basis_;
};

/// Residuals of a tuned config and what each of some parameters would do to them, in the solvers' space.
struct Linearisation {
  std::vector<double> point;  ///< where the parameters are, within their bounds
  eval::Residuals residuals;
  std::vector<eval::ResidualRow> rows;  ///< what the first residuals are of; priors follow

  [[nodiscard]] Column column(std::size_t parameter) const;
};

/// Empty where the objective has no derivatives or refuses the point.
[[nodiscard]] std::optional<Linearisation> linearise(const calibrate::PreparedStudy& study, const eval::Dataset& training,
                                                     const params::Config& tuned,
                                                     const std::vector<params::FreeParameter>& parameters);

/// What freeing one more direction would do to the residuals, to first order and with everything free refitted.
struct Score {
  double coefficient = 0.0;
  double t = 0.0;
  double explained_fraction = 0.0;  ///< of what the fit leaves
};

inline Score score_test(const Complement& complement, const Column& left_over, const Column& direction) {
  const Column own = complement.of(direction);
  const double square = dot(own, own);
  // Less than a thousandth of the direction is not what the free parameters do already.
  if (!(square > 1e-6 * dot(direction, direction)) || square == 0.0) return {};
  const double projection = dot(own, left_over);
  const double explained = projection * projection / square;
  const double total = dot(left_over, left_over);
  const auto freedom = static_cast<double>(left_over.size()) - static_cast<double>(complement.dimensions()) - 1.0;
  if (freedom < 1.0 || total <= 0.0) return {};
  const double unexplained = std::max(total - explained, 1e-12 * total);
  return {.coefficient = -projection / square,
          .t = std::sqrt(explained / (unexplained / freedom)),
          .explained_fraction = explained / total};
}

}  // namespace rooftune::improve
