#include "rooftune/runs/study_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "support/temporary_folder.hpp"

namespace rooftune::runs {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

StudyFile parsed(const std::string& text) {
  auto file = parse_study(text, "study.yaml");
  if (!file) {
    ADD_FAILURE() << core::format(file.error());
    return {};
  }
  return *std::move(file);
}

std::string errors_of(const std::string& text) {
  const auto file = parse_study("name: x\n" + text, "study.yaml");
  return file ? "no error" : core::format(file.error());
}

params::FreeParameter free_of(std::string_view id) { return params::make_free(params::parameter(id)); }

/// A study that uses every key.
constexpr const char* kRich = R"(name: rich
description: "every key: yes"
data:
  ground_truth: [../ground_truth/a.json, b.json]
  models: models
  hardware: [gpus.yaml]
  kernels: [kernels/h100]
  select: {hardware: [H100, A100-80GB], tp: 1, id: 17}
  exclude: {model: Llama-2-7b-hf}
  held_out: {model: Yi-34B}
start: {config: tuned.json, step_time_model: roofline_v1}
switches: {engine.async_scheduling: off, engine.graph_padding: vllm}
fixed: {roofline_v1.mfuDecode: 0.2}
free:
  - frontend.*
  - roofline_v1.mfuPrefill
  - {id: roofline_v1.BwEffConstant, lower: 0.5, upper: 0.9, initial: 0.7, transform: logit,
     where: {gpu: H100, model: Yi-34B, tp: 2}, prior: {centre: 0.72, standard_deviation: 0.1},
     together_with: [roofline_v1.TOverheadMicros]}
tied: {roofline_v1.decodeBwFactor: 2 * roofline_v1.prefillBwFactor - 0.1}
uncertainty: {profile: roofline_v1.mfuPrefill, bootstrap: 100}
objective:
  residual: relative
  metrics: {ttft_mean_ms: 1, e2e_p90_ms: 0.5}
  rows: both
  balance: rows
  loss: huber
  loss_scale: 0.2
  scalar: worst_group
solver:
  - {algorithm: crs2, starts: 4, max_evaluations: 5000, max_seconds: 30, tolerance: 1e-3}
  - {}
crossval: {split: GroupShuffleSplit, group: tp, folds: 3, test_fraction: 0.4}
seed: 18446744073709551615
replicates: 3
threads: 2
)";

TEST(StudyFile, ReadsEveryKey) {
  const calibrate::StudySpec spec = parsed(kRich).spec;
  EXPECT_EQ(spec.name, "rich");
  EXPECT_EQ(spec.description, "every key: yes");
  EXPECT_THAT(spec.data.ground_truth, ElementsAre("../ground_truth/a.json", "b.json"));
  EXPECT_THAT(spec.data.models, ElementsAre("models"));
  EXPECT_THAT(spec.data.select, ElementsAre(calibrate::Selector{"hardware", "H100"}, calibrate::Selector{"hardware", "A100-80GB"},
                                            calibrate::Selector{"tp", "1"}, calibrate::Selector{"id", "17"}));
  EXPECT_THAT(spec.data.held_out, ElementsAre(calibrate::Selector{"model", "Yi-34B"}));
  ASSERT_THAT(spec.tied, SizeIs(1));
  EXPECT_EQ(spec.tied.front().id, params::parameter("roofline_v1.decodeBwFactor"));
  EXPECT_EQ(spec.tied.front().expression.text(), "2 * roofline_v1.prefillBwFactor - 0.1");
  EXPECT_EQ(spec.uncertainty, (calibrate::UncertaintySpec{.profile = {"roofline_v1.mfuPrefill"}, .bootstrap = 100}));
  EXPECT_EQ(spec.start_config, "tuned.json");
  EXPECT_EQ(spec.step_time_model, "roofline_v1");
  EXPECT_EQ(spec.switches.at(params::switch_id("engine.async_scheduling")), 0);
  EXPECT_EQ(spec.switches.at(params::switch_id("engine.graph_padding")), 1);
  EXPECT_EQ(spec.fixed.at(params::parameter("roofline_v1.mfuDecode")).value, 0.2);
  EXPECT_EQ(spec.objective.residual, calibrate::ResidualKind::relative);
  EXPECT_THAT(spec.objective.metrics, ElementsAre(std::pair(domain::Metric::ttft_mean, 1.0), std::pair(domain::Metric::e2e_p90, 0.5)));
  EXPECT_EQ(spec.objective.scalar, calibrate::ScalarObjective::worst_group);
  EXPECT_THAT(spec.solver, ElementsAre(calibrate::SolverStage{"crs2", 4, 5000, 30.0, 1e-3}, calibrate::SolverStage{}));
  ASSERT_TRUE(spec.split);
  EXPECT_EQ(spec.split->kind, "GroupShuffleSplit");
  EXPECT_EQ(spec.split->test_fraction, 0.4);
  EXPECT_EQ(spec.seed, 18446744073709551615U);
  EXPECT_EQ(spec.replicates, 3);
  EXPECT_EQ(spec.threads, 2);
}

TEST(StudyFile, WritesAndReadsWhatAnImprovementMayDo) {
  const calibrate::StudySpec spec = parsed(R"(name: x
data:
  assume: {Qwen2.5-7B-Instruct: {truncated_sampling: true}, Yi-34B: {moe_layers: 0}}
  simulated_by: {config: truth.json, noise: 0.02, seed: 5}
improve:
  train: {tp: [1]}
  extend: [{tp: [2]}, {tp: [4], model: [Yi-34B]}]
  test: [{model: [a, b]}]
  quarantine: ["48"]
  moves: [free:*]
  without: robust_loss
  rounds: 3
  max_evaluations: 1000
  max_seconds: 60
  candidates: 4
  seeds: 2
  starts: 2
  min_gain_percent: 0.2
  price_percent: 0.3
  tolerance_percent: 4
  tolerance_fraction: 0.5
)")
                                        .spec;
  ASSERT_TRUE(spec.improve);
  EXPECT_EQ(spec.improve->train, (calibrate::Selection{{{"tp", "1"}}}));
  EXPECT_EQ(spec.improve->extend, (calibrate::Selection{{{"tp", "2"}}, {{"tp", "4"}, {"model", "Yi-34B"}}}));
  EXPECT_EQ(spec.improve->max_evaluations, 1000);
  EXPECT_EQ(spec.data.assume.front(), (calibrate::ModelAssumption{"Qwen2.5-7B-Instruct", std::nullopt, true}));
  EXPECT_EQ(spec.data.simulated_by, (calibrate::SimulatedSpec{"truth.json", 0.02, 5}));
  EXPECT_EQ(parsed(study_text(spec)).spec, spec);
}

TEST(StudyFile, ReadsFreeParametersAsIdsGroupsAndObjects) {
  const auto free = parsed(kRich).spec.free;
  ASSERT_THAT(free, SizeIs(5));
  EXPECT_EQ(free[0], free_of("frontend.constant_us"));
  EXPECT_EQ(free[3], free_of("roofline_v1.mfuPrefill"));
  params::FreeParameter scoped = free_of("roofline_v1.BwEffConstant");
  scoped.where = {.model = "Yi-34B", .gpu = "H100", .tp = 2};
  scoped.lower = 0.5;
  scoped.upper = 0.9;
  scoped.initial = 0.7;
  scoped.initial_is_given = true;
  scoped.transform = params::Transform::logit;
  scoped.prior = params::Prior{.centre = 0.72, .standard_deviation = 0.1};
  scoped.together_with = {params::parameter("roofline_v1.TOverheadMicros")};
  EXPECT_EQ(free[4], scoped);
}

TEST(StudyFile, ReadsBackEqualToWhatWasWritten) {
  const calibrate::StudySpec spec = parsed(kRich).spec;
  EXPECT_EQ(parsed(study_text(spec)).spec, spec);
}

TEST(StudyFile, WritesEveryKindOfSplit) {
  for (const std::string split :
       {"{split: KFold, folds: 3}", "{split: GroupKFold, group: model, folds: 3}", "{split: LeaveOneGroupOut, group: gpu}",
        "{split: LeavePGroupsOut, group: family, groups_out: 2}", "{split: PredefinedSplit, predefined: {\"17\": 0, x: -1}}"}) {
    const calibrate::StudySpec spec = parsed("name: x\ncrossval: " + split).spec;
    EXPECT_EQ(parsed(study_text(spec)).spec, spec) << split;
  }
}

TEST(StudyFile, WritesAnOnboardingThatReadsBackEqual) {
  const calibrate::StudySpec spec = parsed(R"(
name: x
onboard:
  gpu: A100-SXM
  kernels: my efficiency.json
  query_tile: 64
  spread: 0.25
  unsure_kv_blocks: ["54"]
  candidates: {models: [Qwen3-14B], tp: [1, 8], rates_per_s: [0.5], prompt_tokens: [100], output_tokens: [2, 3], duration_s: 60, setup_s: 0}
  trial: {start_runs: 2, draws: 5}
)")
                                        .spec;
  ASSERT_TRUE(spec.onboard);
  EXPECT_EQ(spec.onboard->candidates.tp, (std::vector<int>{1, 8}));
  EXPECT_EQ(parsed(study_text(spec)).spec, spec);
}

TEST(StudyFile, WritesVariantsThatReadBackEqual) {
  const calibrate::StudySpec spec = parsed(R"(
name: x
free: [frontend.*]
compare:
  variants:
    - {name: linear, step_time_model: blackbox, free_per_deployment: [blackbox.*]}
    - name: as first written
      step_time_model: roofline_mfu
      switches: {roofline_mfu.lm_head: off}
      fixed: {roofline_mfu.prefill_attention_divisor: 1.8}
      free: [roofline_mfu.*]
  one_by_one: {from: linear, to: as first written}
)")
                                        .spec;
  ASSERT_TRUE(spec.compare);
  ASSERT_EQ(spec.compare->variants.size(), 2U);
  EXPECT_EQ(spec.compare->variants[0].free_per_deployment.size(), 3U);
  EXPECT_EQ(spec.compare->one_by_one->to, "as first written");
  for (const params::FreeParameter& parameter : spec.compare->variants[1].free) {
    EXPECT_NE(parameter.id.spec().id, "roofline_mfu.prefill_attention_divisor");
  }
  EXPECT_EQ(parsed(study_text(spec)).spec, spec);
}

TEST(StudyFile, QuotesTextsThatYamlWouldMisread) {
  calibrate::StudySpec spec = parsed("name: x").spec;
  spec.description = "on two\nlines: \"#\"";
  for (const std::string name : {"on", "17", "1e3", "null", "~", "- a", "a: b", "#", ".nan", "Zürich"}) {
    spec.name = name;
    EXPECT_EQ(parsed(study_text(spec)).spec, spec) << name;
  }
}

TEST(StudyFile, LeavesOutOfAGroupWhatTheStudyFixesOrDescribes) {
  const auto free = parsed(R"(name: x
fixed: {frontend.constant_us: 4000}
free: [{id: frontend.per_prompt_token_us, upper: 50}, frontend.*])")
                        .spec.free;
  ASSERT_THAT(free, SizeIs(2));
  EXPECT_EQ(free[0].upper, 50);
  EXPECT_EQ(free[1], free_of("frontend.per_output_token_us"));
}

TEST(StudyFile, StartsInTheMiddleOfBoundsThatLeaveOutTheDefault) {
  const auto free = parsed("name: x\nfree: [{id: roofline_v1.mfuPrefill, lower: 0.01, upper: 0.04}]").spec.free;
  EXPECT_DOUBLE_EQ(free[0].initial, 0.02);
}

TEST(StudyFile, HasOneSolverStageByDefault) { EXPECT_THAT(parsed("name: x").spec.solver, ElementsAre(calibrate::SolverStage{})); }

TEST(StudyFile, TakesMetricsAsAListOfEqualWeights) {
  EXPECT_THAT(parsed("name: x\nobjective: {metrics: [tpot_mean_ms]}").spec.objective.metrics,
              ElementsAre(std::pair(domain::Metric::tpot_mean, 1.0)));
}

TEST(StudyFile, WarnsOfBoundsOutsideTheUsualRange) {
  EXPECT_EQ(core::format(parsed("name: x\nfree: [{id: roofline_v1.mfuPrefill, upper: 40}]").warnings),
            "study.yaml:2:44: warning: 'upper' of 'roofline_v1.mfuPrefill' is 40 fraction, outside its usual range (expected 0.02 to "
            "4; check "
            "the unit)\n");
}

TEST(StudyFile, ReportsEverythingAtOnce) {
  EXPECT_EQ(
      errors_of(R"(fixed: {roofline_v1.mfuPrefil: 0.5, frontend.constant_us: -1}
free:
  - {id: roofline_v1.mfuDecode, lower: 0.5, upper: 0.1}
  - frontend.constant_us
switches: {engine.graph_padding: maybe}
replicas: 3
)"),
      "study.yaml:2:9: error: unknown parameter 'roofline_v1.mfuPrefil' (did you mean 'roofline_v1.mfuPrefill'?)\n"
      "study.yaml:2:59: error: 'frontend.constant_us' is -1 (it must be at least 0)\n"
      "study.yaml:4:33: error: 'roofline_v1.mfuDecode': lower bound 0.5 is not below upper bound 0.1 (swap or widen the bounds)\n"
      "study.yaml:5:5: error: 'frontend.constant_us' is both free and fixed (remove it from 'free' or from 'fixed')\n"
      "study.yaml:6:34: error: 'engine.graph_padding' is the text 'maybe', which is not one of its choices (choose one of: off, vllm, "
      "power_of_two)\n"
      "study.yaml:7:1: error: unknown key 'replicas' in the study (did you mean 'replicates'?)\n");
}

TEST(DefaultStudy, IsCompleteAndHasTheDefaults) {
  const StudyFile file = parsed(default_study_text());
  EXPECT_THAT(file.warnings, IsEmpty());
  const calibrate::StudySpec& spec = file.spec;
  EXPECT_EQ(spec.objective, calibrate::ObjectiveSpec{});
  EXPECT_THAT(spec.solver, ElementsAre(calibrate::SolverStage{}));
  EXPECT_EQ(spec.split, calibrate::SplitSpec{});
  EXPECT_EQ(spec.seed, calibrate::StudySpec{}.seed);
  EXPECT_THAT(spec.switches, SizeIs(params::switch_registry().size()));
  for (const auto& [id, choice] : spec.switches) EXPECT_EQ(choice, id.spec().initial) << id.spec().id;
  EXPECT_THAT(spec.free, Contains(free_of("roofline_v1.mfuPrefill")));
  EXPECT_THAT(spec.free, Not(Contains(free_of("roofline_v1.perLayerOverhead")))) << "it has no effect";
}

TEST(DefaultStudy, NamesEveryKey) {
  const std::string text = default_study_text();
  for (const char* key : {"name",      "description", "data",      "ground_truth", "models",          "hardware",      "kernels",
                          "select",    "exclude",     "start",     "config",       "step_time_model", "switches",      "fixed",
                          "free",      "lower",       "upper",     "initial",      "transform",       "where",         "prior",
                          "objective", "residual",    "metrics",   "rows",         "balance",         "loss",          "loss_scale",
                          "scalar",    "solver",      "algorithm", "starts",       "max_evaluations", "max_seconds",   "tolerance",
                          "crossval",  "split",       "group",     "folds",        "groups_out",      "test_fraction", "predefined",
                          "seed",      "replicates",  "threads",   "tied",         "together_with",   "held_out",      "uncertainty",
                          "profile",   "bootstrap"}) {
    EXPECT_THAT(text, HasSubstr(key));
  }
}

TEST(StudyPaths, CountFromTheCopysFolder) {
  calibrate::StudySpec spec = parsed(kRich).spec;
  spec.data.models = {"/shared/models"};
  const calibrate::StudySpec moved = with_paths_from(spec, "experiments", "runs/first");
  EXPECT_THAT(moved.data.ground_truth, ElementsAre("../../ground_truth/a.json", "../../experiments/b.json"));
  EXPECT_THAT(moved.data.models, ElementsAre("/shared/models"));
  EXPECT_EQ(moved.start_config, "../../experiments/tuned.json");
  EXPECT_EQ(with_paths_from(moved, "runs/first", "experiments"), spec);
}

/// A base study in a folder, and one beside or below it that extends it.
class ExtendingStudies : public testing::Test {
 protected:
  StudyFile read(const std::string& name) {
    auto file = read_study(folder_ / name);
    if (file) return *std::move(file);
    ADD_FAILURE() << core::format(file.error());
    return {};
  }
  void SetUp() override {
    folder_.write("base.yaml",
                  "name: base\ndescription: of the base\ndata: {ground_truth: truth.json, select: {tp: 1}}\n"
                  "start: {step_time_model: physics}\nfixed: {physics.pnorm: 3}\nfree: [physics.t_seq_us, physics.t_step_us]\n"
                  "objective: {noise: 0.05, rows: both}\nseed: 7\n");
  }
  testing_support::TemporaryFolder folder_;
};

TEST_F(ExtendingStudies, TakeOverWhatTheyDoNotSay) {
  folder_.write("heir.yaml", "name: heir\nextends: base.yaml\ndata: {select: {tp: 2}}\nobjective: {rows: stages}\nthreads: 2\n");
  const calibrate::StudySpec spec = read("heir.yaml").spec;
  EXPECT_EQ(spec.name, "heir");
  EXPECT_EQ(spec.description, "");
  EXPECT_THAT(spec.data.ground_truth, ElementsAre("truth.json"));
  EXPECT_THAT(spec.data.select, ElementsAre(calibrate::Selector{.field = "tp", .value = "2"}));
  EXPECT_EQ(spec.objective.noise, 0.05);
  EXPECT_EQ(spec.objective.rows, calibrate::StageRows::stages);
  EXPECT_THAT(spec.free, SizeIs(2));
  EXPECT_EQ(spec.seed, 7u);
  EXPECT_EQ(spec.threads, 2);
}

TEST_F(ExtendingStudies, FreeNoLongerWhatTheyFix) {
  folder_.write("heir.yaml", "name: heir\nextends: base.yaml\nfixed: {physics.t_seq_us: 4}\n");
  const calibrate::StudySpec spec = read("heir.yaml").spec;
  EXPECT_THAT(spec.free, ElementsAre(free_of("physics.t_step_us")));
  EXPECT_THAT(spec.fixed, SizeIs(2));
}

TEST_F(ExtendingStudies, KeepPathsOfTheBaseRight) {
  folder_.write("below/heir.yaml", "name: heir\nextends: ../base.yaml\n");
  const StudyFile file = read("below/heir.yaml");
  EXPECT_THAT(file.spec.data.ground_truth, ElementsAre("../truth.json"));
  EXPECT_THAT(file.extended, SizeIs(1));
}

}  // namespace
}  // namespace rooftune::runs
