#include "stored_objective.hpp"

namespace rooftune::study {
namespace {

std::string_view name_of(opt::Request request) {
  const bool differentiates = request.derivatives == opt::Derivatives::needed;
  if (request.quantity == opt::Quantity::scalar) return differentiates ? "gradient" : "scalar";
  return differentiates ? "jacobian" : "residuals";
}

/// The scalar, the number of residuals, the residuals; then derivatives: the Jacobian of residuals, the gradient of a scalar.
StoredEvaluation pack(const tl::expected<opt::Evaluation, opt::Refusal>& outcome) {
  if (!outcome) return {.refusal = outcome.error().reason};
  StoredEvaluation stored;
  stored.numbers = {outcome->scalar, static_cast<double>(outcome->residuals.size())};
  for (const auto* part : {&outcome->residuals, &outcome->jacobian, &outcome->gradient})
    stored.numbers.insert(stored.numbers.end(), part->begin(), part->end());
  return stored;
}

tl::expected<opt::Evaluation, opt::Refusal> unpack(const StoredEvaluation& stored, opt::Request request) {
  if (stored.refusal) return tl::unexpected(opt::Refusal{*stored.refusal});
  opt::Evaluation evaluation;
  evaluation.scalar = stored.numbers[0];
  const auto first = stored.numbers.begin() + 2;
  const auto last_residual = first + static_cast<std::ptrdiff_t>(stored.numbers[1]);
  evaluation.residuals.assign(first, last_residual);
  (request.quantity == opt::Quantity::scalar ? evaluation.gradient : evaluation.jacobian).assign(last_residual, stored.numbers.end());
  return evaluation;
}

}  // namespace

tl::expected<opt::Evaluation, opt::Refusal> StoredObjective::evaluate(std::span<const double> point, opt::Request request) {
  const EvaluationKey key{.problem = problem_, .request = name_of(request), .point = point};
  return unpack(look_up_or(use_, key, [&] { return pack(objective_->evaluate(point, request)); }), request);
}

}  // namespace rooftune::study
