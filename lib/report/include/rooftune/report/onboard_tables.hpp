#pragma once

#include <string>
#include <vector>

#include "rooftune/plan/hierarchy.hpp"
#include "rooftune/plan/next_run.hpp"
#include "rooftune/plan/onboard.hpp"
#include "rooftune/plan/simulated_transfers.hpp"
#include "rooftune/report/text_table.hpp"

namespace rooftune::report {

/// Errors of every step on runs that it had seen and on those that it had not, one line per step and run, with 90 % intervals.
[[nodiscard]] std::string onboard_error_table(const std::vector<plan::Onboarding>& onboardings, Colour colour);

/// What the last step believes of every parameter and where each value comes from, then what no run told.
[[nodiscard]] std::string onboard_parameter_table(const plan::Onboarding& onboarding, Colour colour);

/// The runs to make next after a step, with the reason where predictions are less sure than at the step it started from.
[[nodiscard]] std::string next_run_table(const plan::OnboardStep& step, const plan::OnboardStep* before, Colour colour);

/// How errors depend on a block count that was inferred.
[[nodiscard]] std::string kv_blocks_table(const plan::Onboarding& onboarding, Colour colour);

/// Spreads that runs tell something of, with every group's deviation; then how well shared values and all terms meet the runs.
[[nodiscard]] std::string hierarchy_table(const plan::Hierarchy& hierarchy, Colour colour);

/// How many simulated measurements their intervals held, how wide those were, and what further runs were worth by how they were
/// chosen.
[[nodiscard]] std::string simulated_transfer_table(const plan::SimulatedTransfers& transfers, Colour colour);

/// Errors before, with the recommended run and with a random one, over all draws.
[[nodiscard]] std::string trial_table(const plan::NextRunTrial& trial, Colour colour);

}  // namespace rooftune::report
