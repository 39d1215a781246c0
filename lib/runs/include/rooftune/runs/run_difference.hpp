#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/params/config.hpp"

namespace rooftune::runs {

/// Something that two runs say differently; empty where one of them does not have it.
struct TextDifference {
  std::string what;  ///< "seed", "version of ceres", "input ground_truth/h100.json"
  std::optional<std::string> first;
  std::optional<std::string> second;
};

struct ParameterDifference {
  std::string parameter;  ///< id, with what it holds for in brackets: "physics.t_layer_us[gpu=H100]"
  std::optional<double> first;
  std::optional<double> second;

  /// Empty when one run does not have the parameter.
  [[nodiscard]] std::optional<double> change_percent() const;
};

struct PredictionDifference {
  eval::Row first;
  eval::Row second;

  /// Of what is predicted.
  [[nodiscard]] double change_percent() const { return second.change_percent_from(first); }
};

/// Where two runs, or two configs, differ. What is the same in both is not listed.
struct RunDifference {
  std::vector<TextDifference> manifest;  ///< of configs: step-time model and switches
  std::vector<ParameterDifference> parameters;
  std::vector<PredictionDifference> predictions;
  std::size_t unmatched_predictions = 0;  ///< rows that only one of the runs has

  [[nodiscard]] bool empty() const {
    return manifest.empty() && parameters.empty() && predictions.empty() && unmatched_predictions == 0;
  }
};

/// Compares the manifests, tuned configs and evaluations of two run folders.
[[nodiscard]] core::Result<RunDifference> compare_runs(const std::filesystem::path& first, const std::filesystem::path& second);

/// Compares what two configs say by themselves: step-time model, switches, parameters.
[[nodiscard]] RunDifference compare_configs(const params::Config& first, const params::Config& second);

/// Adds what two evaluations predict for the same experiments.
void compare_predictions(RunDifference& difference, std::span<const eval::Row> first, std::span<const eval::Row> second);

/// The difference as "rooftune/diff/1" (docs/file_formats.md).
[[nodiscard]] std::string difference_json(const RunDifference& difference);

}  // namespace rooftune::runs
