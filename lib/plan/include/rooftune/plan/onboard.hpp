#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "rooftune/calibrate/evaluation_store.hpp"
#include "rooftune/calibrate/onboard_spec.hpp"
#include "rooftune/calibrate/prediction_intervals.hpp"
#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/kernels/kernel_summary.hpp"
#include "rooftune/opt/solve.hpp"
#include "rooftune/opt/termination.hpp"
#include "rooftune/plan/next_run.hpp"

namespace rooftune::plan {

/// What is expected of a parameter on the new GPU before any run on it.
struct GpuPrior {
  params::FreeParameter parameter;  ///< of the new GPU, with the prior
  params::ValueSource source = params::ValueSource::inherited;
  std::string basis;  ///< "H100-SXM's, 0.85 times by kernel tables"
};

/// Priors from the data sheet alone: the reference's values, which are shares of peaks. How far a share may be off on another
/// GPU is seen among the other GPUs of `summaries`.
[[nodiscard]] std::vector<GpuPrior> datasheet_priors(const params::Config& reference_config, const calibrate::OnboardSpec& spec,
                                                     const std::vector<kernels::KernelSummary>& summaries);

/// The same moved by what kernel benchmarks say of the new GPU relative to the reference. Needs both in `summaries`.
[[nodiscard]] std::vector<GpuPrior> kernel_priors(const params::Config& reference_config, const calibrate::OnboardSpec& spec,
                                                  const std::vector<kernels::KernelSummary>& summaries, const domain::GpuSpec& gpu,
                                                  const domain::GpuSpec& reference);

/// Priors for another release of the engine on the same GPU: shares of peak times what tables of the nearest releases come to. Empty
/// where no tables tell the two releases apart.
[[nodiscard]] std::optional<std::vector<GpuPrior>> release_priors(const params::Config& reference_config,
                                                                  const calibrate::OnboardSpec& spec,
                                                                  const std::vector<kernels::KernelSummary>& summaries,
                                                                  domain::Release from, domain::Release to);

/// A parameter after a step.
struct OnboardParameter {
  GpuPrior prior;
  double value = 0.0;
  double prior_deviation = 0.0;  ///< in the transformed space, the reference fit's own included
  double posterior_deviation = 0.0;
  params::ValueSource source = params::ValueSource::inherited;
  opt::BoundState bound = opt::BoundState::free;  ///< where the value ended
  [[nodiscard]] bool is_identified() const { return posterior_deviation < 0.9 * prior_deviation; }
};

/// A measured row that a fit did not see, as an error of step time would come back in it many times larger.
struct LeftOutRow {
  std::string experiment;
  int stage = domain::kSummaryStage;
  domain::Metric metric = domain::Metric::ttft_mean;
  double amplification = 0.0;  ///< percent that the prediction moves for one percent of step time
};

/// What is known of the new GPU at one point of the way.
struct OnboardStep {
  std::string name;  ///< "data sheet", "kernel tables", "run 36"
  std::vector<std::string> fitted_runs;
  std::optional<opt::Termination> termination;  ///< of the fit, where there is one
  params::Config config;                        ///< complete, with the source of every value
  std::vector<OnboardParameter> parameters;
  std::vector<LeftOutRow> left_out;  ///< rows of the fitted runs that the fit did not see
  eval::Evaluation fitted;           ///< runs that this step has seen
  eval::Evaluation held_out;         ///< runs that it has not
  std::vector<calibrate::PredictionInterval> intervals;
  calibrate::Coverage coverage;  ///< held-out measurements in their intervals, where those say something
  int undetermined = 0;          ///< held-out measurements whose interval says nothing
  std::vector<NextRun> next_runs;
};

/// An interval beside the measurement that the step had not seen.
struct JudgedInterval {
  const calibrate::PredictionInterval* interval = nullptr;
  const eval::Row* row = nullptr;
  [[nodiscard]] bool is_inside() const { return row->measured_ms >= interval->lower_ms && row->measured_ms <= interval->upper_ms; }
};

/// Those of a step; stages in place of the summary that pools them.
[[nodiscard]] std::vector<JudgedInterval> held_out_intervals(const OnboardStep& step);
/// Of them those whose interval says something.
[[nodiscard]] std::vector<JudgedInterval> judged_intervals(const OnboardStep& step);

/// Errors of one experiment when its number of KV blocks is another.
struct KvBlocksRow {
  std::string experiment;
  int total_kv_blocks = 0;
  bool is_recorded = false;
  double ttft_error_percent = 0.0;
  double e2e_error_percent = 0.0;
};

struct Onboarding {
  std::string gpu;
  std::string reference;
  std::string engine;                  ///< of the study's runs: "vllm 0.23.0"
  std::vector<OnboardStep> steps;      ///< data sheet, kernel tables, each run alone, then more and more runs in the study's order
  std::vector<KvBlocksRow> kv_blocks;  ///< at the kernel tables' step
  std::size_t asked = 0;               ///< steps that the study has; fewer are there where it was interrupted

  /// What is new: the GPU, or the engine's version on the same GPU.
  [[nodiscard]] std::string label() const { return gpu == reference ? gpu + " " + engine : gpu; }
  [[nodiscard]] bool interrupted() const { return steps.size() < asked; }
  /// The step that saw all runs (without runs, or where it was interrupted: the last).
  [[nodiscard]] const OnboardStep& last() const { return steps.back(); }
};

struct OnboardHooks {
  std::function<void(const std::string& step)> progress = {};
  calibrate::StoreUse store = {};  ///< where evaluations are looked up and kept
  std::stop_token cancel = {};     ///< ends it with the steps that are finished
};

/// Carries the study's start config to a new GPU step by step. The start config must know its uncertainty (a fit of this version
/// writes it). Problems of several kinds are reported at once.
[[nodiscard]] core::Result<Onboarding> onboard(const calibrate::PreparedStudy& study, const calibrate::StudyInputs& inputs,
                                               const std::vector<kernels::KernelSummary>& summaries, const OnboardHooks& hooks = {});

}  // namespace rooftune::plan
