#pragma once

#include <string>

#include "rooftune/eval/residuals.hpp"

namespace rooftune::eval {

/// One hash of everything that the residuals depend on besides the point: the simulator's and this layer's sources, the
/// compiler and its options, step-time model, switches and values,
/// experiments with their requests, objective and free parameters. Two functions of one hash give the same bits at every point.
[[nodiscard]] std::string problem_digest(const ResidualFunction& residuals);

}  // namespace rooftune::eval
