#include "rooftune/plan/learnt_widths.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

namespace rooftune::plan {
namespace {

/// What is believed of a width weighs as much as one transfer.
constexpr double kPriorTransfers = 1.0;

double squared(double x) { return x * x; }

/// The parameter's move at a step: what the data say of the transfer, the reference's own uncertainty taken out by its share.
LearntWidth::Move move_of(const std::string& transfer, const OnboardParameter& parameter) {
  const params::FreeParameter& free = parameter.prior.parameter;
  const double width = free.prior->standard_deviation;
  return {.transfer = transfer,
          .moved = params::to_transformed(free, parameter.value) - params::to_transformed(free, free.prior->centre),
          .deviation = parameter.posterior_deviation * width / parameter.prior_deviation};
}

double largest_move(const LearntWidth& width) {
  double largest = 0.0;
  for (const LearntWidth::Move& move : width.moves) largest = std::max(largest, std::abs(move.moved));
  return largest;
}

}  // namespace

std::vector<LearntWidth> learnt_widths(std::span<const Onboarding> onboardings) {
  std::map<std::pair<std::string, bool>, LearntWidth> widths;
  std::map<std::pair<std::string, bool>, bool> told;
  for (const Onboarding& onboarding : onboardings) {
    const OnboardStep& step = onboarding.last();
    if (step.fitted_runs.empty()) continue;
    const bool between_versions = onboarding.gpu == onboarding.reference;
    for (const OnboardParameter& parameter : step.parameters) {
      const std::pair key{std::string(parameter.prior.parameter.id.spec().id), between_versions};
      LearntWidth& width = widths[key];
      width.parameter = key.first;
      width.between_versions = between_versions;
      width.used = std::max(width.used, parameter.prior.parameter.prior->standard_deviation);
      width.moves.push_back(move_of(onboarding.label(), parameter));
      told[key] = told[key] || parameter.is_identified();
    }
  }
  std::vector<LearntWidth> result;
  for (auto& [key, width] : widths) {
    if (!told[key]) continue;
    double sum = kPriorTransfers * squared(width.used);
    for (const LearntWidth::Move& move : width.moves) sum += squared(move.moved) + squared(move.deviation);
    width.learnt = std::sqrt(sum / (kPriorTransfers + static_cast<double>(width.moves.size())));
    result.push_back(std::move(width));
  }
  std::ranges::stable_sort(result, std::ranges::greater{}, largest_move);
  return result;
}

}  // namespace rooftune::plan
