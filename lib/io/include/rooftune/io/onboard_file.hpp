#pragma once

#include <string>

#include "rooftune/study/onboard.hpp"

namespace rooftune::io {

/// `rooftune onboard --json` and its `result.json` (schema `rooftune/onboard/1`).
[[nodiscard]] std::string onboard_json(const study::Onboarding& onboarding);

/// The same for a trial of the recommendation (schema `rooftune/next-run-trial/1`).
[[nodiscard]] std::string trial_json(const study::NextRunTrial& trial);

}  // namespace rooftune::io
