#pragma once

#include <array>
#include <map>
#include <optional>

#include "rooftune/core/word.hpp"
#include "rooftune/domain/experiment.hpp"

namespace rooftune::eval {

using core::Word;

/// log_ratio: log(predicted / measured); relative: predicted / measured - 1.
enum class ResidualKind { log_ratio, relative };
inline constexpr std::array<Word<ResidualKind>, 2> kResidualKinds{{
    {"log_ratio", ResidualKind::log_ratio},
    {"relative", ResidualKind::relative},
}};

/// Which rows of an experiment become residuals.
enum class StageRows { summary, stages, both };
inline constexpr std::array<Word<StageRows>, 3> kStageRows{{
    {"summary", StageRows::summary},
    {"stages", StageRows::stages},
    {"both", StageRows::both},
}};

/// What weighs the same: every row, every experiment, or every group of experiments (and every experiment within its group).
/// The names of groups are those of splits.
enum class Balance { rows, experiments, model, family, tp, workload, gpu };
inline constexpr std::array<Word<Balance>, 7> kBalances{{
    {"rows", Balance::rows},
    {"experiments", Balance::experiments},
    {"model", Balance::model},
    {"family", Balance::family},
    {"tp", Balance::tp},
    {"workload", Balance::workload},
    {"gpu", Balance::gpu},
}};

enum class LossKind { squared, huber, cauchy, tukey };
inline constexpr std::array<Word<LossKind>, 4> kLossKinds{{
    {"squared", LossKind::squared},
    {"huber", LossKind::huber},
    {"cauchy", LossKind::cauchy},
    {"tukey", LossKind::tukey},
}};

/// The scalar that scalar solvers minimise.
enum class ScalarObjective {
  sum_of_squares,  ///< of the residuals, with weights and robust loss
  mean_ape,        ///< mean absolute percentage error over experiments and metrics, summary rows
  rmse_ape_sum,    ///< the published training loss: RMSE over experiments of APE, summed over the metrics
  worst_group,     ///< the largest mean absolute percentage error of a model
};
inline constexpr std::array<Word<ScalarObjective>, 4> kScalarObjectives{{
    {"sum_of_squares", ScalarObjective::sum_of_squares},
    {"mean_ape", ScalarObjective::mean_ape},
    {"rmse_ape_sum", ScalarObjective::rmse_ape_sum},
    {"worst_group", ScalarObjective::worst_group},
}};

/// What a fit makes small.
struct ObjectiveSpec {
  ResidualKind residual = ResidualKind::log_ratio;
  std::map<domain::Metric, double> metrics{{domain::Metric::ttft_mean, 1.0}, {domain::Metric::e2e_mean, 1.0}};  ///< weights
  StageRows rows = StageRows::stages;
  Balance balance = Balance::experiments;
  LossKind loss = LossKind::squared;
  double loss_scale = 0.1;  ///< residual size where a robust loss bends
  ScalarObjective scalar = ScalarObjective::sum_of_squares;
  double noise = 0.03;  ///< typical size of a residual at the best fit: what priors are weighed against
  /// A residual that is noisier than `noise` by its run's length or by how well a server repeats itself weighs less by as much.
  std::optional<bool> weigh_by_noise{};
  friend bool operator==(const ObjectiveSpec&, const ObjectiveSpec&) = default;
};

}  // namespace rooftune::eval
