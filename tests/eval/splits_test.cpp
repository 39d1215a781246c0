#include "rooftune/eval/splits.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "support/simulated_runs.hpp"

namespace rooftune::eval {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// a, b: Llama-2-7B at TP 1 and 2; c: Nemo; d: Llama-3.1-70B at TP 4.
const Dataset& four_cases() {
  static const Dataset dataset = examples::dataset_of(examples::four_runs(), examples::config_with("physics", {}));
  return dataset;
}

std::vector<Fold> folds_of(const SplitSpec& split, std::uint64_t seed = 1) {
  auto folds = make_folds(four_cases(), split, seed);
  EXPECT_TRUE(folds) << core::format(folds.error());
  return folds ? *folds : std::vector<Fold>{};
}

/// Every experiment is on exactly one side of every fold.
void expect_partition(const std::vector<Fold>& folds) {
  for (const Fold& fold : folds) {
    std::vector<std::size_t> all = fold.training;
    all.insert(all.end(), fold.test.begin(), fold.test.end());
    std::ranges::sort(all);
    EXPECT_THAT(all, ElementsAre(0, 1, 2, 3)) << fold.name;
  }
}

TEST(LeaveOneGroupOut, LeavesEachGroupOutOnce) {
  const auto folds = folds_of({.kind = "LeaveOneGroupOut", .group = "model"});
  expect_partition(folds);
  ASSERT_THAT(folds, SizeIs(3));
  EXPECT_EQ(folds[0].name, "model=Llama-2-7b-hf");
  EXPECT_THAT(folds[0].test, ElementsAre(0, 1));
  EXPECT_THAT(folds[2].test, ElementsAre(3));
}

TEST(LeavePGroupsOut, LeavesEveryPairOutOnce) {
  const auto folds = folds_of({.kind = "LeavePGroupsOut", .group = "experiment", .groups_out = 2});
  expect_partition(folds);
  EXPECT_THAT(folds, SizeIs(6));
}

TEST(KFold, TestsEveryExperimentOnce) {
  const auto folds = folds_of({.kind = "KFold", .folds = 2});
  expect_partition(folds);
  std::multiset<std::size_t> tested;
  for (const Fold& fold : folds) tested.insert(fold.test.begin(), fold.test.end());
  EXPECT_THAT(tested, ElementsAre(0, 1, 2, 3));
}

TEST(GroupKFold, NeverSplitsAGroupAndBalancesSizes) {
  const auto folds = folds_of({.kind = "GroupKFold", .group = "model", .folds = 2});
  expect_partition(folds);
  ASSERT_THAT(folds, SizeIs(2));
  EXPECT_THAT(folds[0].test, ElementsAre(0, 1));
  EXPECT_THAT(folds[1].test, ElementsAre(2, 3));
}

TEST(GroupShuffleSplit, DrawsTheSameFoldsFromTheSameSeed) {
  const SplitSpec split{.kind = "GroupShuffleSplit", .group = "model", .folds = 5, .test_fraction = 0.34};
  const auto folds = folds_of(split, 7);
  expect_partition(folds);
  const auto again = folds_of(split, 7);
  ASSERT_THAT(folds, SizeIs(5));
  for (std::size_t i = 0; i < folds.size(); ++i) EXPECT_EQ(folds[i].test, again[i].test);
}

TEST(PredefinedSplit, KeepsMinusOneInTraining) {
  const auto folds = folds_of({.kind = "PredefinedSplit", .predefined = {{"a", 0}, {"b", -1}, {"c", 1}, {"d", 1}}});
  expect_partition(folds);
  ASSERT_THAT(folds, SizeIs(2));
  EXPECT_THAT(folds[0].test, ElementsAre(0));
  EXPECT_THAT(folds[1].test, ElementsAre(2, 3));
}

TEST(PredefinedSplit, RefusesAnExperimentThatIsNotThere) {
  const auto folds = make_folds(four_cases(), {.kind = "PredefinedSplit", .predefined = {{"zz", 0}}}, 1);
  ASSERT_FALSE(folds);
  EXPECT_THAT(core::format(folds.error()), HasSubstr("'zz'"));
}

TEST(MakeFolds, RefusesTooFewGroups) {
  EXPECT_FALSE(make_folds(four_cases(), {.kind = "LeaveOneGroupOut", .group = "gpu"}, 1));
  EXPECT_FALSE(make_folds(four_cases(), {.kind = "GroupKFold", .group = "model", .folds = 4}, 1));
}

TEST(MakeFolds, SaysWhatTrainingLacks) {
  const auto folds = folds_of({.kind = "LeaveOneGroupOut", .group = "model"});
  EXPECT_THAT(folds[0].lost_coverage, Contains("the only MHA models"));
  EXPECT_THAT(folds[1].lost_coverage, IsEmpty());
}

TEST(GroupOf, HoldsAModelTogetherHoweverItIsSpelt) {
  std::vector<domain::Experiment> runs = examples::four_runs();
  runs[1].deployment.model = "LLAMA-2-7B-HF";
  const Dataset dataset = examples::dataset_of(runs, examples::config_with("physics", {}));
  EXPECT_EQ(group_of(dataset.cases[1], "model"), group_of(dataset.cases[0], "model"));
}

TEST(GroupOf, FindsTheFamilyBeforeTheSize) {
  EXPECT_EQ(group_of(four_cases().cases[0], "family"), "Llama-2");
  EXPECT_EQ(group_of(four_cases().cases[3], "family"), "Llama-3.1");
  EXPECT_EQ(group_of(four_cases().cases[3], "tp"), "4");
}

}  // namespace
}  // namespace rooftune::eval
