#pragma once

#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "rooftune/plan/onboard.hpp"

namespace rooftune::plan {

/// Where a row multiplies an error of step time by more, it says more about a queue than about the GPU: a model that is off by 3 %
/// there would be bent until the queue fits.
inline constexpr double kMostAmplified = 6.0;

/// Whether a parameter of the reference's fit holds for all deployments on the reference GPU.
[[nodiscard]] bool is_shared(const params::DeploymentFilter& where, const std::string& reference);

/// Whether it is the exponent of a curve, whose size says nothing about speed.
[[nodiscard]] bool is_exponent(const params::FreeParameter& parameter);

/// A study's onboarding, looked at and found possible.
struct Transfer {
  calibrate::OnboardSpec spec;  ///< names as the GPUs have them
  const domain::GpuSpec* gpu = nullptr;
  std::vector<std::pair<std::string, std::vector<GpuPrior>>> priors;  ///< by step: "data sheet", "kernel tables"; or "as it is"
};

[[nodiscard]] core::Result<Transfer> prepare_transfer(const calibrate::PreparedStudy& study, const calibrate::StudyInputs& inputs,
                                                      const std::vector<kernels::KernelSummary>& summaries);

/// One onboarding: what its steps share.
class Onboarder {
 public:
  /// All of it must outlive this. Once `cancel` is requested steps end soon, and are of no use.
  Onboarder(const calibrate::PreparedStudy& study, const calibrate::OnboardSpec& spec, const domain::GpuSpec& gpu,
            const calibrate::StoreUse& store = {}, std::stop_token cancel = {});

  /// What is believed after these runs of `dataset` (with measurements); without runs, the priors.
  [[nodiscard]] OnboardStep learn(std::string name, const std::vector<GpuPrior>& priors, const eval::Dataset& dataset,
                                  const std::vector<std::size_t>& runs) const;

  /// Adds to a step its errors on all runs of `dataset`, its intervals, and how many of them hold what the step has not seen.
  void score(OnboardStep& step, const eval::Dataset& dataset, const std::vector<std::size_t>& runs) const;

  /// The reference fit's own covariance, and on top what carries over badly: independent from parameter to parameter.
  [[nodiscard]] opt::GaussianBelief belief_before(const std::vector<GpuPrior>& priors) const;

  /// The start config with what is known of the GPU's kernels without any measurement.
  [[nodiscard]] const params::Config& start() const { return start_; }

 private:
  /// Takes out of `seen` the rows that a queue decides, and says which.
  [[nodiscard]] std::vector<LeftOutRow> leave_out_queues(eval::Dataset& seen, const params::Config& config,
                                                         const std::vector<params::FreeParameter>& free) const;
  [[nodiscard]] opt::GaussianBelief belief_after(const opt::GaussianBelief& before, const params::Config& config,
                                                 const std::vector<params::FreeParameter>& free, const eval::Dataset& seen) const;

  const calibrate::PreparedStudy& study_;
  const calibrate::OnboardSpec& spec_;
  const domain::GpuSpec& gpu_;
  core::ThreadCount threads_;
  params::Config start_;
  calibrate::StoreUse store_;
  std::stop_token cancel_;
};

}  // namespace rooftune::plan
