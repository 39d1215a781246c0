#pragma once

#include <string>

#include "rooftune/plan/hierarchy.hpp"
#include "rooftune/plan/onboard.hpp"
#include "rooftune/plan/simulated_transfers.hpp"

namespace rooftune::runs {

/// `rooftune onboard --json` and its `result.json` (schema `rooftune/onboard/1`).
[[nodiscard]] std::string onboard_json(const plan::Onboarding& onboarding);

/// The same for a trial of the recommendation (schema `rooftune/next-run-trial/1`).
[[nodiscard]] std::string trial_json(const plan::NextRunTrial& trial);

/// Of `rooftune onboard --spreads` (schema `rooftune/hierarchy/1`).
[[nodiscard]] std::string hierarchy_json(const plan::Hierarchy& hierarchy);

/// Of `rooftune onboard --simulate-transfers` (schema `rooftune/simulated-transfers/1`).
[[nodiscard]] std::string simulated_transfers_json(const plan::SimulatedTransfers& transfers);

}  // namespace rooftune::runs
