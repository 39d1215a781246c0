#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rooftune/calibrate/prepare.hpp"
#include "support/simulated_runs.hpp"

namespace rooftune::calibrate {
namespace {

using testing::HasSubstr;

StudyInputs inputs() {
  return {.experiments = examples::measured(examples::four_runs(), examples::config_with("physics", {})),
          .models = examples::models(),
          .gpus = examples::gpus(),
          .start = {}};
}

StudySpec physics_study() {
  StudySpec spec;
  spec.name = "assumptions";
  spec.step_time_model = "physics";
  spec.threads = 1;
  return spec;
}

TEST(Assumptions, AreRefusedWhereTheModelsOwnConfigSaysOtherwise) {
  StudySpec spec = physics_study();
  spec.data.assume = {{.model = "Llama-2-7b-hf", .moe_layers = 16, .truncated_sampling = {}}};
  const auto refused = prepare(spec, inputs());
  ASSERT_FALSE(refused);
  EXPECT_THAT(core::format(refused.error()), HasSubstr("16 layers with experts are assumed for Llama-2-7b-hf"));
}

TEST(Assumptions, FillInWhatAModelsConfigDoesNotSay) {
  StudyInputs silent = inputs();
  for (domain::ModelSpec& model : silent.models) model.sampling.reset();
  StudySpec spec = physics_study();
  spec.data.assume = {{.model = "Llama-2-7b-hf", .moe_layers = {}, .truncated_sampling = true}};
  const auto prepared = prepare(spec, silent);
  ASSERT_TRUE(prepared) << core::format(prepared.error());
  EXPECT_TRUE(prepared->dataset.cases.front().model.sampling->truncates());
}

TEST(Assumptions, NameOnlyKnownModels) {
  StudySpec spec = physics_study();
  spec.data.assume = {{.model = "Llama-2-7b", .moe_layers = {}, .truncated_sampling = true}};
  const auto refused = prepare(spec, inputs());
  ASSERT_FALSE(refused);
  EXPECT_THAT(core::format(refused.error()), HasSubstr("did you mean 'Llama-2-7b-hf'"));
}

TEST(TwinExperiment, ReplacesWhatWasMeasuredByThePredictionsOfTheTruth) {
  StudyInputs with_truth = inputs();
  with_truth.truth = examples::config_with("physics", {{"physics.t_step_us", 9000.0}});
  StudySpec spec = physics_study();
  spec.data.simulated_by = SimulatedSpec{.config = "truth.json", .noise = 0.0, .seed = 7};
  const auto twin = prepare(spec, with_truth);
  ASSERT_TRUE(twin);
  const auto& real = with_truth.experiments;
  for (std::size_t i = 0; i < real.size(); ++i) {
    EXPECT_GT(*twin->dataset.cases[i].experiment.measured.summary[domain::Metric::e2e_mean],
              1.5 * *real[i].measured.summary[domain::Metric::e2e_mean]);
  }
  spec.data.simulated_by->noise = 0.1;
  const auto noisy = prepare(spec, with_truth);
  EXPECT_NE(noisy->dataset.cases[0].experiment.measured, twin->dataset.cases[0].experiment.measured);
  EXPECT_EQ(noisy->dataset.cases[0].experiment.measured, prepare(spec, with_truth)->dataset.cases[0].experiment.measured);
}

}  // namespace
}  // namespace rooftune::calibrate
