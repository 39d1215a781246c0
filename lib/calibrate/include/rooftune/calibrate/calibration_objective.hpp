#pragma once

#include <memory>
#include <span>

#include "rooftune/calibrate/evaluation_store.hpp"
#include "rooftune/calibrate/study_spec.hpp"
#include "rooftune/eval/residuals.hpp"
#include "rooftune/opt/multistart.hpp"

namespace rooftune::calibrate {

/// The residual function as the solvers see it.
class CalibrationObjective final : public opt::Objective {
 public:
  explicit CalibrationObjective(const eval::ResidualFunction& residuals) : residuals_(residuals) {}

  [[nodiscard]] opt::Capabilities capabilities() const override;
  [[nodiscard]] tl::expected<opt::Evaluation, opt::Refusal> evaluate(std::span<const double> point, opt::Request request) override;

 private:
  const eval::ResidualFunction& residuals_;
};

/// Makes the objective of each start; its evaluations go through the store where there is one.
[[nodiscard]] opt::ObjectiveFactory objective_factory(const eval::ResidualFunction& residuals, const StoreUse& store);

/// The free parameters as variables in their transformed space.
[[nodiscard]] opt::Problem make_problem(std::span<const params::FreeParameter> free);

/// The study's pipeline for the solvers.
[[nodiscard]] std::vector<opt::Stage> make_stages(const StudySpec& spec);
[[nodiscard]] opt::MultiStartOptions make_multistart(const StudySpec& spec, core::ThreadCount threads);

}  // namespace rooftune::calibrate
