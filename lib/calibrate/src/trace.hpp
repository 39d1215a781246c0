#pragma once

#include <map>
#include <mutex>
#include <span>
#include <vector>

#include "rooftune/calibrate/fit.hpp"
#include "rooftune/eval/residuals.hpp"

namespace rooftune::calibrate {

/// Errors by group of what a residual function compares.
[[nodiscard]] GroupErrors group_errors(const eval::ResidualFunction& function, std::span<const double> predicted_ms);

/// The errors at points that improved a search, each simulated once. Asked by several threads.
class PredictionMemory {
 public:
  /// Empty when the point is refused.
  [[nodiscard]] std::optional<GroupErrors> errors_at(std::span<const double> point, const eval::ResidualFunction& function);

 private:
  std::mutex mutex_;
  std::map<std::vector<double>, GroupErrors> known_;
};

}  // namespace rooftune::calibrate
