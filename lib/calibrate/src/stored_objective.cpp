#include "stored_objective.hpp"

#include <fmt/format.h>

#include <cmath>
#include <span>
#include <vector>

namespace rooftune::calibrate {
namespace {

/// A request that gives up early asks for something else than one that does not.
std::string name_of(opt::Request request) {
  const bool differentiates = request.derivatives == opt::Derivatives::needed;
  std::string name = differentiates ? "jacobian" : "residuals";
  if (request.quantity == opt::Quantity::scalar) name = differentiates ? "gradient" : "scalar";
  if (std::isfinite(request.give_up_above)) name += fmt::format(" below {:a}", request.give_up_above);
  return name;
}

/// Stands behind the refusals of points that have a value, but a hopeless one.
constexpr double kHopeless = 1.0;

/// The scalar, the number of residuals, the residuals; then derivatives: the Jacobian of residuals, the gradient of a scalar.
StoredEvaluation pack(const tl::expected<opt::Evaluation, opt::Refusal>& outcome) {
  if (!outcome) {
    const bool is_hopeless = outcome.error().kind == opt::RefusalKind::hopeless;
    return {.numbers = is_hopeless ? std::vector{kHopeless} : std::vector<double>{}, .refusal = outcome.error().reason};
  }
  StoredEvaluation stored;
  stored.numbers = {outcome->scalar, static_cast<double>(outcome->residuals.size())};
  for (const auto* part : {&outcome->residuals, &outcome->jacobian, &outcome->gradient})
    stored.numbers.insert(stored.numbers.end(), part->begin(), part->end());
  return stored;
}

/// Whether unpack() can take it apart for such a request at a point of so many parameters.
bool makes_sense(const StoredEvaluation& stored, opt::Request request, std::size_t residuals, std::size_t parameters) {
  if (stored.refusal) return stored.numbers.empty() || stored.numbers == std::vector{kHopeless};
  const std::size_t size = stored.numbers.size();
  if (request.quantity == opt::Quantity::scalar) {
    return (size == 2 || (size == 2 + parameters && request.derivatives == opt::Derivatives::needed)) && stored.numbers[1] == 0.0;
  }
  const std::size_t columns = request.derivatives == opt::Derivatives::needed ? parameters : 0;
  return size == 2 + residuals * (1 + columns) && stored.numbers[1] == static_cast<double>(residuals);
}

tl::expected<opt::Evaluation, opt::Refusal> unpack(const StoredEvaluation& stored, opt::Request request) {
  if (stored.refusal) {
    const auto kind = stored.numbers.empty() ? opt::RefusalKind::infeasible : opt::RefusalKind::hopeless;
    return tl::unexpected(opt::Refusal{*stored.refusal, kind});
  }
  opt::Evaluation evaluation;
  evaluation.scalar = stored.numbers[0];
  const auto first = stored.numbers.begin() + 2;
  const auto last_residual = first + static_cast<std::ptrdiff_t>(stored.numbers[1]);
  evaluation.residuals.assign(first, last_residual);
  (request.quantity == opt::Quantity::scalar ? evaluation.gradient : evaluation.jacobian).assign(last_residual, stored.numbers.end());
  return evaluation;
}

}  // namespace

std::optional<double> objective_of(const StoredEvaluation& evaluation, const opt::Loss& loss) {
  const std::vector<double>& numbers = evaluation.numbers;
  if (evaluation.refusal || numbers.size() < 2) return std::nullopt;
  const double residuals = numbers[1];
  if (residuals == 0.0) return numbers[0];
  if (!(residuals > 0.0 && residuals <= static_cast<double>(numbers.size() - 2))) return std::nullopt;
  double sum = 0.0;
  for (const double residual : std::span(numbers).subspan(2, static_cast<std::size_t>(residuals)))
    sum += opt::loss_value(loss, residual);
  return sum;
}

tl::expected<opt::Evaluation, opt::Refusal> StoredObjective::evaluate(std::span<const double> point, opt::Request request) {
  const std::string name = name_of(request);
  const EvaluationKey key{.problem = problem_, .request = name, .point = point};
  const StoredEvaluation stored = look_up_or(use_, key, [&] { return pack(objective_->evaluate(point, request)); });
  // The store finds damage by itself; what somebody has forged must not be taken apart either.
  if (!makes_sense(stored, request, residuals_, point.size())) return objective_->evaluate(point, request);
  return unpack(stored, request);
}

}  // namespace rooftune::calibrate
