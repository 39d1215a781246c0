#pragma once

#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <tl/expected.hpp>
#include <vector>

namespace rooftune::opt {

/// Why a point has no value. `hopeless`: it has one, but not below `Request::give_up_above`.
enum class RefusalKind { infeasible, hopeless };

/// A point at which the model cannot be evaluated (an overloaded engine, a deployment that does not fit). An ordinary
/// outcome: never scored as a number, never chosen as best.
struct Refusal {
  std::string reason;
  RefusalKind kind = RefusalKind::infeasible;
};

/// The two things that may be minimised: the (robustified) sum of squared residuals, or a scalar of the objective's own.
enum class Quantity { residuals, scalar };
enum class Derivatives { not_needed, needed };

struct Request {
  Quantity quantity = Quantity::residuals;
  Derivatives derivatives = Derivatives::not_needed;
  /// A point whose sum of squared residuals exceeds this is of no use: the objective may refuse it as hopeless once it knows
  /// enough. Whether it does must not depend on chance.
  double give_up_above = std::numeric_limits<double>::infinity();
};

/// What an objective returned for a request; members that were not asked for may stay empty.
struct Evaluation {
  std::vector<double> residuals = {};
  /// Row-major, one row per residual, one column per variable.
  std::vector<double> jacobian = {};
  double scalar = 0.0;
  std::vector<double> gradient = {};
};

/// What an objective can return.
enum class Support { none, values, values_and_derivatives };
struct Capabilities {
  Support residuals = Support::none;
  Support scalar = Support::none;
};

/// The function to minimise: an agent that is called again and again by one thread at a time; solvers that run starts in
/// parallel make one objective for each. It must be a pure function of the point and must not throw.
/// Derivatives are asked for only when `capabilities` offers them; otherwise the facade takes finite differences.
/// The number of residuals must not depend on the point. Priors are further residuals.
class Objective {
 public:
  Objective() = default;
  Objective(const Objective&) = delete;
  Objective& operator=(const Objective&) = delete;
  virtual ~Objective() = default;

  [[nodiscard]] virtual Capabilities capabilities() const = 0;
  [[nodiscard]] virtual tl::expected<Evaluation, Refusal> evaluate(std::span<const double> point, Request request) = 0;
};

/// Makes the objective of one start. Called concurrently; `start` counts from 0.
using ObjectiveFactory = std::function<std::unique_ptr<Objective>(std::size_t start)>;

using ObjectiveFunction = std::function<tl::expected<Evaluation, Refusal>(std::span<const double> point, Request request)>;

/// An objective out of a callable.
[[nodiscard]] std::unique_ptr<Objective> make_objective(Capabilities capabilities, ObjectiveFunction function);
/// Residuals without derivatives.
[[nodiscard]] std::unique_ptr<Objective> make_residual_objective(
    std::function<std::vector<double>(std::span<const double> point)> residuals);
/// A scalar without derivatives.
[[nodiscard]] std::unique_ptr<Objective> make_scalar_objective(std::function<double(std::span<const double> point)> scalar);

}  // namespace rooftune::opt
