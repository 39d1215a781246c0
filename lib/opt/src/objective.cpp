#include "rooftune/opt/objective.hpp"

#include <utility>

namespace rooftune::opt {
namespace {

class CallableObjective final : public Objective {
 public:
  CallableObjective(Capabilities capabilities, ObjectiveFunction function)
      : capabilities_(capabilities), function_(std::move(function)) {}

  Capabilities capabilities() const override { return capabilities_; }
  tl::expected<Evaluation, Refusal> evaluate(std::span<const double> point, Request request) override {
    return function_(point, request);
  }

 private:
  Capabilities capabilities_;
  ObjectiveFunction function_;
};

}  // namespace

std::unique_ptr<Objective> make_objective(Capabilities capabilities, ObjectiveFunction function) {
  return std::make_unique<CallableObjective>(capabilities, std::move(function));
}

std::unique_ptr<Objective> make_residual_objective(std::function<std::vector<double>(std::span<const double> point)> residuals) {
  return make_objective({.residuals = Support::values},
                        [residuals = std::move(residuals)](auto point, Request) { return Evaluation{.residuals = residuals(point)}; });
}

std::unique_ptr<Objective> make_scalar_objective(std::function<double(std::span<const double> point)> scalar) {
  return make_objective({.scalar = Support::values},
                        [scalar = std::move(scalar)](auto point, Request) { return Evaluation{.scalar = scalar(point)}; });
}

}  // namespace rooftune::opt
