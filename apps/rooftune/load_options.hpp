#pragma once

#include <string>

#include "command_line.hpp"
#include "rooftune/runs/ad_hoc_load.hpp"

namespace rooftune::app {

/// Mean lengths of requests and what prompts share.
void add_prompt_options(const Command& command, runs::AdHocLoad& load, const std::string& group);
/// Rate or clients, how requests arrive and for how long, and how their lengths spread.
void add_traffic_options(const Command& command, runs::AdHocLoad& load, const std::string& group);
/// --gpu, mean lengths of requests and what they share, engine settings.
void add_shape_options(const Command& command, runs::AdHocLoad& load, const std::string& group);
/// The engine settings alone.
void add_engine_options(const Command& command, runs::EngineFlags& engine, const std::string& group);
/// All of these, and the deployment.
void add_load_options(const Command& command, runs::AdHocLoad& load);

}  // namespace rooftune::app
