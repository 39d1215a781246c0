#pragma once

#include <string>

#include "command_line.hpp"
#include "options.hpp"
#include "rooftune/runs/ad_hoc_load.hpp"
#include "rooftune/runs/capacity_search.hpp"

namespace rooftune::app {

/// Mean lengths of requests and what prompts share.
void add_prompt_options(const Command& command, runs::AdHocLoad& load, const std::string& group);
/// Rate or clients, how requests arrive and for how long, and how their lengths spread.
void add_traffic_options(const Command& command, runs::AdHocLoad& load, const std::string& group);
/// --gpu, mean lengths of requests and what they share, engine settings.
void add_shape_options(const Command& command, runs::AdHocLoad& load, const std::string& group);
/// Prefill and decode on engines of their own.
void add_pool_option(const Command& command, runs::AdHocLoad& load, const std::string& group);
/// The engine settings alone.
void add_engine_options(const Command& command, runs::EngineFlags& engine, const std::string& group);
/// All of these, and the deployment.
void add_load_options(const Command& command, runs::AdHocLoad& load);
/// A deployment without a load: --model, --gpu, --tp, --pp, engine settings.
void add_deployment_options(const Command& command, runs::AdHocLoad& load, const std::string& group);
/// What `rooftune capacity` is asked.
void add_capacity_options(const Command& command, DataOptions& data, runs::CapacityRequest& request);
/// After parsing: which of its options were given, where that matters beside their values.
void note_what_is_given(const Command& command, runs::CapacityRequest& request);

}  // namespace rooftune::app
