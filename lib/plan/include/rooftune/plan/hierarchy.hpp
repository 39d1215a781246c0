#pragma once

#include <array>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/kernels/kernel_summary.hpp"

namespace rooftune::plan {

/// What a deviation from the shared values belongs to. The GPU comes with its host, the version is the engine's.
enum class Level { gpu, version, model };
inline constexpr std::array<core::Word<Level>, 3> kLevels{{{"GPU", Level::gpu}, {"version", Level::version}, {"model", Level::model}}};

/// How far one group's value of a parameter lies from the shared one, in the transformed space: shrunk towards 0 by as much as its
/// runs leave open.
struct GroupDeviation {
  std::string group;       ///< "A100-SXM", "0.11.0", "Yi-34B"
  double moved = 0.0;      ///< beside what kernel tables expect of the GPU
  double deviation = 0.0;  ///< one standard deviation
};

/// How far a parameter moves from group to group of one level.
struct Spread {
  std::string parameter;
  Level level = Level::gpu;
  double expected = 0.0;       ///< before any run: the centre of the prior of the spread
  double value = 0.0;          ///< standard deviation of the transformed parameter over groups
  double log_deviation = 0.0;  ///< one standard deviation of the logarithm of `value`
  bool is_told = false;        ///< the runs narrow it
  std::vector<GroupDeviation> groups;
};

/// What the groups have in common.
struct SharedValue {
  std::string parameter;
  double value = 0.0;
  double deviation = 0.0;  ///< one standard deviation in the transformed space
};

/// Runs of one GPU, version and model, and how well they are met.
struct GroupFit {
  std::string gpu;
  std::string version;
  std::string model;
  std::size_t runs = 0;
  std::size_t rows = 0;
  double shared_percent = 0.0;  ///< mean |log error| of TTFT and E2E with the shared values and kernel tables alone
  double own_percent = 0.0;     ///< with the deviations of its GPU, version and model
};

struct Hierarchy {
  std::vector<Spread> spreads;  ///< by level, then in the order of the study's free parameters
  std::vector<SharedValue> shared;
  std::vector<GroupFit> groups;
  std::size_t left_out = 0;  ///< rows that a queue decides
  int iterations = 0;
  bool converged = false;
  bool interrupted = false;
};

struct HierarchyHooks {
  std::function<void(int iteration)> progress = {};
  std::stop_token cancel = {};  ///< ends it after the iteration that goes on: not converged
};

/// Fits all runs of a study at once: every free parameter is a shared value with the study's prior, plus a deviation for every GPU
/// and every engine version but the first experiment's, plus one for every model. Deviations are normal around 0 (around what kernel
/// tables say, between GPUs) with a spread for each parameter and level, and the spreads are estimated too (empirical Bayes): the
/// simulation is linearised, the deviations' posterior and the spreads are found by turns (EM), and the simulation is linearised
/// there again. As groups are few, the logarithm of every spread has a prior: normal around a general expectation with a deviation of
/// 0.7, a factor of two either way.
[[nodiscard]] core::Result<Hierarchy> fit_hierarchy(const calibrate::PreparedStudy& study, const calibrate::StudyInputs& inputs,
                                                    const std::vector<kernels::KernelSummary>& summaries,
                                                    const HierarchyHooks& hooks = {});

}  // namespace rooftune::plan
