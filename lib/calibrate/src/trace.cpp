#include "trace.hpp"

#include <cmath>
#include <string_view>

#include "rooftune/eval/splits.hpp"

namespace rooftune::calibrate {
namespace {

/// Sum and number of errors.
struct Total {
  double sum = 0.0;
  double count = 0.0;
};

}  // namespace

GroupErrors group_errors(const eval::ResidualFunction& function, std::span<const double> predicted_ms) {
  std::map<std::string, std::map<std::string, Total>> totals;
  Total all;
  for (std::size_t row = 0; row < function.rows().size(); ++row) {
    const eval::ResidualRow& what = function.rows()[row];
    const eval::Case& item = function.dataset().cases[what.case_index];
    const double measured_ms = *eval::measured_row(item.experiment, what.stage)[what.metric];
    const double error_percent = 100.0 * std::abs(predicted_ms[row] / measured_ms - 1.0);
    const auto add = [&](Total& total) {
      total.sum += error_percent;
      total.count += 1.0;
    };
    add(all);
    for (const std::string_view field : eval::kGroupKinds) add(totals[std::string(field)][eval::group_of(item, field)]);
  }
  GroupErrors errors;
  if (all.count > 0.0) errors.all_percent = all.sum / all.count;
  for (const auto& [field, groups] : totals) {
    for (const auto& [value, total] : groups) errors.by[field][value] = total.sum / total.count;
  }
  return errors;
}

std::optional<GroupErrors> PredictionMemory::errors_at(std::span<const double> point, const eval::ResidualFunction& function) {
  const std::vector<double> key(point.begin(), point.end());
  {
    const std::scoped_lock lock(mutex_);
    if (const auto found = known_.find(key); found != known_.end()) return found->second;
  }
  const eval::Residuals residuals = function(point, eval::Derivatives::no);
  if (residuals.refusal) return std::nullopt;
  const GroupErrors errors = group_errors(function, residuals.predicted_ms);
  const std::scoped_lock lock(mutex_);
  return known_.try_emplace(key, errors).first->second;
}

}  // namespace rooftune::calibrate
