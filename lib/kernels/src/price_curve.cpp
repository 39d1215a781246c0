#include "rooftune/kernels/price_curve.hpp"

#include <algorithm>
#include <cmath>

#include "rooftune/core/contract.hpp"

namespace rooftune::kernels {

PriceCurve::PriceCurve(std::vector<Point> points) {
  ROOFTUNE_EXPECTS(!points.empty());
  std::ranges::sort(points, {}, &Point::quantity);
  for (std::size_t i = 0; i < points.size(); ++i) {
    const Point& here = points[i];
    ROOFTUNE_EXPECTS(here.quantity > 0.0 && here.us > 0.0);
    double exponent = 1.0;  // behind the last point: as efficient as it
    if (i + 1 < points.size()) {
      const Point& next = points[i + 1];
      ROOFTUNE_EXPECTS(next.quantity > here.quantity);
      if (!next.begins_algorithm) {
        exponent = std::log(next.us / here.us) / std::log(next.quantity / here.quantity);
      } else {
        // No point of this algorithm follows: it goes on as it came, never faster than in proportion.
        const bool came_along = !knots_.empty() && !here.begins_algorithm;
        exponent = came_along ? std::clamp(knots_.back().exponent, 0.0, 1.0) : 0.0;
      }
    }
    knots_.push_back({.quantity = here.quantity, .us = here.us, .exponent = exponent});
  }
}

Price PriceCurve::at(double quantity) const {
  const auto above = std::ranges::upper_bound(knots_, quantity, {}, &Knot::quantity);
  if (above == knots_.begin()) return {.us = knots_.front().us, .slope_us = 0.0};
  const Knot& knot = *(above - 1);
  const double us = knot.us * std::pow(quantity / knot.quantity, knot.exponent);
  return {.us = us, .slope_us = knot.exponent * us / quantity};
}

}  // namespace rooftune::kernels
