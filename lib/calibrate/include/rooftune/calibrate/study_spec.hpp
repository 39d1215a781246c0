#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/calibrate/external_spec.hpp"
#include "rooftune/calibrate/onboard_spec.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/domain/experiment.hpp"
#include "rooftune/eval/external.hpp"
#include "rooftune/eval/objective.hpp"
#include "rooftune/eval/splits.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/params/space.hpp"

namespace rooftune::calibrate {

using core::Word;

/// The fields that a Selector may name.
inline constexpr std::array<std::string_view, 7> kSelectorFields{"id", "model", "hardware", "tp", "workload", "role", "sweep"};

/// The value of the field `role` that matches every role.
inline constexpr std::string_view kAnyRole = "any";

/// `field=value` on experiments: id, model, hardware, tp, workload, role, sweep. Values of one field are alternatives, fields must
/// all match.
struct Selector {
  std::string field;
  std::string value;
  friend bool operator==(const Selector&, const Selector&) = default;
};

/// Measurements that a simulation stands in for (a twin experiment): what a config predicts for the selected experiments, with
/// other arrivals than the study's and with noise, replaces what was measured. The truth is known then.
struct SimulatedSpec {
  std::string config;   ///< path of the config that is the truth
  double noise = 0.01;  ///< standard deviation of the log of every latency
  std::uint64_t seed = 1000;
  friend bool operator==(const SimulatedSpec&, const SimulatedSpec&) = default;
};

/// What a study takes for granted about a model whose own config does not say it.
struct ModelAssumption {
  std::string model;
  std::optional<int> moe_layers;           ///< layers with experts
  std::optional<bool> truncated_sampling;  ///< top-p or top-k by default
  friend bool operator==(const ModelAssumption&, const ModelAssumption&) = default;
};

/// Which files and which of their experiments. Paths are relative to the study file.
struct DataSpec {
  std::vector<std::string> ground_truth;
  std::vector<std::string> models;    ///< folders or files of models beside the shipped ones
  std::vector<std::string> hardware;  ///< files of GPUs beside the shipped ones
  std::vector<std::string> kernels;   ///< folders of kernel tables
  std::vector<Selector> select;       ///< empty: every experiment whose role is calibration
  std::vector<Selector> exclude;
  /// Of what is selected: never fitted, predicted beside the fit at every iteration.
  std::vector<Selector> held_out;
  std::vector<ModelAssumption> assume{};
  std::optional<SimulatedSpec> simulated_by{};
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

/// What a fit finds out about its parameters beside standard errors and correlations; each refits many times.
struct UncertaintySpec {
  std::vector<std::string> profile;  ///< labels of free parameters whose profile likelihood is traced
  int bootstrap = 0;                 ///< refits on resampled experiments; 0: none
  friend bool operator==(const UncertaintySpec&, const UncertaintySpec&) = default;
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

/// Experiments that match any of several lists of selectors.
using Selection = std::vector<std::vector<Selector>>;

/// What a model may have to be carried to: another model, a higher TP degree, another GPU.
inline constexpr std::array<std::string_view, 3> kExtrapolations{"model", "tp", "gpu"};

/// A program that proposes changes: it is asked on its standard input, and answers on its standard output (docs/proposers.md).
struct ProposerSpec {
  std::string folder = ".";          ///< of its files: ${folder}; counts from the study's folder
  std::vector<std::string> command;  ///< program and arguments; no shell
  double timeout_s = 300.0;          ///< of one answer
  friend bool operator==(const ProposerSpec&, const ProposerSpec&) = default;
};

/// What `rooftune improve` may do with a study, and what a change has to show to be kept.
struct ImproveSpec {
  Selection train;                       ///< runs that fits see at first; empty: all but `test`. The others are held out always
  Selection extend;                      ///< runs that the move "extend the training data" may add, one entry at a time
  Selection test;                        ///< runs that no decision sees: scored before the first round and after the last
  std::vector<std::string> extrapolate;  ///< kExtrapolations that folds check beside the split; empty: those that `test` asks for
  std::vector<std::string> quarantine;   ///< ids of runs that were found suspicious: not fitted, shown, not scored
  std::vector<std::string> moves;        ///< ids or "prefix*" of the catalogue; empty: all of it
  std::vector<std::string> without;      ///< those that are not tried
  int rounds = 30;                       ///< at most
  std::optional<long> max_evaluations;   ///< of an experiment's fits in all rounds together
  std::optional<double> max_seconds;     ///< makes the result depend on the machine; marked in every output
  int candidates = 12;                   ///< moves that are screened together
  int seeds = 3;                         ///< repeats with other arrivals by which a verdict knows its noise
  int starts = 1;                        ///< of each fit of a verdict
  double min_gain_percent = 0.1;         ///< of the held-out score that a change must bring beside being outside the noise
  double price_percent = 0.1;            ///< of the held-out score that every further free parameter must bring
  double tolerance_percent = 3.0;        ///< points by which a group's held-out error may grow, ...
  double tolerance_fraction = 0.1;       ///< ... or this part of the error that it had, whichever is larger
  std::optional<bool> naked;             ///< moves free parameters without priors
  std::optional<ProposerSpec> proposer;  ///< asked for moves at every diagnosis
  friend bool operator==(const ImproveSpec&, const ImproveSpec&) = default;
};

/// A study: what to fit or test, on which data, how. Everything a run needs besides the files it names.
struct StudySpec {
  std::string name;
  std::string description;
  DataSpec data;
  std::optional<std::string> start_config;     ///< path of a config to start from; empty: registry defaults
  std::optional<std::string> step_time_model;  ///< overrides the start config's
  std::optional<ExternalSpec> simulator;       ///< predicts in place of ours
  eval::FailurePolicy failures;                ///< of the simulator
  std::map<params::SwitchId, std::size_t> switches;
  params::Assignments fixed;
  std::vector<params::FreeParameter> free;
  std::vector<params::Tie> tied;  ///< as written; `free` parameters with companions add more when the study is prepared
  ObjectiveSpec objective;
  std::vector<SolverStage> solver;
  UncertaintySpec uncertainty;
  std::optional<SplitSpec> split;
  std::optional<CompareSpec> compare;
  std::optional<ImproveSpec> improve;
  std::optional<OnboardSpec> onboard;
  std::uint64_t seed = 1;
  int replicates = 1;
  int threads = 0;  ///< 0: all cores
  friend bool operator==(const StudySpec&, const StudySpec&) = default;
};

}  // namespace rooftune::calibrate
