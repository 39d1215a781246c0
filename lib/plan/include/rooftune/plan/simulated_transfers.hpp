#pragma once

#include <array>
#include <functional>
#include <map>
#include <stop_token>
#include <string>
#include <vector>

#include "rooftune/calibrate/prediction_intervals.hpp"
#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/kernels/kernel_summary.hpp"

namespace rooftune::plan {

/// What one step of an onboarding was worth over many simulated GPUs.
struct SimulatedStep {
  std::string name;                                      ///< "kernel tables", "run 36"
  std::map<domain::Metric, calibrate::Coverage> inside;  ///< unseen measurements in their 90 % intervals
  std::map<domain::Metric, double> width_percent;        ///< median over unseen measurements of the upper bound's reach
  std::map<domain::Metric, double> error_percent;        ///< mean |error| of the predictions of unseen measurements
  int undetermined = 0;                                  ///< measurements without a useful interval; in no count above
};

/// One way to choose the next run.
enum class Choice { at_random, root_mean_square, typical, bits };
inline constexpr std::array<core::Word<Choice>, 4> kChoices{{
    {"at random", Choice::at_random},
    {"least RMS uncertainty", Choice::root_mean_square},
    {"least uncertainty of what is determined", Choice::typical},
    {"most bits", Choice::bits},
}};

/// What one more run was worth on the truth behind it, by how it was chosen.
struct ChoiceTrial {
  std::string name;  ///< the state before it: "kernel tables", "run 36"
  int draws = 0;
  double before_percent = 0.0;  ///< mean |log error| over candidates, TTFT and E2E
  struct Outcome {
    double error_percent = 0.0;         ///< the same with the run
    double against_random = 0.0;        ///< difference to the random one
    double against_random_error = 0.0;  ///< its standard error
  };
  std::map<Choice, Outcome> outcomes;
};

struct SimulatedTransfers {
  int asked = 0;  ///< draws
  int draws = 0;  ///< those that are finished
  std::vector<SimulatedStep> steps;
  std::vector<ChoiceTrial> choices;
  [[nodiscard]] bool interrupted() const { return draws < asked; }
};

struct SimulatedTransferHooks {
  std::function<void(std::size_t finished, std::size_t total)> progress = {};
  std::stop_token cancel = {};  ///< ends it with the draws that are finished
};

/// Draws GPUs whose parameters are as uncertain as the study's priors say (kernel tables, where there are any), simulates the
/// study's runs on each with arrivals of their own and errors as large as the reference model's held-out ones, onboards it from
/// nothing and from the first run, and counts. The truth is known, so intervals and recommendations can be judged.
[[nodiscard]] core::Result<SimulatedTransfers> simulate_transfers(const calibrate::PreparedStudy& study,
                                                                  const calibrate::StudyInputs& inputs,
                                                                  const std::vector<kernels::KernelSummary>& summaries, int draws,
                                                                  const SimulatedTransferHooks& hooks = {});

}  // namespace rooftune::plan
