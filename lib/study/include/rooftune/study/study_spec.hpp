#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/core/word.hpp"
#include "rooftune/domain/experiment.hpp"
#include "rooftune/eval/objective.hpp"
#include "rooftune/eval/splits.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/params/space.hpp"
#include "rooftune/study/onboard_spec.hpp"

namespace rooftune::study {

using core::Word;

/// The fields that a Selector may name.
inline constexpr std::array<std::string_view, 6> kSelectorFields{"id", "model", "hardware", "tp", "workload", "role"};

/// The value of the field `role` that matches every role.
inline constexpr std::string_view kAnyRole = "any";

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

using eval::Balance;
using eval::kBalances;
using eval::kLossKinds;
using eval::kResidualKinds;
using eval::kScalarObjectives;
using eval::kSplitGroups;
using eval::kSplitKinds;
using eval::kStageRows;
using eval::LossKind;
using eval::ObjectiveSpec;
using eval::ResidualKind;
using eval::ScalarObjective;
using eval::SplitSpec;
using eval::StageRows;

/// One step of the solver pipeline; stages hand their best point on.
struct SolverStage {
  std::string algorithm = "ceres_lm";  ///< a name of opt::algorithm_names()
  int starts = 1;                      ///< the first is the given start, the others fill the box (Sobol)
  int max_evaluations = 200;           ///< of each start
  std::optional<double> max_seconds;   ///< makes the result depend on the machine; marked in every output
  double tolerance = 1e-6;             ///< relative change of the objective at which a start stops
  friend bool operator==(const SolverStage&, const SolverStage&) = default;
};

/// One way to model step times, which `rooftune compare` fits beside others. What it leaves out is the study's.
struct VariantSpec {
  std::string name;
  std::optional<std::string> step_time_model;
  std::map<params::SwitchId, std::size_t> switches;        ///< over the study's
  params::Assignments fixed;                               ///< over the study's; what is fixed here is not free
  std::vector<params::FreeParameter> free;                 ///< beside the study's
  std::vector<params::FreeParameter> free_per_deployment;  ///< one of each for every (model, GPU, TP) of the data
  friend bool operator==(const VariantSpec&, const VariantSpec&) = default;
};

/// What the corrections between two variants are worth one by one: `from` is fitted again with each of its switches and fixed
/// values that differ set as in `to`.
struct OneByOneSpec {
  std::string from;  ///< names of variants
  std::string to;
  friend bool operator==(const OneByOneSpec&, const OneByOneSpec&) = default;
};

/// What `rooftune compare` fits under the study's budget.
struct CompareSpec {
  std::vector<VariantSpec> variants;
  std::optional<OneByOneSpec> one_by_one;
  friend bool operator==(const CompareSpec&, const CompareSpec&) = default;
};

/// A study: what to fit or test, on which data, how. Everything a run needs besides the files it names.
struct StudySpec {
  std::string name;
  std::string description;
  DataSpec data;
  std::optional<std::string> start_config;     ///< path of a config to start from; empty: registry defaults
  std::optional<std::string> step_time_model;  ///< overrides the start config's
  std::map<params::SwitchId, std::size_t> switches;
  params::Assignments fixed;
  std::vector<params::FreeParameter> free;
  ObjectiveSpec objective;
  std::vector<SolverStage> solver;
  std::optional<SplitSpec> split;
  std::optional<CompareSpec> compare;
  std::optional<OnboardSpec> onboard;
  std::uint64_t seed = 1;
  int replicates = 1;
  int threads = 0;  ///< 0: all cores
  friend bool operator==(const StudySpec&, const StudySpec&) = default;
};

}  // namespace rooftune::study
