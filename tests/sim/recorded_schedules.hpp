#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "rooftune/sim/engine.hpp"
#include "rooftune/sim/request_plan.hpp"

/// What vLLM's own scheduler did with small workloads, recorded step by step, and the comparison with the engine.
/// tests/sim/recorded/README.md describes the files.
namespace rooftune::sim::recorded {

/// step = constant + per token scheduled + per token computed before.
struct StepTimes {
  double constant_us = 0.0;
  double per_token_us = 0.0;
  double per_computed_token_us = 0.0;
};

struct Step {
  double start_us = 0.0;
  std::vector<ScheduledTokens> requests;
  std::int64_t kv_blocks_in_use = 0;
};

struct Outcome {
  double first_token_us = 0.0;
  double finished_us = 0.0;
  std::int64_t cached_tokens = 0;
  std::optional<std::int64_t> preemptions;  ///< empty: not recorded
};

struct Workload {
  std::string id;
  std::string group;  ///< version, mode and kind: what workloads are counted by
  EngineSetup setup;
  StepTimes times;
  RequestPlan plan;
  std::vector<std::int64_t> numbers;  ///< by place in the plan: the request's number in the file
  double turnaround_us = 0.0;
  std::vector<Step> steps;
  std::vector<Outcome> requests;
};

/// The workloads of a file, one a line. Keys that we do not know are ignored; throws std::runtime_error naming the line that cannot
/// be read.
[[nodiscard]] std::vector<Workload> read(const std::filesystem::path& file);

/// Which settings of the engine a version has that the file does not say: those of the nearest version that we know.
void apply_version(const std::string& version, EngineSetup& setup);

/// Where the engine, stepping plainly and in closed form, first differs from what was recorded; empty: nowhere.
[[nodiscard]] std::string first_difference(const Workload& workload);

}  // namespace rooftune::sim::recorded
