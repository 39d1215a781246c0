#pragma once

#include <optional>
#include <vector>

#include "recorded_run.hpp"

namespace rooftune::importers {

/// What the configuration of inference-perf says about the load, beside what it fills into the run.
struct InferencePerfConfig {
  std::vector<RecordedStage> stages{};  ///< rates, durations, limits
  std::vector<int> clients{};           ///< by stage, of load type concurrent
  bool has_fixed_output = false;        ///< every output has the configured length
  bool replays_a_trace = false;
  /// Random data whose outputs end when they have the length that was drawn for them.
  std::optional<domain::LengthDistribution> drawn_outputs{};
};

/// Reads config.yaml, or the same object in a report. Fills model, arrivals and prompts of the run; what cannot be replayed is an error.
[[nodiscard]] InferencePerfConfig read_inference_perf_config(const text::Document& config, RecordedRun& run, text::Problems& problems);

}  // namespace rooftune::importers
