#pragma once

#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rooftune/core/parallel_map.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/eval/objective.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/params/space.hpp"

namespace rooftune::eval {

enum class Derivatives { no, yes };

/// A sum of squares above which nobody wants to know a point any more.
inline constexpr double kNeverGiveUp = std::numeric_limits<double>::infinity();

/// What one residual compares.
struct ResidualRow {
  std::size_t case_index = 0;
  int stage = domain::kSummaryStage;
  domain::Metric metric = domain::Metric::ttft_mean;
  double weight = 1.0;  ///< factor on the residual, not on its square
};

/// What was measured in a stage, or in all of them (kSummaryStage).
[[nodiscard]] const domain::Latencies& measured_row(const domain::Experiment& experiment, int stage);

struct Residuals {
  std::vector<double> values;         ///< one per row, then one per prior
  std::vector<double> jacobian;       ///< row-major, values.size() x free parameters, by transformed parameter; empty if not asked for
  std::vector<double> predicted_ms;   ///< by row
  std::vector<std::string> failures;  ///< of the simulator, in words; where they are penalised, the values say so
  std::optional<std::string> refusal;  ///< the point cannot be evaluated; everything else is then empty
  bool given_up = false;               ///< the sum of squares exceeds what was asked for; everything else is then empty
};

/// Residuals of a dataset as a function of the free parameters, in the space in which optimisers work. Pure and
/// thread-safe; parallel over experiments inside.
class ResidualFunction {
 public:
  /// `config` holds everything that is not free.
  ResidualFunction(const Dataset& dataset, params::Config config, std::vector<params::FreeParameter> free,
                   const ObjectiveSpec& objective, core::ThreadCount threads);

  [[nodiscard]] const std::vector<ResidualRow>& rows() const { return rows_; }
  [[nodiscard]] const std::vector<params::FreeParameter>& free() const { return free_; }
  [[nodiscard]] const Dataset& dataset() const { return dataset_; }
  [[nodiscard]] const params::Config& config() const { return config_; }
  [[nodiscard]] const ObjectiveSpec& objective() const { return objective_; }
  [[nodiscard]] std::size_t size() const;
  /// True when every metric has derivatives (means have, percentiles have not).
  [[nodiscard]] bool differentiable() const { return differentiable_; }

  /// A point is given up as soon as the experiments done so far have a larger sum of squares than `give_up_above`; whether it is
  /// does not depend on their order.
  [[nodiscard]] Residuals operator()(std::span<const double> transformed, Derivatives derivatives,
                                     double give_up_above = kNeverGiveUp) const;
  /// The objective's named scalar at this point (summary rows); infinity when the point is refused.
  [[nodiscard]] double scalar(std::span<const double> transformed) const;
  /// The config with the free parameters at this point.
  [[nodiscard]] params::Config config_at(std::span<const double> transformed) const;

 private:
  /// How the values of a config move with the transformed free parameters.
  struct Slopes {
    std::vector<double> free;
    std::vector<std::vector<double>> ties;  ///< by tie, then by free parameter
  };
  void balance_groups();
  void weigh_by_noise();
  [[nodiscard]] Slopes slopes_at(const params::Config& config, std::span<const double> transformed) const;
  /// What one experiment adds to the residuals: the rows that belong to it.
  struct CaseRows {
    std::vector<double> values;
    std::vector<double> predicted_ms;
    std::vector<double> jacobian;  ///< row-major, a column per free parameter; empty without derivatives
    std::string failure;           ///< why it could not be simulated, or empty
  };
  /// `slopes`: where derivatives are wanted, else null.
  [[nodiscard]] CaseRows simulate_case(std::size_t case_index, const params::Config& config, const Slopes* slopes) const;
  /// Values, and the columns from `first_column` on that fit into the scalar.
  template <class Scalar>
  void simulate_columns(std::size_t case_index, const params::Config& config, const Slopes* slopes, std::size_t first_column,
                        CaseRows& rows) const;
  [[nodiscard]] CaseRows predict_externally(std::size_t case_index, const params::Config& config) const;
  /// What the failure policy makes of the rows of a failed experiment.
  void penalise(std::size_t case_index, CaseRows& rows) const;
  [[nodiscard]] Residuals refuse(std::string reason) const;

  const Dataset& dataset_;
  params::Config config_;
  std::vector<params::FreeParameter> free_;
  ObjectiveSpec objective_;
  core::ThreadCount threads_;
  std::vector<ResidualRow> rows_;
  std::vector<std::size_t> first_row_;  ///< by case
  std::vector<std::size_t> priors_;     ///< free parameters that have one
  bool differentiable_ = true;
};

}  // namespace rooftune::eval
