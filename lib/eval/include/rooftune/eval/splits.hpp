#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/eval/dataset.hpp"

namespace rooftune::eval {

inline constexpr std::array<std::string_view, 6> kSplitKinds{"KFold",           "GroupKFold",        "LeaveOneGroupOut",
                                                             "LeavePGroupsOut", "GroupShuffleSplit", "PredefinedSplit"};
inline constexpr std::array<std::string_view, 8> kSplitGroups{"experiment", "model", "family", "tp",
                                                              "workload",   "gpu",   "load",   "sweep"};

/// How data is split into training and test; names and meaning as in scikit-learn.
struct SplitSpec {
  std::string kind = "LeaveOneGroupOut";    ///< one of kSplitKinds
  std::string group = "model";              ///< one of kSplitGroups
  int folds = 5;                            ///< KFold, GroupKFold, GroupShuffleSplit
  int groups_out = 1;                       ///< LeavePGroupsOut
  double test_fraction = 0.25;              ///< GroupShuffleSplit
  std::map<std::string, int> predefined{};  ///< experiment id -> fold; -1: always in training
  friend bool operator==(const SplitSpec&, const SplitSpec&) = default;
};

/// One fold: indices of whole experiments. Requests or stages of one run never straddle a split.
struct Fold {
  std::string name;  ///< "model=Yi-34B"
  std::vector<std::size_t> training;
  std::vector<std::size_t> test;
  std::vector<std::string> lost_coverage;  ///< what only the test part has: "the only MoE models", ...
};

/// By what errors are grouped wherever they are shown, traced or guarded: names for group_of.
inline constexpr std::array<std::string_view, 4> kGroupKinds{"model", "tp", "workload", "gpu"};

/// The group that an experiment belongs to: its id, model, model family, tp, workload, GPU, or load level (low, medium, high
/// by the share of decode slots its measured E2E and rate keep busy).
[[nodiscard]] std::string group_of(const Case& item, std::string_view group);

/// The folds of a split; an error when there are fewer groups than the split needs.
[[nodiscard]] core::Result<std::vector<Fold>> make_folds(const Dataset& dataset, const SplitSpec& split, std::uint64_t seed);

}  // namespace rooftune::eval
