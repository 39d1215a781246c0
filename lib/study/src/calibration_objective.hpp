#pragma once

#include <functional>
#include <memory>
#include <span>

#include "rooftune/eval/residuals.hpp"
#include "rooftune/opt/multistart.hpp"
#include "rooftune/study/study_spec.hpp"

namespace rooftune::study {

/// The residual function as the solvers see it.
class CalibrationObjective final : public opt::Objective {
 public:
  /// Told about every point that has residuals.
  using Observer = std::function<void(std::span<const double> point, const eval::Residuals& residuals)>;

  explicit CalibrationObjective(const eval::ResidualFunction& residuals, Observer observer = {})
      : residuals_(residuals), observer_(std::move(observer)) {}

  [[nodiscard]] opt::Capabilities capabilities() const override;
  [[nodiscard]] tl::expected<opt::Evaluation, opt::Refusal> evaluate(std::span<const double> point, opt::Request request) override;

 private:
  const eval::ResidualFunction& residuals_;
  Observer observer_;
};

/// The free parameters as variables in their transformed space.
[[nodiscard]] opt::Problem make_problem(std::span<const params::FreeParameter> free);

/// The study's pipeline for the solvers.
[[nodiscard]] std::vector<opt::Stage> make_stages(const StudySpec& spec);
[[nodiscard]] opt::MultiStartOptions make_multistart(const StudySpec& spec, core::ThreadCount threads);

}  // namespace rooftune::study
