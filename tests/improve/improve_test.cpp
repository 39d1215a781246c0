#include "rooftune/improve/improve.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "rooftune/params/prior_knowledge.hpp"
#include "rooftune/params/term.hpp"
#include "support/simulated_runs.hpp"

namespace rooftune::improve {
namespace {

using testing::Contains;
using testing::DoubleNear;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

/// Eight short runs: the models at two loads, the small ones at more than one TP degree.
std::vector<domain::Experiment> runs() {
  std::vector<domain::Experiment> all{examples::unmeasured_run("a", examples::llama_2_7b(), 1, {2.0}),
                                      examples::unmeasured_run("b", examples::llama_2_7b(), 1, {9.0}),
                                      examples::unmeasured_run("c", examples::llama_2_7b(), 2, {5.0}),
                                      examples::unmeasured_run("d", examples::mistral_nemo_12b(), 1, {4.0}),
                                      examples::unmeasured_run("e", examples::mistral_nemo_12b(), 2, {8.0}),
                                      examples::unmeasured_run("f", examples::llama_3_1_70b(), 4, {2.0}),
                                      examples::unmeasured_run("g", examples::llama_3_1_70b(), 4, {4.0})};
  return all;
}

params::Config truth() { return examples::config_with("physics", {{"physics.t_step_us", 1500.0}, {"frontend.constant_us", 3000.0}}); }

calibrate::StudyInputs inputs(const params::Config& config = truth()) {
  return {.experiments = examples::measured(runs(), config, 77), .models = examples::models(), .gpus = examples::gpus(), .start = {}};
}

/// Two free parameters, four folds, cheap fits.
calibrate::StudySpec study() {
  calibrate::StudySpec spec;
  spec.name = "improve";
  spec.step_time_model = "physics";
  spec.free = {params::make_free(params::parameter("physics.t_step_us")),
               params::make_free(params::parameter("frontend.constant_us"))};
  spec.solver = {{.algorithm = "ceres_lm", .starts = 1, .max_evaluations = 15, .max_seconds = {}, .tolerance = 1e-4}};
  spec.split = eval::SplitSpec{.kind = "KFold", .group = "experiment", .folds = 3};
  spec.threads = 1;
  spec.improve = calibrate::ImproveSpec{};
  spec.improve->seeds = 2;
  return spec;
}

Improvement improved(const calibrate::StudySpec& spec, const calibrate::StudyInputs& data, const std::vector<Move>& catalogue) {
  JournalInMemory journal;
  auto result = improve(spec, data, journal, {}, catalogue);
  EXPECT_TRUE(result) << core::format(result.error());
  return *std::move(result);
}

// docs/improve.md shows this entry.
const Move kAdmissionLag{.id = "admission_lag_again",
                         .reason = "a request that arrives during step k joins step k+2",
                         .suggested_by = {{"ttft_mean_ms"}},
                         .switches = {{"engine.async_scheduling", "on"}}};

const Move kLayerSplit{.id = "layer_split",
                       .reason = "another simulator has it so",
                       .assume = {{.model = "Llama-2-7b-hf", .moe_layers = 16, .truncated_sampling = {}}}};

/// Only what the test names: no switch or parameter by rule.
calibrate::StudySpec only_named(calibrate::StudySpec spec, const std::vector<Move>& catalogue) {
  for (const Move& move : catalogue) spec.improve->moves.push_back(move.id);
  return spec;
}

calibrate::StudySpec without_lag() {
  calibrate::StudySpec spec = study();
  spec.switches[params::switch_id("engine.async_scheduling")] = 0;
  return spec;
}

TEST(Improve, FindsTheTermThatWasSwitchedOff) {
  const std::vector<Move> catalogue{kLayerSplit, kAdmissionLag};
  const Improvement result = improved(only_named(without_lag(), catalogue), inputs(), catalogue);
  EXPECT_EQ(result.kept_last().move, "admission_lag_again");
  EXPECT_EQ(result.result.switches.at(params::switch_id("engine.async_scheduling")), 1u);
  EXPECT_LT(result.kept_last().after_percent, 0.5 * result.journal.rounds.front().after_percent);
  EXPECT_THAT(result.journal.outcome->reason, testing::StartsWith("nothing in the catalogue helps; "));
}

TEST(Improve, RefusesALayerSplitThatContradictsTheModelsConfigBeforeAnyFit) {
  const std::vector<Move> catalogue{kLayerSplit};
  const Improvement result = improved(only_named(study(), catalogue), inputs(), catalogue);
  ASSERT_THAT(result.journal.screenings, SizeIs(1));
  const CandidateRecord& refused = result.journal.screenings.front().candidates.front();
  EXPECT_EQ(refused.fate, CandidateFate::refused);
  EXPECT_EQ(refused.folds, 0);
  EXPECT_THAT(refused.why, HasSubstr("16 layers with experts are assumed for Llama-2-7b-hf"));
  EXPECT_EQ(result.journal.screenings.front().evaluations, 0);
  EXPECT_THAT(result.journal.rounds, SizeIs(1));
}

/// The judge and the fits by themselves: whatever the screening would have said.
Trial trial_of(const calibrate::StudySpec& spec, const calibrate::StudyInputs& data) {
  return run_trials({{.spec = spec, .options = {.folds = {}, .seeds = 2, .starts = 1}}}, data).front();
}

TEST(Judge, RejectsAMoveThatLowersTheTrainingLossAndRaisesTheRunError) {
  // One run at TP 4 was measured on a sick machine. All-reduce latency explains it, and misleads about every other run of TP > 1.
  calibrate::StudyInputs data = inputs();
  for (domain::Experiment& experiment : data.experiments) {
    if (experiment.id != "f") continue;
    for (domain::Latencies* row : {&experiment.measured.summary, &experiment.measured.stages.front()}) {
      for (auto& value : row->value_ms) {
        if (value) *value *= 1.5;
      }
    }
  }
  const calibrate::StudySpec before = study();
  calibrate::StudySpec after = before;
  after.free.push_back(params::make_free(params::parameter("physics.allreduce_us")));

  const auto fit_all = [&](const calibrate::StudySpec& spec) {
    const calibrate::PreparedStudy prepared = calibrate::prepare(spec, data).value();
    return calibrate::fit_quickly(prepared.spec, prepared.start, prepared.dataset, {1}).objective;
  };
  const Verdict verdict = judge(trial_of(before, data), trial_of(after, data), *before.improve);
  EXPECT_LT(fit_all(after), 0.9 * fit_all(before)) << "the training loss recommends the move";
  EXPECT_GT(verdict.after_percent, verdict.before_percent) << "runs that were not fitted do not";
  EXPECT_FALSE(verdict.keep);
}

Trial made_trial(std::size_t parameters, const std::vector<std::vector<double>>& errors_by_seed) {
  Trial trial;
  trial.free_parameters = parameters;
  for (std::size_t run = 0; run < errors_by_seed.front().size(); ++run) {
    trial.groups[std::to_string(run)] = {{"model", "m" + std::to_string(run)}};
  }
  for (const auto& errors : errors_by_seed) {
    auto& rows = trial.errors.emplace_back();
    for (std::size_t run = 0; run < errors.size(); ++run) {
      rows.push_back({.experiment = std::to_string(run),
                      .unseen = {},
                      .metric = domain::Metric::e2e_mean,
                      .weight = 1.0,
                      .log_error_percent = errors[run],
                      .ape_percent = errors[run]});
    }
  }
  return trial;
}

TEST(Judge, KeepsWhatGainsMoreThanItsNoise) {
  const Verdict verdict = judge(made_trial(2, {{10, 10}, {11, 11}}), made_trial(2, {{8, 8}, {9.1, 8.9}}), calibrate::ImproveSpec{});
  EXPECT_TRUE(verdict.keep) << verdict.why;
  EXPECT_THAT(verdict.gain_percent, DoubleNear(2.0, 1e-9));
}

TEST(Judge, RevertsAGainThatOtherSeedsDoNotShow) {
  const Verdict verdict = judge(made_trial(2, {{10, 10}, {10, 10}}), made_trial(2, {{7, 7}, {10, 10}}), calibrate::ImproveSpec{});
  EXPECT_FALSE(verdict.keep);
  EXPECT_THAT(verdict.why, HasSubstr("within its noise"));
}

TEST(Judge, MakesEveryFurtherParameterPay) {
  const Trial before = made_trial(2, {{10, 10}, {10, 10}});
  const Trial after = made_trial(7, {{9.6, 9.6}, {9.6, 9.6}});
  calibrate::ImproveSpec rules;
  rules.price_percent = 0.1;
  EXPECT_FALSE(judge(before, after, rules).keep);
  rules.price_percent = 0.01;
  EXPECT_TRUE(judge(before, after, rules).keep);
}

TEST(Judge, LetsNoGroupGetWorseThanItsTolerance) {
  const Verdict verdict = judge(made_trial(2, {{30, 5}, {30, 5}}), made_trial(2, {{5, 15}, {5, 15}}), calibrate::ImproveSpec{});
  EXPECT_FALSE(verdict.keep);
  EXPECT_THAT(verdict.why, HasSubstr("model m1 would go from 5.0 to 15.0"));
}

TEST(Judge, ShowsEveryRunAndLetsNoneObjectAlone) {
  const auto of_one_model = [](const std::vector<double>& errors) {
    Trial trial = made_trial(2, {errors, errors});
    for (auto& [run, groups] : trial.groups) groups = {{"model", "m"}, {std::string(kOneRun), run}};
    return trial;
  };
  const Verdict verdict = judge(of_one_model({30, 5}), of_one_model({5, 15}), calibrate::ImproveSpec{});
  EXPECT_TRUE(verdict.keep) << verdict.why;
  const auto run = std::ranges::find(verdict.groups, GroupKey{kOneRun, "1"}, &GroupChange::group);
  ASSERT_NE(run, verdict.groups.end());
  EXPECT_THAT(run->ape_before_percent, DoubleNear(5.0, 1e-9));
  EXPECT_THAT(run->ape_after_percent, DoubleNear(15.0, 1e-9));
}

TEST(Judge, KeepsWhatEnginesDoUnlessErrorsSpeakAgainstIt) {
  const Trial before = made_trial(2, {{10, 10}, {10, 10}});
  const Trial same = made_trial(2, {{10.05, 10}, {9.95, 10}});
  const Trial worse = made_trial(2, {{11.05, 11}, {10.95, 11}});
  EXPECT_FALSE(judge(before, same, calibrate::ImproveSpec{}, Burden::must_gain).keep);
  EXPECT_TRUE(judge(before, same, calibrate::ImproveSpec{}, Burden::must_not_lose).keep);
  const Verdict verdict = judge(before, worse, calibrate::ImproveSpec{}, Burden::must_not_lose);
  EXPECT_FALSE(verdict.keep);
  EXPECT_THAT(verdict.why, HasSubstr("speaks against it"));
}

TEST(Judge, LetsTheExtrapolationThatIsAskedForObject) {
  const auto with_extrapolation = [](double own, double unseen) {
    Trial trial = made_trial(2, {{own, own}, {own, own}});
    for (auto& errors : trial.errors) {
      for (const RunError& error : std::vector<RunError>(errors)) {
        errors.push_back(error);
        errors.back().unseen = "model";
        errors.back().log_error_percent = unseen;
      }
    }
    return trial;
  };
  calibrate::ImproveSpec rules;
  rules.tolerance_percent = 100.0;  // no group objects
  const Trial before = with_extrapolation(10.0, 10.0);
  EXPECT_TRUE(judge(before, with_extrapolation(7.0, 10.5), rules).keep);
  const Verdict verdict = judge(before, with_extrapolation(7.0, 14.0), rules);
  EXPECT_FALSE(verdict.keep);
  EXPECT_THAT(verdict.why, HasSubstr("a model that was not fitted get worse by 4.00 of 10.00"));
  EXPECT_THAT(verdict.gain_percent, DoubleNear(3.0, 1e-9)) << "the score is that of the study's own folds";
}

/// Judged runs of TP 1 and 2, test runs of TP 4; the all-reduce costs what `config` says.
calibrate::StudySpec test_beyond_the_fitted_degrees() {
  calibrate::StudySpec spec = study();
  spec.split = eval::SplitSpec{.kind = "LeaveOneGroupOut", .group = "model"};
  spec.improve->test = {{{.field = "tp", .value = "4"}}};
  spec.improve->naked = true;  // what kernels know would keep the latency near where it is
  return spec;
}

TEST(Folds, HoldTheExtrapolationThatTheTestAsksFor) {
  const calibrate::StudyInputs data = inputs();
  const calibrate::PreparedStudy prepared = calibrate::prepare(test_beyond_the_fitted_degrees(), data).value();
  const ImproveRuns parts = improve_runs(prepared, data.gpus);
  EXPECT_THAT(asked_extrapolations(prepared, parts), testing::ElementsAre("tp"));
  const auto folds = improve_folds(prepared, parts).value();
  const auto upward = std::ranges::find(folds, "tp=2 from lower", [](const JudgedFold& fold) { return fold.name; });
  ASSERT_NE(upward, folds.end());
  for (const std::size_t index : upward->training) EXPECT_EQ(prepared.dataset.cases[index].experiment.deployment.tp, 1);
  for (const std::size_t index : upward->test) EXPECT_EQ(prepared.dataset.cases[index].experiment.deployment.tp, 2);
}

TEST(Folds, AskForNothingWhereTheTestHoldsNothingNew) {
  calibrate::StudySpec spec = test_beyond_the_fitted_degrees();
  spec.improve->test = {{{.field = "id", .value = "f"}}};
  const calibrate::StudyInputs data = inputs();
  const calibrate::PreparedStudy prepared = calibrate::prepare(spec, data).value();
  EXPECT_THAT(asked_extrapolations(prepared, improve_runs(prepared, data.gpus)), IsEmpty());
}

const Move kAllReduce{
    .id = "all_reduce", .reason = "its latency shows in runs of more than one GPU", .free = {"physics.allreduce_us"}};

TEST(Improve, RefusesToLearnFromTwoTpDegreesWhatOnlyAThirdCouldCheck) {
  const std::vector<Move> catalogue{kAllReduce};
  const calibrate::StudyInputs data = inputs(examples::config_with("physics", {{"physics.allreduce_us", 40.0}}));
  const Improvement two = improved(only_named(test_beyond_the_fitted_degrees(), catalogue), data, catalogue);
  ASSERT_THAT(two.journal.screenings, SizeIs(1));
  const CandidateRecord& refused = two.journal.screenings.front().candidates.front();
  EXPECT_EQ(refused.fate, CandidateFate::refused);
  EXPECT_EQ(refused.folds, 0) << "before any fit";
  EXPECT_THAT(refused.why, HasSubstr("physics.allreduce_us"));
  EXPECT_THAT(refused.why, HasSubstr("too few different TP degrees"));

  calibrate::StudySpec with_a_third = test_beyond_the_fitted_degrees();
  with_a_third.improve->test.clear();
  with_a_third.improve->extrapolate = {"tp"};
  const Improvement three = improved(only_named(with_a_third, catalogue), data, catalogue);
  EXPECT_EQ(three.kept_last().move, "all_reduce") << "TP 4 from TP 1 and 2 confirms it";
}

TEST(Improve, OffersMeasurementsThatTellAboutWhatItCouldNotCheck) {
  const std::vector<Move> catalogue{kAllReduce};
  const Improvement result = improved(only_named(test_beyond_the_fitted_degrees(), catalogue), inputs(), catalogue);
  EXPECT_THAT(result.next_is_about, Contains("physics.allreduce_us"));
  ASSERT_THAT(result.next, Not(IsEmpty()));
  EXPECT_LT(result.next.front().value.deviation_after, result.next.front().value.deviation_before);
  for (std::size_t i = 1; i < result.next.size(); ++i) {
    EXPECT_GE(result.next[i].value.deviation_after, result.next[i - 1].value.deviation_after) << "the best first";
  }
}

TEST(Judge, ParametersThatBuyNothingMayGo) {
  const Trial before = made_trial(5, {{10, 10}, {11, 11}});
  EXPECT_TRUE(judge(before, made_trial(4, {{10, 10}, {11, 11}}), calibrate::ImproveSpec{}).keep);
  EXPECT_TRUE(judge(before, made_trial(4, {{8, 8}, {12.9, 12.9}}), calibrate::ImproveSpec{}).keep)
      << "seeds that do not agree are no reason to keep a parameter";
  const Verdict loses = judge(before, made_trial(4, {{10.05, 10.05}, {11.05, 11.05}}), calibrate::ImproveSpec{});
  EXPECT_FALSE(loses.keep) << "less than its price, but it is of use";
  EXPECT_THAT(loses.why, HasSubstr("rises by 0.05"));
}

/// A journal that dies at its n-th entry, and keeps what it had.
class DyingJournal final : public Journal {
 public:
  DyingJournal(Journal& kept, int entries_left) : kept_(kept), left_(entries_left) {}
  core::Result<JournalEntries> read() override { return kept_.read(); }
  core::Result<void> add(const ScreeningRecord& record, double seconds) override {
    return pass([&] { return kept_.add(record, seconds); });
  }
  core::Result<void> add(const RoundRecord& record, double seconds) override {
    return pass([&] { return kept_.add(record, seconds); });
  }
  core::Result<void> add(const OutcomeRecord& record) override {
    return pass([&] { return kept_.add(record); });
  }

 private:
  template <class Add>
  core::Result<void> pass(const Add& add) {
    if (left_-- <= 0) return core::fail({}, "killed", "");
    return add();
  }
  Journal& kept_;
  int left_;
};

TEST(Improve, EndsWithTheSameJournalWhereverItWasInterrupted) {
  const std::vector<Move> catalogue{kAdmissionLag, kLayerSplit};
  const calibrate::StudySpec spec = only_named(without_lag(), catalogue);
  const calibrate::StudyInputs data = inputs();
  const JournalEntries whole = improved(spec, data, catalogue).journal;
  for (int entries = 0; entries < 5; ++entries) {
    JournalInMemory journal;
    DyingJournal dying(journal, entries);
    const auto killed = improve(spec, data, dying, {}, catalogue);
    const auto resumed = improve(spec, data, journal, {}, catalogue);
    ASSERT_TRUE(resumed);
    EXPECT_EQ(resumed->journal, whole) << "interrupted after " << entries << " entries" << (killed ? " (not at all)" : "");
  }
}

TEST(Improve, EndsWithTheBestStructureSoFarWhenItIsCancelled) {
  const std::vector<Move> catalogue{kAdmissionLag, kLayerSplit};
  const calibrate::StudySpec spec = only_named(without_lag(), catalogue);
  const calibrate::StudyInputs data = inputs();
  const JournalEntries whole = improved(spec, data, catalogue).journal;
  ASSERT_EQ(whole.rounds[1].fate, RoundFate::kept);
  for (const std::size_t rounds : {0U, 2U}) {
    JournalInMemory journal;
    std::stop_source stop;
    if (rounds == 0) stop.request_stop();
    std::size_t seen = 0;
    const ImproveHooks hooks{.on_round =
                                 [&](const RoundRecord&) {
                                   if (++seen == rounds) stop.request_stop();
                                 },
                             .cancel = stop.get_token()};
    const auto cut_short = improve(spec, data, journal, hooks, catalogue);
    ASSERT_TRUE(cut_short) << core::format(cut_short.error());
    EXPECT_TRUE(cut_short->interrupted);
    EXPECT_EQ(cut_short->journal.rounds.size(), rounds);
    EXPECT_FALSE(cut_short->journal.outcome) << "it can go on";
    if (rounds > 0) {
      EXPECT_TRUE(cut_short->after.usable);
      EXPECT_EQ(cut_short->result, whole.rounds[rounds - 1].spec);
      EXPECT_EQ(cut_short->kept_last().round, static_cast<int>(rounds) - 1);
    }
    const auto resumed = improve(spec, data, journal, {}, catalogue);
    ASSERT_TRUE(resumed);
    EXPECT_FALSE(resumed->interrupted);
    EXPECT_EQ(resumed->journal, whole) << "cancelled after " << rounds << " rounds";
  }
}

TEST(Improve, StopsAtItsBudgetAndSaysSo) {
  const std::vector<Move> catalogue{kAdmissionLag};
  calibrate::StudySpec spec = only_named(without_lag(), catalogue);
  spec.improve->rounds = 0;
  EXPECT_THAT(improved(spec, inputs(), catalogue).journal.outcome->reason, HasSubstr("budget of 0 rounds"));
  spec.improve->rounds = 5;
  spec.improve->max_evaluations = 1;
  EXPECT_THAT(improved(spec, inputs(), catalogue).journal.outcome->reason, HasSubstr("budget of 1 evaluations"));
}

TEST(Improve, NeverLetsADecisionSeeTheTestRuns) {
  const std::vector<Move> catalogue{kAdmissionLag};
  calibrate::StudySpec spec = only_named(without_lag(), catalogue);
  spec.improve->test = {{{.field = "id", .value = "g"}}};
  const calibrate::StudyInputs data = inputs();
  calibrate::StudyInputs other = data;
  for (domain::Latencies* row : {&other.experiments.back().measured.summary, &other.experiments.back().measured.stages.front()}) {
    for (auto& value : row->value_ms) {
      if (value) *value *= 3.0;
    }
  }
  const Improvement first = improved(spec, data, catalogue);
  EXPECT_EQ(first.journal, improved(spec, other, catalogue).journal);
  EXPECT_THAT(first.test_after->cases, SizeIs(1));
}

TEST(Improve, ReplaysARoundToTheLastBit) {
  const std::vector<Move> catalogue{kAdmissionLag};
  const calibrate::StudyInputs data = inputs();
  const Improvement result = improved(only_named(without_lag(), catalogue), data, catalogue);
  EXPECT_EQ(replay(result.kept_last(), data).fits, result.kept_last().fits);
}

TEST(Diagnosis, PointsAtATermThatLacksAFactorOfLayers) {
  // The truth's time per layer grows with the number of layers; the model under study has one for all.
  params::Config config = truth();
  for (const domain::ModelSpec& model : examples::models()) {
    params::ScopedAssignments own;
    own.where.model = model.name;
    own.parameters[params::parameter("physics.t_layer_us")] = {.value = 1.5 * model.layers(), .standard_error = {}};
    config.scoped.push_back(own);
  }
  const calibrate::StudyInputs data = inputs(config);
  calibrate::StudySpec spec = study();
  spec.free.push_back(params::make_free(params::parameter("physics.t_layer_us")));
  const calibrate::PreparedStudy prepared = calibrate::prepare(spec, data).value();
  const ImproveRuns all = improve_runs(prepared, data.gpus);
  const Diagnosis diagnosis = diagnose(prepared, all, calibrate::fit(prepared).tuned, trial_of(spec, data));
  const auto factor = std::ranges::find(diagnosis.findings, FindingKind::missing_factor, &Finding::kind);
  ASSERT_NE(factor, diagnosis.findings.end()) << "the strongest of them";
  EXPECT_EQ(factor->parameter, "physics.t_layer_us");
  EXPECT_EQ(factor->factor, "layers");
  EXPECT_THAT(factor->effect, DoubleNear(1.0, 0.2));
}

TEST(Diagnosis, NamesMeasurementsOutOfReach) {
  calibrate::StudyInputs data = inputs();
  for (domain::Latencies* row : {&data.experiments[0].measured.summary, &data.experiments[0].measured.stages.front()}) {
    for (auto& value : row->value_ms) {
      if (value) *value *= 0.1;
    }
  }
  calibrate::StudySpec spec = study();
  const calibrate::PreparedStudy prepared = calibrate::prepare(spec, data).value();
  const Diagnosis diagnosis =
      diagnose(prepared, improve_runs(prepared, data.gpus), calibrate::fit(prepared).tuned, trial_of(spec, data));
  EXPECT_THAT(diagnosis.findings,
              Contains(testing::AllOf(Field(&Finding::kind, FindingKind::unreachable), Field(&Finding::level, "a"))));
}

TEST(Diagnosis, RanksTheParameterThatIsHeldAtAWrongValue) {
  const calibrate::StudyInputs data = inputs(examples::config_with("physics", {{"physics.weight_bandwidth_fraction", 0.5}}));
  const calibrate::StudySpec spec = study();
  const calibrate::PreparedStudy prepared = calibrate::prepare(spec, data).value();
  const ImproveRuns all = improve_runs(prepared, data.gpus);
  const params::Config tuned = calibrate::fit(prepared).tuned;
  const Diagnosis diagnosis = diagnose(prepared, all, tuned, trial_of(spec, data));
  ASSERT_NE(diagnosis.about_parameter(FindingKind::held_parameter, "physics.weight_bandwidth_fraction"), nullptr);
  const std::vector<Proposal> proposals = propose(prepared, prepared.start, all, diagnosis, {});
  EXPECT_THAT(proposals, Contains(Field(&Proposal::move, "free:physics.weight_bandwidth_fraction")));
}

TEST(Catalogue, NamesOnlyWhatTheRegistryKnowsAndGivesReasons) {
  std::set<std::string> ids;
  for (const Move& move : move_catalogue()) {
    EXPECT_TRUE(ids.insert(move.id).second) << move.id;
    EXPECT_THAT(move.reason, Not(IsEmpty())) << move.id;
    for (const auto& [id, choice] : move.switches) {
      ASSERT_TRUE(params::find_switch(id)) << move.id;
      EXPECT_TRUE(params::find_choice(params::switch_id(id), choice)) << move.id;
    }
    for (const std::string& id : move.free) EXPECT_TRUE(params::find_parameter(id)) << move.id;
    for (const auto& [id, value] : move.fix) EXPECT_TRUE(params::find_parameter(id)) << move.id;
    for (const Hint& hint : move.suggested_by) EXPECT_TRUE(domain::find_metric(hint.metric)) << move.id;
  }
}

/// What the rules propose for a structure.
std::vector<Proposal> proposals_for(const calibrate::StudySpec& spec, const calibrate::StudyInputs& data) {
  const calibrate::PreparedStudy prepared = calibrate::prepare(spec, data).value();
  const ImproveRuns all = improve_runs(prepared, data.gpus);
  const params::Config tuned = calibrate::fit(prepared).tuned;
  return propose(prepared, prepared.start, all, diagnose(prepared, all, tuned, trial_of(spec, data)), {});
}

const Proposal* find_proposal(const std::vector<Proposal>& proposals, const std::string& move) {
  const auto found = std::ranges::find(proposals, move, &Proposal::move);
  return found == proposals.end() ? nullptr : &*found;
}

TEST(Catalogue, OffersToHoldWhatIsFreeWhereItIsKnownToBe) {
  calibrate::StudySpec spec = study();
  const params::ParameterId constant = params::parameter("frontend.constant_us");
  const auto free = std::ranges::find(spec.free, constant, &params::FreeParameter::id);
  ASSERT_NE(free, spec.free.end());
  free->prior = params::Prior{.centre = 4321.0, .standard_deviation = 1.0};
  const std::vector<Proposal> proposals = proposals_for(spec, inputs());
  const Proposal* held = find_proposal(proposals, "hold:frontend.constant_us");
  ASSERT_NE(held, nullptr);
  EXPECT_EQ(held->extra_parameters, -1);
  EXPECT_EQ(held->spec.fixed.at(constant).value, 4321.0);
}

TEST(Catalogue, OffersToTieWhatTheRunsDoNotTellApart) {
  // One model: a cost per step and a cost per layer are the same thing.
  calibrate::StudyInputs data = inputs();
  std::erase_if(data.experiments, [](const domain::Experiment& run) { return run.id > "c"; });
  calibrate::StudySpec spec = study();
  spec.split = eval::SplitSpec{.kind = "KFold", .group = "experiment", .folds = 3};
  spec.free.push_back(params::make_free(params::parameter("physics.t_layer_us")));
  const std::vector<Proposal> proposals = proposals_for(spec, data);
  const Proposal* tie = find_proposal(proposals, "tie:physics.t_step_us+physics.t_layer_us");
  ASSERT_NE(tie, nullptr);
  EXPECT_EQ(tie->extra_parameters, -1);
  ASSERT_TRUE(calibrate::prepare(tie->spec, data)) << core::format(calibrate::prepare(tie->spec, data).error());
  EXPECT_THAT(tie->spec.free.front().together_with, testing::ElementsAre(params::parameter("physics.t_layer_us")));
}

TEST(Catalogue, OffersALinearScaleForACostAtItsBound) {
  calibrate::StudySpec spec = study();
  spec.free.push_back(params::make_free(params::parameter("frontend.per_output_token_us")));
  spec.free.back().lower = 5.0;
  spec.free.back().initial = 6.0;
  const calibrate::StudyInputs data = inputs(examples::config_with("physics", {{"frontend.per_output_token_us", 0.02}}));
  const std::vector<Proposal> proposals = proposals_for(spec, data);
  const Proposal* linear = find_proposal(proposals, "linear:frontend.per_output_token_us");
  ASSERT_NE(linear, nullptr);
  EXPECT_EQ(linear->spec.free.back().transform, params::Transform::linear);
  EXPECT_TRUE(calibrate::prepare(linear->spec, data));
}

/// Three corrections of the structure without lag.
std::vector<Move> three_corrections() {
  const auto correction = [](const std::string& id, const std::string& choice) {
    return Move{.id = id + "_move",
                .reason = "engines do",
                .suggested_by = {{"ttft_mean_ms"}},
                .switches = {{id, choice}},
                .burden = Burden::must_not_lose};
  };
  return {correction("engine.async_scheduling", "on"), correction("engine.prefix_reuse", "off"),
          correction("engine.graph_padding", "vllm")};
}

TEST(Catalogue, BeginsWithAllCorrectionsAtOnce) {
  const calibrate::StudyInputs data = inputs();
  const calibrate::PreparedStudy prepared = calibrate::prepare(without_lag(), data).value();
  const auto proposals = propose(prepared, prepared.start, improve_runs(prepared, data.gpus), Diagnosis{}, three_corrections());
  // Other structures come before what could be changed about this one.
  const auto first = std::ranges::find_if(proposals, [](const Proposal& proposal) { return proposal.definition.take.empty(); });
  ASSERT_NE(first, proposals.end());
  EXPECT_EQ(first->move, "all_corrections");
  EXPECT_EQ(first->burden, Burden::must_not_lose);
  EXPECT_THAT(first->spec.switches, SizeIs(3));
}

TEST(Catalogue, TakesACorrectionBackThatTheSearchItselfHasMade) {
  const calibrate::StudyInputs data = inputs();
  const calibrate::PreparedStudy begun = calibrate::prepare(without_lag(), data).value();
  calibrate::StudySpec corrected = without_lag();
  corrected.switches[params::switch_id("engine.async_scheduling")] =
      *params::find_choice(params::switch_id("engine.async_scheduling"), "on");
  const calibrate::PreparedStudy prepared = calibrate::prepare(corrected, data).value();
  const auto proposals = propose(prepared, begun.start, improve_runs(prepared, data.gpus), Diagnosis{}, three_corrections());
  const Proposal* back = find_proposal(proposals, "back:engine.async_scheduling_move");
  ASSERT_NE(back, nullptr);
  EXPECT_EQ(back->change, "engine.async_scheduling: on -> off");
  EXPECT_EQ(back->burden, Burden::must_gain);
  EXPECT_EQ(find_proposal(proposals, "back:engine.graph_padding_move"), nullptr);
}

TEST(Catalogue, CombinesABlockedMoveWithOthers) {
  const calibrate::StudyInputs data = inputs();
  const calibrate::PreparedStudy prepared = calibrate::prepare(without_lag(), data).value();
  std::vector<Proposal> ranked =
      propose(prepared, prepared.start, improve_runs(prepared, data.gpus), Diagnosis{}, three_corrections());
  for (Proposal& proposal : ranked) proposal.strength = 1.0;
  const std::vector<Proposal> combined = propose_combinations(prepared, ranked, {"engine.graph_padding_move"});
  ASSERT_FALSE(combined.empty());
  EXPECT_EQ(combined.front().move.substr(0, 26), "engine.graph_padding_move+");
}

TEST(Catalogue, PutsNoRunInQuarantineWithoutSayingSo) {
  calibrate::StudyInputs data = inputs();
  for (domain::Latencies* row : {&data.experiments[0].measured.summary, &data.experiments[0].measured.stages.front()}) {
    for (auto& value : row->value_ms) {
      if (value) *value *= 0.1;
    }
  }
  const calibrate::StudySpec spec = study();
  const calibrate::PreparedStudy prepared = calibrate::prepare(spec, data).value();
  const ImproveRuns all = improve_runs(prepared, data.gpus);
  const params::Config tuned = calibrate::fit(prepared).tuned;
  const auto proposals = propose(prepared, prepared.start, all, diagnose(prepared, all, tuned, trial_of(spec, data)), {});
  const auto quarantine = std::ranges::find(proposals, "quarantine:a", &Proposal::move);
  ASSERT_NE(quarantine, proposals.end());
  EXPECT_THAT(quarantine->change, HasSubstr("run a in quarantine"));
  EXPECT_THAT(quarantine->reason, HasSubstr("out of reach"));
}

/// V1 with its plain defaults: what the loop may take physics over from.
calibrate::StudySpec v1_study() {
  calibrate::StudySpec spec = study();
  spec.step_time_model = "roofline_v1";
  spec.free = {params::make_free(params::parameter("roofline_v1.TOverheadMicros"))};
  spec.fixed[params::parameter("roofline_v1.mfuPrefill")] = {.value = 0.6, .standard_error = {}};
  spec.switches[params::switch_id("roofline_v1.mixed_rule")] = 2;
  return spec;
}

Proposal taken_over(const calibrate::StudySpec& spec, const calibrate::StudyInputs& data, const std::string& model) {
  const calibrate::PreparedStudy prepared = calibrate::prepare(spec, data).value();
  const auto proposals = propose(prepared, prepared.start, improve_runs(prepared, data.gpus), Diagnosis{}, {});
  const Proposal* taken = find_proposal(proposals, "take:" + model);
  EXPECT_NE(taken, nullptr);
  return *taken;
}

TEST(TakingOver, LeavesNothingOfTheOldStructureAndFreesAFirstFitWithPriors) {
  const Proposal taken = taken_over(v1_study(), inputs(), "physics");
  EXPECT_EQ(taken.spec.step_time_model, "physics");
  EXPECT_THAT(taken.spec.switches, IsEmpty());
  EXPECT_THAT(taken.spec.fixed, IsEmpty());
  EXPECT_THAT(taken.spec.free, SizeIs(params::first_fit("physics").size()));
  for (const params::FreeParameter& parameter : taken.spec.free) {
    EXPECT_NE(parameter.id.spec().group(), "roofline_v1");
    ASSERT_TRUE(parameter.prior) << parameter.label();
    EXPECT_EQ(parameter.prior->standard_deviation, params::known_deviation(parameter.id));
  }
  EXPECT_THAT(taken.change, HasSubstr("step-time model: roofline_v1 -> physics"));
}

TEST(TakingOver, StartsWhereKernelsOfTheGpuHaveIt) {
  calibrate::StudyInputs data = inputs();
  data.kernel_values["H100-SXM"]["physics.gemm_fraction"] = 0.7;
  const Proposal taken = taken_over(v1_study(), data, "physics");
  const auto gemm = std::ranges::find(taken.spec.free, params::parameter("physics.gemm_fraction"), &params::FreeParameter::id);
  ASSERT_NE(gemm, taken.spec.free.end());
  EXPECT_EQ(gemm->initial, 0.7);
  EXPECT_EQ(gemm->prior->centre, 0.7);
}

TEST(TakingOver, IsTriedFirstAndIsNotTheWayBack) {
  const calibrate::StudyInputs data = inputs();
  const calibrate::PreparedStudy prepared = calibrate::prepare(v1_study(), data).value();
  const auto proposals = propose(prepared, prepared.start, improve_runs(prepared, data.gpus), Diagnosis{}, {});
  EXPECT_THAT(proposals.front().move, testing::StartsWith("take:"));
  EXPECT_EQ(find_proposal(proposals, "take:roofline_v1"), nullptr);
}

TEST(Improve, LeavesAStructureThatNoParameterCanMend) {
  calibrate::StudySpec spec = v1_study();
  spec.free.clear();
  spec.improve->moves = {"take:physics"};
  const Improvement result = improved(spec, inputs(), {});
  EXPECT_EQ(result.kept_last().move, "take:physics");
  EXPECT_EQ(result.result.step_time_model, "physics");
  EXPECT_LT(result.kept_last().after_percent, 0.3 * result.journal.rounds.front().after_percent);
  // What none of these dense models of bf16 depends on is not free.
  for (const params::FreeParameter& parameter : result.result.free) {
    EXPECT_THAT(std::string(parameter.id.spec().id), Not(HasSubstr("moe")));
    EXPECT_TRUE(parameter.prior) << parameter.label();
  }
}

TEST(Improve, RefusesASwitchThatChangesNoPrediction) {
  const std::vector<Move> catalogue{
      {.id = "offload", .reason = "no run offloads", .switches = {{"engine.kv_offload", "off"}}, .burden = Burden::must_not_lose}};
  const Improvement result = improved(only_named(study(), catalogue), inputs(), catalogue);
  ASSERT_THAT(result.journal.screenings, SizeIs(1));
  EXPECT_EQ(result.journal.screenings.front().candidates.front().why, "it changes no prediction of these runs");
  EXPECT_THAT(result.journal.rounds, SizeIs(1));
}

TEST(Catalogue, FreesParametersWithWhatIsKnownOfThemUnlessAskedNotTo) {
  const std::vector<Move> catalogue{{.id = "a", .reason = "b", .free = {"physics.weight_bandwidth_fraction"}}};
  for (const bool naked : {false, true}) {
    calibrate::StudySpec spec = only_named(study(), catalogue);
    spec.improve->naked = naked;
    const calibrate::StudyInputs data = inputs();
    const calibrate::PreparedStudy prepared = calibrate::prepare(spec, data).value();
    const auto proposals = propose(prepared, prepared.start, improve_runs(prepared, data.gpus), Diagnosis{}, catalogue);
    const params::FreeParameter& freed = find_proposal(proposals, "a")->spec.free.back();
    ASSERT_EQ(freed.prior.has_value(), !naked);
    if (!naked) {
      EXPECT_EQ(freed.prior->standard_deviation, 0.05);
    }
  }
}

TEST(Catalogue, WidensAPriorThatEveryFoldPullsAgainst) {
  calibrate::StudySpec spec = study();
  spec.free.front().prior = params::Prior{.centre = 300.0, .standard_deviation = 0.05};  // the truth is at 1500
  const std::vector<Proposal> proposals = proposals_for(spec, inputs());
  const Proposal* widened = find_proposal(proposals, "widen:physics.t_step_us");
  ASSERT_NE(widened, nullptr);
  EXPECT_DOUBLE_EQ(widened->spec.free.front().prior->standard_deviation, 0.1);
  EXPECT_EQ(widened->extra_parameters, 0);
  EXPECT_EQ(widened->burden, Burden::must_gain);
}

/// What the truth has and the catalogue does not: the planted terms, in the form in which studies have them.
struct Planted {
  std::string name;
  std::string expression;
  double coefficient = 0.0;
};

calibrate::StudyInputs inputs_with(const std::optional<Planted>& planted, std::uint64_t seed) {
  params::Config config = truth();
  if (planted) {
    const auto id = params::declare_term({.name = planted->name, .expression = planted->expression, .lower = 0.0, .upper = 1000.0});
    config.parameters[id.value()] = {.value = planted->coefficient, .standard_error = {}};
  }
  return {
      .experiments = examples::measured(runs(), config, seed), .models = examples::models(), .gpus = examples::gpus(), .start = {}};
}

TEST(Invention, FindsATermThatTheCatalogueDoesNotHave) {
  const Planted planted{.name = "planted_a_us", .expression = "layers * decodes", .coefficient = 10.0};
  calibrate::StudySpec spec = study();
  spec.improve->moves = {"invent:*"};
  const Improvement result = improved(spec, inputs_with(planted, 77), {});
  ASSERT_THAT(result.journal.screenings.size(), testing::Ge(1U));
  const auto found = std::ranges::find(result.journal.screenings.front().findings, FindingKind::missing_term, &Finding::kind);
  ASSERT_NE(found, result.journal.screenings.front().findings.end());
  EXPECT_THAT(found->text, HasSubstr("us each, would explain"));
  EXPECT_THAT(result.kept_last().move, testing::StartsWith("invent:user.per_"));
  EXPECT_LT(result.kept_last().after_percent, 0.7 * result.journal.rounds.front().after_percent);
}

TEST(Invention, InventsNothingWhereNothingIsMissing) {
  calibrate::StudySpec spec = study();
  spec.improve->moves = {"invent:*"};
  const Improvement result = improved(spec, inputs_with(std::nullopt, 77), {});
  EXPECT_EQ(result.kept_last().move, "start");
}

/// Answers from a list, one a question.
class ListedProposer final : public Proposer {
 public:
  explicit ListedProposer(std::vector<Answer> answers) : answers_(std::move(answers)) {}
  Answer ask(const Question& question) override {
    ++asked;
    findings = question.findings.size();
    return next_ < answers_.size() ? answers_[next_++] : Answer{};
  }
  int asked = 0;
  std::size_t findings = 0;

 private:
  std::vector<Answer> answers_;
  std::size_t next_ = 0;
};

Improvement proposed(ListedProposer& proposer, const calibrate::StudyInputs& data) {
  calibrate::StudySpec spec = study();
  spec.improve->moves = {"nothing of the catalogue"};
  JournalInMemory journal;
  auto result = improve(spec, data, journal, {.proposer = &proposer}, {});
  EXPECT_TRUE(result) << core::format(result.error());
  return *std::move(result);
}

Move of_term(const std::string& id, const std::string& name, const std::string& expression, double start) {
  params::FreeParameter coefficient =
      params::make_free(params::declare_term({.name = name, .expression = expression, .lower = 0.0, .upper = 1000.0}).value());
  coefficient.initial = start;
  coefficient.initial_is_given = true;
  return {.id = id, .reason = "somebody thinks so", .add = {coefficient}};
}

TEST(Outside, AHelpfulProposalIsKept) {
  const Planted planted{.name = "planted_b_us", .expression = "layers * decodes", .coefficient = 10.0};
  ListedProposer proposer({{.moves = {of_term("outside:launches", "helpful_us", "layers * decodes", 5.0)}}});
  const Improvement result = proposed(proposer, inputs_with(planted, 77));
  EXPECT_EQ(result.kept_last().move, "outside:launches");
  EXPECT_GT(proposer.findings, 0U);
}

TEST(Outside, ACheaterGetsNothingAccepted) {
  // Terms that tell the runs that fits see apart from one another, and mean nothing: what noise looks like.
  std::vector<Answer> answers{{.moves = {of_term("outside:odd_batches", "odd_us", "decodes - 2 * rint(decodes / 2 - 0.25)", 50.0),
                                         of_term("outside:wave", "wave_us", "1 + sin(decodes * hidden_size)", 50.0),
                                         of_term("outside:model", "model_us", "(hidden_size > 5000) * (tp > 1)", 50.0)}}};
  calibrate::StudyInputs data = inputs();
  double factor = 0.97;
  for (domain::Experiment& experiment : data.experiments) {
    for (domain::Latencies* row : {&experiment.measured.summary, &experiment.measured.stages.front()}) {
      for (auto& value : row->value_ms) {
        if (value) *value *= factor;
      }
    }
    factor = 1.97 - factor + 0.03;  // runs by turns too fast and too slow
  }
  ListedProposer proposer(std::move(answers));
  const Improvement result = proposed(proposer, data);
  EXPECT_EQ(result.kept_last().move, "start");
  ASSERT_THAT(result.journal.screenings.size(), testing::Ge(1U));
  EXPECT_THAT(result.journal.screenings.front().outside, SizeIs(3));
}

TEST(Outside, TimeoutsBadAnswersAndRepeatsAreEntriesOfTheJournal) {
  Answer bad{.unusable = {"proposals[0]: unknown parameter 'physics.magic'"}, .failure = {}};
  bad.moves = {{.id = "outside:again", .reason = "r", .switches = {{"engine.async_scheduling", "on"}}},
               {.id = "outside:twice", .reason = "r", .switches = {{"engine.async_scheduling", "on"}}},
               {.id = "outside:nothing", .reason = "r", .switches = {{"engine.prefix_reuse", "on"}}}};
  ListedProposer proposer({bad, {.failure = "no end within timeout_s: 1 s"}});
  const Improvement result = proposed(proposer, inputs());
  std::vector<OutsideFate> fates;
  for (const ScreeningRecord& screening : result.journal.screenings) {
    for (const OutsideRecord& item : screening.outside) fates.push_back(item.fate);
  }
  EXPECT_THAT(fates, testing::ElementsAre(OutsideFate::unusable, OutsideFate::proposed, OutsideFate::repeated, OutsideFate::repeated,
                                          OutsideFate::failed));
  EXPECT_THAT(result.journal.outcome->reason, testing::StartsWith("nothing in the catalogue helps; "));
}

}  // namespace
}  // namespace rooftune::improve
