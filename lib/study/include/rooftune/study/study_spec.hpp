#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/params/space.hpp"

namespace rooftune::study {

/// The word for an enumerator in study files.
template <class Enum>
using Word = std::pair<std::string_view, Enum>;

/// The fields that a Selector may name.
inline constexpr std::array<std::string_view, 6> kSelectorFields{"id", "model", "hardware", "tp", "workload", "role"};

/// `field=value` on experiments: id, model, hardware, tp, workload, role. Values of one field are alternatives, fields must
/// all match.
struct Selector {
  std::string field;
  std::string value;
  friend bool operator==(const Selector&, const Selector&) = default;
};

/// Which files and which of their experiments. Paths are relative to the study file.
struct DataSpec {
  std::vector<std::string> ground_truth;
  std::vector<std::string> models;    ///< folders or files of models beside the shipped ones
  std::vector<std::string> hardware;  ///< files of GPUs beside the shipped ones
  std::vector<std::string> kernels;   ///< folders of kernel tables
  std::vector<Selector> select;       ///< empty: every experiment whose role is calibration
  std::vector<Selector> exclude;
  friend bool operator==(const DataSpec&, const DataSpec&) = default;
};

enum class ResidualKind { log_ratio, relative };
inline constexpr std::array<Word<ResidualKind>, 2> kResidualKinds{{
    {"log_ratio", ResidualKind::log_ratio},
    {"relative", ResidualKind::relative},
}};

enum class StageRows { summary, stages, both };
inline constexpr std::array<Word<StageRows>, 3> kStageRows{{
    {"summary", StageRows::summary},
    {"stages", StageRows::stages},
    {"both", StageRows::both},
}};

enum class Balance { rows, experiments };  ///< every row weighs the same, or every experiment does
inline constexpr std::array<Word<Balance>, 2> kBalances{{{"rows", Balance::rows}, {"experiments", Balance::experiments}}};

enum class LossKind { squared, huber, cauchy, tukey };
inline constexpr std::array<Word<LossKind>, 4> kLossKinds{{
    {"squared", LossKind::squared},
    {"huber", LossKind::huber},
    {"cauchy", LossKind::cauchy},
    {"tukey", LossKind::tukey},
}};

/// The scalar that scalar solvers minimise.
enum class ScalarObjective { sum_of_squares, mean_ape, rmse_ape_sum, worst_group };
inline constexpr std::array<Word<ScalarObjective>, 4> kScalarObjectives{{
    {"sum_of_squares", ScalarObjective::sum_of_squares},
    {"mean_ape", ScalarObjective::mean_ape},
    {"rmse_ape_sum", ScalarObjective::rmse_ape_sum},
    {"worst_group", ScalarObjective::worst_group},
}};

struct ObjectiveSpec {
  ResidualKind residual = ResidualKind::log_ratio;
  std::map<domain::Metric, double> metrics{{domain::Metric::ttft_mean, 1.0}, {domain::Metric::e2e_mean, 1.0}};  ///< weights
  StageRows rows = StageRows::stages;
  Balance balance = Balance::experiments;
  LossKind loss = LossKind::squared;
  double loss_scale = 0.1;  ///< residual size where a robust loss bends
  ScalarObjective scalar = ScalarObjective::sum_of_squares;
  friend bool operator==(const ObjectiveSpec&, const ObjectiveSpec&) = default;
};

/// One step of the solver pipeline; stages hand their best point on.
struct SolverStage {
  std::string algorithm = "ceres_lm";  ///< a name of opt::algorithm_names()
  int starts = 1;                      ///< the first is the given start, the others fill the box (Sobol)
  int max_evaluations = 200;           ///< of each start
  std::optional<double> max_seconds;   ///< makes the result depend on the machine; marked in every output
  double tolerance = 1e-6;             ///< relative change of the objective at which a start stops
  friend bool operator==(const SolverStage&, const SolverStage&) = default;
};

inline constexpr std::array<std::string_view, 6> kSplitKinds{"KFold",           "GroupKFold",        "LeaveOneGroupOut",
                                                             "LeavePGroupsOut", "GroupShuffleSplit", "PredefinedSplit"};
inline constexpr std::array<std::string_view, 7> kSplitGroups{"experiment", "model", "family", "tp", "workload", "gpu", "load"};

/// How crossval splits; names and meaning as in scikit-learn.
struct SplitSpec {
  std::string kind = "LeaveOneGroupOut";  ///< one of kSplitKinds
  std::string group = "model";            ///< one of kSplitGroups
  int folds = 5;                          ///< KFold, GroupKFold, GroupShuffleSplit
  int groups_out = 1;                     ///< LeavePGroupsOut
  double test_fraction = 0.25;            ///< GroupShuffleSplit
  std::map<std::string, int> predefined;  ///< experiment id -> fold; -1: always in training
  friend bool operator==(const SplitSpec&, const SplitSpec&) = default;
};

/// A study: what to fit or test, on which data, how. Everything a run needs besides the files it names.
struct StudySpec {
  std::string name;
  std::string description;
  DataSpec data;
  std::optional<std::string> start_config;  ///< path of a config to start from; empty: registry defaults
  std::optional<std::string> step_time_model;  ///< overrides the start config's
  std::map<params::SwitchId, std::size_t> switches;
  params::Assignments fixed;
  std::vector<params::FreeParameter> free;
  ObjectiveSpec objective;
  std::vector<SolverStage> solver;
  std::optional<SplitSpec> split;
  std::uint64_t seed = 1;
  int replicates = 1;
  int threads = 0;  ///< 0: all cores
  friend bool operator==(const StudySpec&, const StudySpec&) = default;
};

}  // namespace rooftune::study
