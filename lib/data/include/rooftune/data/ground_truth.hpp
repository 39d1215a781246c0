#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/domain/experiment.hpp"
#include "rooftune/domain/experiment_places.hpp"

namespace rooftune::data {

/// Measured experiments, with what the reader noticed about them.
struct GroundTruth {
  std::vector<domain::Experiment> experiments;
  domain::PlacesByExperiment places{};  ///< where they say on what they ran
  core::Diagnostics warnings;
};

/// Reads a JSON array of experiments (ground_truth/ground_truth.schema.json documents every field).
///
/// What the fields mean for the simulated workload:
/// - arrival: `process` if given; else inference-perf's load type, whose `constant` draws exponential gaps and rescales them
///   so that exactly rate x duration requests fill a stage: conditioned_poisson.
/// - prompts: `effective.prompt_tokens_actual_mean` if given, else system_prompt_len + question_len. `prompt_tokens_range_pct`
///   is the *full* width of the uniform spread (3: mean x 0.985 to 1.015): in the four recorded runs (prompt_len of the 20260217
///   ones) 90 % of the prompts lie within 2.9 to 3.3 % of the mean, their standard deviation is 0.9 % (uniform over +-1.5 %
///   gives 0.87 %, over +-3 % 1.73 %).
/// - measured stages: rows are placed by their `stage`; a single-stage experiment without stage rows gets its summary as row 0.
///
/// Warns about columns that violate E2E = TTFT + (N - 1) x TPOT on means (N: `output_tokens_generated`), failed requests, stage
/// rows that are missing, and stages whose `num_requests` is not rate x duration.
[[nodiscard]] core::Result<GroundTruth> read_ground_truth(const std::filesystem::path& file);

/// Several files as one; an id that occurs twice is an error.
[[nodiscard]] core::Result<GroundTruth> read_ground_truth(std::span<const std::filesystem::path> files);

}  // namespace rooftune::data
