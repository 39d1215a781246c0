#include "rooftune/report/tables.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rooftune/report/line_width.hpp"

namespace rooftune::report {
namespace {

using domain::kSummaryStage;
using domain::Metric;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

eval::Evaluation evaluation(double ttft_ms, double e2e_ms) {
  eval::Evaluation result;
  result.rows = {{"17", kSummaryStage, Metric::ttft_mean, ttft_ms, 40.0},
                 {"17", kSummaryStage, Metric::e2e_mean, e2e_ms, 2000.0},
                 {"17", 0, Metric::ttft_mean, ttft_ms, 40.0},
                 {"17", 0, Metric::e2e_mean, e2e_ms, 2000.0}};
  eval::CaseReport report;
  report.experiment = "17";
  report.model = "Yi-34B";
  report.hardware = "H100-SXM";
  report.tp = 2;
  report.workload = "chat";
  result.cases = {report};
  eval::summarise(result);
  return result;
}

TEST(RowTable, ShowsPredictedMeasuredAndSignedError) {
  EXPECT_EQ(
      row_table(evaluation(50.0, 1900.0), Colour::off),
      "\nMean latencies, predicted (mean of 1 replicate) and measured\n"
      "                                                     error %                TTFT ms               E2E ms              TPOT ms\n"
      "experiment  model   GPU       TP  workload    stage     TTFT   E2E  TPOT  predicted  measured  predicted  measured  predicted  "
      "measured\n"
      "----------  ------  --------  --  --------  -------  -------  ----  ----  ---------  --------  ---------  --------  ---------  "
      "--------\n"
      "17          Yi-34B  H100-SXM   2  chat      summary    +25.0  -5.0     -      50.00     40.00       1900      2000          -  "
      " "
      "      -\n");
}

TEST(RowTable, ShowsEveryErrorOnANarrowTerminal) {
  eval::Evaluation two = evaluation(50.0, 1900.0);
  two.rows.push_back({"17", kSummaryStage, Metric::tpot_mean, 26.0, 20.0});
  eval::CaseReport other = two.cases.front();
  other.experiment = "guidellm-18";
  other.model = "Mistral-Small-3.1-24B-Instruct-2503";
  other.hardware = "A100-80GB";
  other.workload = "summarization";
  two.cases.push_back(other);
  two.rows.push_back({"guidellm-18", kSummaryStage, Metric::tpot_mean, 19.0, 20.0});
  set_line_width(80);
  const std::string text = row_table(two, Colour::off);
  set_line_width(0);
  for (const char* error : {"+25.0", "-5.0", "+30.0"}) EXPECT_THAT(text, HasSubstr(error));
  EXPECT_THAT(text, HasSubstr("--wide shows"));
}

TEST(RowTable, ShowsStagesOnlyWhereThereAreSeveral) {
  eval::Evaluation two_stages = evaluation(50.0, 1900.0);
  two_stages.rows.push_back({"17", 1, Metric::e2e_mean, 3000.0, 2500.0});
  EXPECT_THAT(row_table(two_stages, Colour::off), HasSubstr("      0    +25.0"));
  EXPECT_THAT(row_table(two_stages, Colour::off), HasSubstr("+20.0"));
}

TEST(RowTable, MarksOverloadedRuns) {
  eval::Evaluation overloaded = evaluation(50.0, 1900.0);
  overloaded.cases[0].aggregated = false;
  eval::summarise(overloaded);
  EXPECT_THAT(row_table(overloaded, Colour::off), HasSubstr("17 *"));
  EXPECT_THAT(row_table(overloaded, Colour::off), HasSubstr("in no average"));
  EXPECT_THAT(overloaded.overall, IsEmpty());
}

TEST(BeforeAfterTable, PutsSignedErrorsSideBySideAndTheirMeansBelow) {
  EXPECT_EQ(before_after_table(evaluation(50.0, 1900.0), evaluation(42.0, 2010.0), Colour::off),
            "\nError of the predicted means (predicted - measured, summaries)\n"
            "                                            TTFT %          E2E %         TPOT %\n"
            "experiment  model   GPU       TP  workload  before  after  before  after  before  after\n"
            "----------  ------  --------  --  --------  ------  -----  ------  -----  ------  -----\n"
            "17          Yi-34B  H100-SXM   2  chat       +25.0   +5.0    -5.0   +0.5       -      -\n"
            "----------  ------  --------  --  --------  ------  -----  ------  -----  ------  -----\n"
            "mean |error|                                  25.0    5.0     5.0    0.5       -      -\n");
}

TEST(ImprovementTable, EndsWithTheLoss) {
  EXPECT_THAT(improvement_table(evaluation(50.0, 1900.0), evaluation(42.0, 2010.0), Colour::off), HasSubstr("loss 30.00 % -> 5.50 %"));
}

TEST(WarningList, IsEmptyWhenThereIsNothingToSay) {
  eval::Evaluation quiet;
  EXPECT_THAT(warning_list(quiet, Colour::off), IsEmpty());
  quiet.warnings = {"saturated"};
  EXPECT_EQ(warning_list(quiet, Colour::off), "\nWarnings\n- saturated\n");
}

calibrate::FitResult small_fit() {
  calibrate::FitResult result;
  calibrate::Estimate estimate{.parameter = params::make_free(params::parameter("physics.t_step_us"))};
  estimate.start = 200.0;
  estimate.value = 312.5;
  estimate.standard_error = 12.5;
  estimate.relative_standard_error = 0.04;
  result.estimates = {estimate};
  estimate.parameter = params::make_free(params::parameter("physics.pnorm"));
  estimate.value = 50.0;
  estimate.standard_error.reset();
  estimate.relative_standard_error.reset();
  estimate.bound = opt::BoundState::at_upper;
  result.estimates.push_back(estimate);
  result.unidentified = {"physics.pnorm is hardly determined by the data"};
  return result;
}

TEST(ParameterTable, FlagsBoundsAndSaysWhatIsNotDetermined) {
  const std::string text = parameter_table(small_fit(), Colour::off);
  EXPECT_THAT(text, HasSubstr("physics.t_step_us  us      200  312.5      12.5  4.0"));
  EXPECT_THAT(text, HasSubstr("at its upper bound"));
  EXPECT_THAT(text, HasSubstr("1 of 2 fitted parameters are determined by the data; 1 at its upper bound\n"));
  EXPECT_THAT(text, HasSubstr("physics.pnorm is hardly determined by the data\n"));
}

TEST(SearchSummary, MarksWhatDependsOnTheMachine) {
  calibrate::FitResult result = small_fit();
  EXPECT_THAT(search_summary(result, Colour::off), Not(HasSubstr("another machine")));
  result.machine_dependent = true;
  EXPECT_THAT(search_summary(result, Colour::off), HasSubstr("another machine"));
}

TEST(CrossvalTables, ShowTrainingAndHeldOutWithTheGap) {
  calibrate::CrossValidation result;
  result.free = {params::make_free(params::parameter("physics.t_step_us"))};
  calibrate::FoldResult fold;
  fold.name = "model=Yi-34B";
  fold.held_out_experiments = {"17"};
  fold.values = {312.5};
  fold.training = evaluation(42.0, 2010.0);
  fold.held_out = evaluation(50.0, 1900.0);
  fold.lost_coverage = {"the only runs with TP 2"};
  result.folds = {fold};
  result.pooled = fold.held_out;
  const std::string text = crossval_tables(result, Colour::off);
  EXPECT_THAT(text, HasSubstr("model=Yi-34B *     1       5.0      25.0  +20.0       0.5       5.0  +4.5"));
  EXPECT_THAT(text, HasSubstr("training lacks the only runs with TP 2"));
  EXPECT_THAT(text, HasSubstr("physics.t_step_us  us     312.5"));
}

TEST(CrossvalTables, NeverScoreAFailedFold) {
  calibrate::CrossValidation result;
  calibrate::FoldResult fold;
  fold.name = "tp=1";
  fold.failure = "failed: no derivative";
  result.folds = {fold};
  result.failures = {"fold 'tp=1' could not be fitted: failed: no derivative"};
  const std::string text = crossval_tables(result, Colour::off);
  EXPECT_THAT(text, HasSubstr("failed"));
  EXPECT_THAT(text, Not(HasSubstr("pooled")));
}

TEST(CapacityTables, SayOfWhichDeploymentWhatStandsBelowThem) {
  plan::CapacityReport report;
  plan::CapacityAnswer answer;
  answer.model = "Mixtral-8x7B-v0.1";
  answer.tp = 4;
  answer.capacity.best.emplace();
  answer.speculation.emplace();
  answer.apart = plan::ApartAnswer{.pools = {.prefill = {.engines = 2, .tp = 4}, .decode = {.engines = 1, .tp = 8}}};
  report.answers = {answer, answer};
  report.answers[1].model = "Yi-34B";
  report.answers[1].data_parallel = 2;
  const std::string text = capacity_tables(report, Colour::off);
  for (const char* name : {"\nMixtral-8x7B-v0.1, TP 4: ", "\nYi-34B, TP 4, DP 2: "}) {
    EXPECT_THAT(text, HasSubstr(std::string(name) + "speculation "));
    EXPECT_THAT(text, HasSubstr(std::string(name) + "prefill and decode apart "));
  }
  EXPECT_THAT(text, HasSubstr("  2 prefill x TP 4 and 1 decode x TP 8: "));
}

}  // namespace
}  // namespace rooftune::report
