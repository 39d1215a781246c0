#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "rooftune/calibrate/evaluation_store.hpp"
#include "rooftune/calibrate/onboard_spec.hpp"
#include "rooftune/calibrate/posterior.hpp"
#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/opt/gaussian_belief.hpp"

namespace rooftune::plan {

/// What one more run would teach, to first order: its predicted means move with the parameters, so measuring them narrows the
/// parameters, and with them every other prediction.
struct RunValue {
  std::size_t case_index = 0;
  double deviation_before = 0.0;  ///< root mean square over targets of the parameters' part of the log error, none above undetermined
  double deviation_after = 0.0;   ///< the same with this run's TTFT and E2E known (A-optimality)
  double bits = 0.0;              ///< narrowing of the parameters as a whole, log2 of the volume (D-optimality)
  double rms_after = 0.0;         ///< the deviation after it without that limit, which what is close to saturation rules
};

/// Values of all candidates, the most useful first (`deviation_after`); ties in the order given. A candidate is measured with the
/// deviation that `noise_deviation` gives for its metric, times what its queue makes of an error of step time.
[[nodiscard]] std::vector<RunValue> rank_runs(const opt::GaussianBelief& belief, std::span<const calibrate::Sensitivity> candidates,
                                              std::span<const calibrate::Sensitivity> targets,
                                              const std::map<domain::Metric, double>& noise_deviation);

/// A candidate with what it is worth.
struct NextRun {
  std::string model;
  int tp = 1;
  double rate_per_s = 0.0;
  int prompt_tokens = 0;
  int output_tokens = 0;
  double gpu_minutes = 0.0;
  RunValue value;
};

/// The candidates as experiments on `gpu`, with the engine settings of `like`.
[[nodiscard]] std::vector<domain::Experiment> candidate_experiments(const calibrate::CandidateSpec& spec, const std::string& gpu,
                                                                    const domain::Deployment& like);

/// The candidates with their requests drawn; combinations that cannot run on `gpu` are left out. An empty list of models becomes
/// that of the study's runs.
[[nodiscard]] core::Result<eval::Dataset> candidate_dataset(const calibrate::PreparedStudy& study,
                                                            const calibrate::StudyInputs& inputs, calibrate::CandidateSpec& spec,
                                                            const std::string& gpu);

/// The same by index among `candidates`, without what they cost; the most useful first.
[[nodiscard]] std::vector<RunValue> useful_runs(const eval::Dataset& candidates, const params::Config& config,
                                                std::span<const params::FreeParameter> free, const opt::GaussianBelief& belief,
                                                double noise, core::ThreadCount threads);

/// Ranks the candidates that fit into memory and do not overload at `config`; `belief` is over `free`.
[[nodiscard]] std::vector<NextRun> recommend_runs(const calibrate::CandidateSpec& spec, const eval::Dataset& candidates,
                                                  const params::Config& config, std::span<const params::FreeParameter> free,
                                                  const opt::GaussianBelief& belief, double noise, core::ThreadCount threads);

/// One draw of a trial: mean absolute errors on the runs that neither choice had seen.
struct TrialDraw {
  std::vector<std::string> start;
  std::string recommended;
  std::string random;
  double before_percent = 0.0;  ///< mean over TTFT and E2E
  double recommended_percent = 0.0;
  double random_percent = 0.0;
};

struct NextRunTrial {
  int start_runs = 0;
  std::size_t asked = 0;         ///< draws
  std::vector<TrialDraw> draws;  ///< those that are finished
  [[nodiscard]] bool interrupted() const { return draws.size() < asked; }
};

struct TrialHooks {
  std::function<void(std::size_t finished, std::size_t total)> progress = {};
  calibrate::StoreUse store = {};  ///< where evaluations are looked up and kept
  std::stop_token cancel = {};     ///< ends it with the draws that are finished
};

/// Fits a few of the study's runs, drawn at random, adds one of the others by recommendation and one at random, refits, and
/// scores both on the rest. The recommendation sees deployments and loads of the others, never their measurements.
[[nodiscard]] core::Result<NextRunTrial> try_recommendation(const calibrate::PreparedStudy& study, const calibrate::TrialSpec& spec,
                                                            const TrialHooks& hooks = {});

}  // namespace rooftune::plan
