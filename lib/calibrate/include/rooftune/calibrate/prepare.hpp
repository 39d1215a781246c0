#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/calibrate/study_spec.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/params/config.hpp"

namespace rooftune::calibrate {

/// What kernel benchmarks of a GPU come to, by parameter id.
using KernelValues = std::map<std::string, double>;

/// What the files that a study names hold.
struct StudyInputs {
  std::vector<domain::Experiment> experiments;
  std::vector<domain::ModelSpec> models;
  std::vector<domain::GpuSpec> gpus;
  std::optional<params::Config> start;
  eval::KernelTablesByGpu kernels{};                    ///< only models that look kernels up need them
  std::map<std::string, KernelValues> kernel_values{};  ///< by the canonical name of the GPU; only `improve` asks for them
  std::optional<params::Config> truth{};                ///< of studies whose measurements are simulated
  std::shared_ptr<eval::ExternalRuns> external{};       ///< the study's own simulator, where it names one
};

/// A study ready to run: the selected experiments with their requests drawn, and the config it starts from.
struct PreparedStudy {
  StudySpec spec;        ///< its free parameters start where `start` has them
  params::Config start;  ///< with the free parameters at their initial values, and the ties that follow them
  eval::Dataset dataset;
  eval::Dataset held_out{};      ///< what `data.held_out` keeps from the fit; mostly empty
  KernelValues kernel_values{};  ///< of the GPU of all experiments; empty where they are on several, or nobody measured it
};

/// Requests of one replicate, all stages together.
[[nodiscard]] std::size_t planned_requests(const eval::Case& item);

/// True when the experiment passes the study's selection and is not held out; a GPU is known by all its names. Without a role among the selectors
/// only calibration runs pass, those of other GPUs where `hardware` asks for them, and any that is named by its id.
[[nodiscard]] bool is_selected(const domain::Experiment& experiment, const DataSpec& data, const std::vector<domain::GpuSpec>& gpus);

/// True when it would pass, but `held_out` keeps it from the fit.
[[nodiscard]] bool is_held_out(const domain::Experiment& experiment, const DataSpec& data, const std::vector<domain::GpuSpec>& gpus);
/// True when the experiment matches one of the lists of selectors.
[[nodiscard]] bool is_in(const domain::Experiment& experiment, const Selection& selection, const std::vector<domain::GpuSpec>& gpus);

/// `field=value` as a selector; an error that names the fields when it is none.
[[nodiscard]] core::Result<Selector> parse_selector(std::string_view text);

/// Adds profiles and a bootstrap to what the study asks for; an error when no free parameter has a label.
[[nodiscard]] core::Result<void> ask_for_uncertainty(StudySpec& spec, const std::vector<std::string>& profile,
                                                     std::optional<int> bootstrap);

/// Applies selection, switches and fixed values, and checks everything that needs more than one file. All problems at once.
[[nodiscard]] core::Result<PreparedStudy> prepare(const StudySpec& spec, const StudyInputs& inputs);

}  // namespace rooftune::calibrate
