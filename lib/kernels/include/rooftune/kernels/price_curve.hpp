#pragma once

#include <cstddef>
#include <vector>

namespace rooftune::kernels {

/// A time, and by how much it grows with the quantity that it was asked for.
struct Price {
  double us = 0.0;
  double slope_us = 0.0;  ///< per unit of the quantity
};

/// One operator's measured time along one quantity (tokens, bytes). Straight lines between the logarithms of neighbours, so that
/// bumps stay; smaller than every point takes as long as the smallest, larger than every point is as efficient as the largest.
class PriceCurve {
 public:
  struct Point {
    double quantity = 0.0;
    double us = 0.0;
    /// Another algorithm runs from here on: what is just smaller goes on as its own points do and jumps here.
    bool begins_algorithm = false;
  };

  PriceCurve() = default;
  /// `points` in any order, positive, quantities distinct; at least one.
  explicit PriceCurve(std::vector<Point> points);

  [[nodiscard]] bool empty() const { return knots_.empty(); }
  /// `quantity` > 0. The curve must not be empty.
  [[nodiscard]] Price at(double quantity) const;
  [[nodiscard]] double us(double quantity) const { return at(quantity).us; }

 private:
  struct Knot {
    double quantity = 0.0;
    double us = 0.0;
    double exponent = 0.0;  ///< of the time in the quantity, from here to the next knot
  };
  std::vector<Knot> knots_;
};

}  // namespace rooftune::kernels
