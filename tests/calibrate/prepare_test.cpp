#include "rooftune/calibrate/prepare.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/simulated_runs.hpp"

namespace rooftune::calibrate {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Selection : public testing::Test {
 protected:
  [[nodiscard]] std::vector<std::string> selected(const std::vector<Selector>& select,
                                                  const std::vector<Selector>& exclude = {}) const {
    DataSpec data;
    data.select = select;
    data.exclude = exclude;
    std::vector<std::string> ids;
    for (const domain::Experiment& run : runs_) {
      if (is_selected(run, data, examples::gpus())) ids.push_back(run.id);
    }
    return ids;
  }

  Selection() : runs_(examples::four_runs()) {
    runs_[2].role = domain::Role::overload;
    domain::Experiment other = runs_[0];
    other.id = "e";
    other.deployment.hardware = "A100-80GB";
    other.role = domain::Role::new_gpu;
    runs_.push_back(other);
  }

  std::vector<domain::Experiment> runs_;
};

TEST_F(Selection, TakesCalibrationRunsWhenNothingIsSaid) { EXPECT_THAT(selected({}), ElementsAre("a", "b", "d")); }

TEST_F(Selection, TakesAnOverloadedRunOnlyByNameOrRole) {
  EXPECT_THAT(selected({{"model", "Mistral-Nemo-Instruct-2407"}}), ElementsAre());
  EXPECT_THAT(selected({{"id", "c"}}), ElementsAre("c"));
  EXPECT_THAT(selected({{"role", "overload"}}), ElementsAre("c"));
}

TEST_F(Selection, KnowsAGpuByAllItsNames) { EXPECT_THAT(selected({{"hardware", "A100-SXM"}}), ElementsAre("e")); }

TEST_F(Selection, JoinsValuesOfAFieldAndCrossesFields) {
  EXPECT_THAT(selected({{"tp", "1"}, {"tp", "2"}}), ElementsAre("a", "b"));
  EXPECT_THAT(selected({{"tp", "1"}, {"tp", "2"}, {"id", "b"}}), ElementsAre("b"));
}

TEST_F(Selection, LeavesOutWhatIsExcluded) { EXPECT_THAT(selected({}, {{"tp", "4"}, {"id", "a"}}), ElementsAre("b")); }

TEST_F(Selection, MatchesAModelByItsShortNameWhateverTheCase) {
  EXPECT_THAT(selected({{"model", "meta-llama/LLAMA-2-7b-HF"}}), ElementsAre("a", "b"));
}

TEST(ParseSelector, SplitsFieldAndValue) { EXPECT_EQ(*parse_selector("workload=a=b"), (Selector{"workload", "a=b"})); }

TEST(ParseSelector, NamesTheFieldThatWasMeant) {
  EXPECT_THAT(core::format(parse_selector("modell=x").error()), HasSubstr("did you mean 'model'?"));
  EXPECT_THAT(core::format(parse_selector("model").error()), HasSubstr("write field=value"));
}

class Prepare : public testing::Test {
 protected:
  Prepare() : inputs_{.experiments = examples::four_runs(), .models = examples::models(), .gpus = examples::gpus(), .start = {}} {}

  [[nodiscard]] std::string problems() const {
    const auto prepared = prepare(spec_, inputs_);
    return prepared ? "" : core::format(prepared.error());
  }

  StudySpec spec_;
  StudyInputs inputs_;
};

TEST_F(Prepare, DrawsTheRequestsOfTheSelectedRuns) {
  spec_.data.select = {{"tp", "2"}};
  const auto prepared = prepare(spec_, inputs_);
  ASSERT_TRUE(prepared) << problems();
  ASSERT_EQ(prepared->dataset.cases.size(), 1u);
  EXPECT_EQ(prepared->dataset.cases[0].plan(0)->stages[0].requests.size(), std::size_t{examples::kRequestsPerStage});
}

TEST_F(Prepare, ReportsEveryProblemAtOnce) {
  inputs_.experiments[0].deployment.model = "Lama-2-7b-hf";
  inputs_.experiments[1].deployment.hardware = "H1000";
  EXPECT_THAT(problems(), HasSubstr("unknown model 'Lama-2-7b-hf' (did you mean 'Llama-2-7b-hf'?"));
  EXPECT_THAT(problems(), HasSubstr("unknown GPU 'H1000'"));
}

TEST_F(Prepare, SaysWhichSelectorMatchesNothing) {
  spec_.data.select = {{"model", "Llama-2-7b"}};
  EXPECT_THAT(problems(), HasSubstr("no experiment has model 'Llama-2-7b' (did you mean 'Llama-2-7b-hf'?)"));
}

TEST_F(Prepare, RefusesBoundsThatCross) {
  params::FreeParameter free = params::make_free(params::parameter("roofline_v1.TOverheadMicros"));
  std::swap(free.lower, free.upper);
  spec_.free = {free};
  EXPECT_THAT(problems(), HasSubstr("is not below upper bound"));
}

TEST_F(Prepare, RefusesATensorParallelDegreeThatDoesNotDivideTheHeads) {
  inputs_.experiments[0].deployment.tp = 3;
  EXPECT_THAT(problems(), HasSubstr("experiment 'a': cannot be simulated"));
}

TEST_F(Prepare, StartsAFreeParameterFromTheConfigUnlessTheStudySaysOtherwise) {
  inputs_.start = examples::config_with("roofline_v1", {{"roofline_v1.TOverheadMicros", 700.0}, {"roofline_v1.BwEffConstant", 0.8}});
  spec_.free = {params::make_free(params::parameter("roofline_v1.TOverheadMicros")),
                params::make_free(params::parameter("roofline_v1.BwEffConstant"))};
  spec_.free[1].initial = 0.6;
  spec_.free[1].initial_is_given = true;
  const auto prepared = prepare(spec_, inputs_);
  ASSERT_TRUE(prepared) << problems();
  EXPECT_EQ(prepared->spec.free[0].initial, 700.0);
  EXPECT_EQ(prepared->spec.free[1].initial, 0.6);
  EXPECT_EQ(params::current_value(prepared->start, spec_.free[1]), 0.6);
}

TEST_F(Prepare, LetsFixedValuesOverrideTheConfig) {
  inputs_.start = examples::config_with("roofline_v1", {{"roofline_v1.BwEffConstant", 0.8}});
  spec_.fixed[params::parameter("roofline_v1.BwEffConstant")] = {.value = 0.7, .standard_error = {}};
  const auto prepared = prepare(spec_, inputs_);
  ASSERT_TRUE(prepared) << problems();
  EXPECT_EQ(prepared->start.parameters.at(params::parameter("roofline_v1.BwEffConstant")).value, 0.7);
}

}  // namespace
}  // namespace rooftune::calibrate
