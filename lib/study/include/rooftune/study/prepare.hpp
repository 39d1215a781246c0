#pragma once

#include <optional>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/study/study_spec.hpp"

namespace rooftune::study {

/// What the files that a study names hold.
struct StudyInputs {
  std::vector<domain::Experiment> experiments;
  std::vector<domain::ModelSpec> models;
  std::vector<domain::GpuSpec> gpus;
  std::optional<params::Config> start;
};

/// A study ready to run: the selected experiments with their requests drawn, and the config it starts from.
struct PreparedStudy {
  StudySpec spec;
  params::Config start;  ///< with the free parameters at their initial values
  eval::Dataset dataset;
};

/// True when the experiment passes the study's selection. Without a role among the selectors only calibration runs pass,
/// unless the experiment is named by its id.
[[nodiscard]] bool is_selected(const domain::Experiment& experiment, const DataSpec& data);

/// Applies selection, switches and fixed values, and checks everything that needs more than one file. All problems at once.
[[nodiscard]] core::Result<PreparedStudy> prepare(const StudySpec& spec, const StudyInputs& inputs);

}  // namespace rooftune::study
