#include "rooftune/calibrate/linear_form.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "support/example_targets.hpp"

namespace rooftune::calibrate {
namespace {

eval::Case llama() {
  eval::Case item;
  item.model = examples::llama_2_7b();
  item.gpu = examples::h100();
  item.experiment.deployment = examples::deployment(item.model, item.gpu, 1);
  return item;
}

TEST(LinearForm, GivesTheCoefficientsOfALinearModelBack) {
  params::Config config;
  config.step_time_model = "blackbox";
  const auto set = [&](std::string_view id, double value) {
    config.parameters[params::parameter(id)] = {.value = value, .standard_error = {}};
  };
  set("blackbox.step_us", 5200.0);
  set("blackbox.per_prefill_token_us", 11.0);
  set("blackbox.per_decode_us", 17.0);
  set("frontend.constant_us", 4000.0);
  set("frontend.per_prompt_token_us", 3.0);
  set("frontend.per_output_token_us", 25.0);
  const LinearForm form = fit_linear_form(llama(), config);
  EXPECT_NEAR(form.step_us[0], 5200.0, 1e-6);
  EXPECT_NEAR(form.step_us[1], 11.0, 1e-9);
  EXPECT_NEAR(form.step_us[2], 17.0, 1e-9);
  EXPECT_EQ(form.delay_us, (std::array{4000.0, 3.0, 25.0}));
  EXPECT_LT(std::abs(form.worst_error_percent), 1e-9);
}

TEST(LinearForm, SaysByHowMuchItMissesAModelThatIsNotLinear) {
  params::Config config;
  config.step_time_model = "physics";
  const LinearForm form = fit_linear_form(llama(), config);
  EXPECT_GT(form.batches, 50);
  EXPECT_GT(form.mean_error_percent, 0.1);
  EXPECT_GT(std::abs(form.worst_error_percent), form.mean_error_percent);
  EXPECT_FALSE(form.worst_batch.empty());
}

TEST(LinearForm, FitsCloserOverANarrowerDomain) {
  params::Config wide;
  wide.step_time_model = "physics";
  wide.domain.ranges["concurrency"] = {.lowest = 1, .highest = 128};
  params::Config narrow = wide;
  narrow.domain.ranges["concurrency"] = {.lowest = 1, .highest = 8};
  narrow.domain.ranges["prompt_tokens"] = {.lowest = 500, .highest = 600};
  narrow.domain.ranges["output_tokens"] = {.lowest = 100, .highest = 150};
  EXPECT_LT(fit_linear_form(llama(), narrow).mean_error_percent, fit_linear_form(llama(), wide).mean_error_percent);
}

}  // namespace
}  // namespace rooftune::calibrate
