#pragma once

#include <memory>
#include <string>
#include <utility>

#include "rooftune/calibrate/evaluation_store.hpp"
#include "rooftune/opt/objective.hpp"

namespace rooftune::calibrate {

/// An objective whose evaluations are looked up in a store first, and kept there. Solvers cannot tell it from the objective
/// itself.
class StoredObjective final : public opt::Objective {
 public:
  /// `residuals`: how many there are.
  StoredObjective(std::unique_ptr<opt::Objective> objective, std::size_t residuals, std::string problem, const StoreUse& use)
      : objective_(std::move(objective)), residuals_(residuals), problem_(std::move(problem)), use_(use) {}

  [[nodiscard]] opt::Capabilities capabilities() const override { return objective_->capabilities(); }
  [[nodiscard]] tl::expected<opt::Evaluation, opt::Refusal> evaluate(std::span<const double> point, opt::Request request) override;

 private:
  std::unique_ptr<opt::Objective> objective_;
  std::size_t residuals_;
  std::string problem_;
  StoreUse use_;
};

}  // namespace rooftune::calibrate
