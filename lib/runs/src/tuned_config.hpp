#pragma once

#include <string>

#include "rooftune/runs/open_study.hpp"
#include "rooftune/runs/outcome.hpp"

/// What makes a config that a run writes worth keeping.
namespace rooftune::runs {

/// The config with where its values came from, and with those of the study's GPUs that are not shipped or not as the study has them.
[[nodiscard]] params::Config with_origin(params::Config tuned, const OpenedStudy& study, const RunManifest& manifest);

/// Reads `text`, which is `tuned`'s, back without any other file of the user's, simulates runs of the study, and compares to the last
/// bit with what was reported.
[[nodiscard]] core::Result<void> check_loads_alone(const std::string& text, const params::Config& tuned, const Outcome& outcome,
                                                   const OpenedStudy& study);

}  // namespace rooftune::runs
