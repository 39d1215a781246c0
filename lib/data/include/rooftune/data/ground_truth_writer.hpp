#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rooftune/domain/experiment.hpp"

namespace rooftune::data {

/// An experiment with what its file says beside it.
struct WrittenExperiment {
  domain::Experiment experiment;
  std::string table{};                                 ///< arrival process trace: the table's path from the JSON file
  std::optional<double> summary_output_tokens{};       ///< mean number of generated tokens over all requests
  std::vector<std::optional<double>> output_tokens{};  ///< the same by stage
  std::vector<std::string> inferred{};                 ///< settings that were not recorded with the run
};

/// The experiments as ground truth (ground_truth/ground_truth.schema.json). read_ground_truth() gives them back equal, once the
/// tables of traces lie where they are said to.
[[nodiscard]] std::string ground_truth_text(std::span<const WrittenExperiment> experiments);

}  // namespace rooftune::data
