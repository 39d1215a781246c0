#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "rooftune/runs/ad_hoc_load.hpp"

namespace rooftune::app {

/// --model, --gpu, mean lengths of requests and what they share, engine settings.
void add_shape_options(CLI::App& command, runs::AdHocLoad& load, const std::string& group);
/// The engine settings alone.
void add_engine_options(CLI::App& command, runs::EngineFlags& engine, const std::string& group);
/// Those, and the deployment, how requests arrive and how their lengths spread.
void add_load_options(CLI::App& command, runs::AdHocLoad& load);

}  // namespace rooftune::app
