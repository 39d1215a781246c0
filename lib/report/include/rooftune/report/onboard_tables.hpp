#pragma once

#include <string>
#include <vector>

#include "rooftune/plan/next_run.hpp"
#include "rooftune/plan/onboard.hpp"
#include "rooftune/report/text_table.hpp"

namespace rooftune::report {

/// Errors of every step on runs that it had seen and on those that it had not, one line per step and run, with 90 % intervals.
[[nodiscard]] std::string onboard_error_table(const std::vector<plan::Onboarding>& onboardings, Colour colour);

/// What the last step believes of every parameter and where each value comes from, then what no run told.
[[nodiscard]] std::string onboard_parameter_table(const plan::Onboarding& onboarding, Colour colour);

/// The runs to make next after the last step, and how a block count that was inferred matters.
[[nodiscard]] std::string next_run_table(const plan::OnboardStep& step, Colour colour);
[[nodiscard]] std::string kv_blocks_table(const plan::Onboarding& onboarding, Colour colour);

/// Errors before, with the recommended run and with a random one, over all draws.
[[nodiscard]] std::string trial_table(const plan::NextRunTrial& trial, Colour colour);

}  // namespace rooftune::report
