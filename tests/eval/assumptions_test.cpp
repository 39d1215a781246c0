#include "rooftune/eval/assumptions.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/simulated_runs.hpp"

namespace rooftune::eval {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Field;

/// A run that does not record whether its steps were scheduled ahead.
domain::Experiment run() {
  domain::Experiment experiment = examples::unmeasured_run("open", examples::llama_3_1_70b(), 4, {2.0});
  experiment.deployment.settings.version = "0.15.1";
  experiment.deployment.settings.max_num_seqs = 128;
  experiment.deployment.settings.max_num_batched_tokens = 8192;
  return experiment;
}

std::vector<Assumption> assumptions_of(const domain::Experiment& experiment) {
  const params::Config config = examples::config_with("physics", {});
  return moving_assumptions(examples::dataset_of({experiment}, config), config, {1});
}

auto scheduling(const char* value, const char* other) {
  return Contains(AllOf(Field(&Assumption::setting, "async_scheduling"), Field(&Assumption::value, value),
                        Field(&Assumption::other, other), Field(&Assumption::experiment, "open")));
}

TEST(MovingAssumptions, NameWhatTheVersionDecidesAndWhatTheOtherValueWouldChange) {
  EXPECT_THAT(assumptions_of(run()), scheduling("on", "off"));
}

TEST(MovingAssumptions, HoldBesideDraftsOfEveryKind) {
  domain::Experiment drafting = run();
  domain::Speculation& speculation = drafting.deployment.settings.speculative.emplace();
  speculation = {.method = "ngram", .num_speculative_tokens = 2, .mean_accepted_length = 1.8};
  EXPECT_THAT(assumptions_of(drafting), scheduling("off", "on"));
  speculation.method = "eagle3";
  EXPECT_THAT(assumptions_of(drafting), scheduling("on", "off"));
  speculation.method = "draft_model";
  speculation.draft_model = examples::llama_2_7b().name;
  EXPECT_THAT(assumptions_of(drafting), scheduling("off", "on"));
}

}  // namespace
}  // namespace rooftune::eval
