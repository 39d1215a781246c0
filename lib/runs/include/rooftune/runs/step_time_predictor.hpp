#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/latency/step_time.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/runs/ad_hoc_load.hpp"
#include "rooftune/runs/open_study.hpp"

namespace rooftune::runs {

/// The step-time model of a config, made ready for one deployment: a batch in, microseconds out. For other simulators to call. Not
/// shared between threads: each has its own copy().
class StepTimePredictor {
 public:
  /// `item` is a case that the config's step-time model supports.
  StepTimePredictor(const eval::Case& item, const params::Config& config);

  /// Of one engine step. Where the batch does not list its decode contexts, the requests are taken to have equal ones.
  [[nodiscard]] double microseconds(const latency::Batch& batch);
  /// Where that time goes.
  [[nodiscard]] latency::StepBreakdown breakdown(const latency::Batch& batch);

  [[nodiscard]] StepTimePredictor copy() const { return {*item_, *config_}; }
  [[nodiscard]] const eval::Case& item() const { return *item_; }
  [[nodiscard]] const params::Config& config() const { return *config_; }

 private:
  [[nodiscard]] latency::Batch completed(const latency::Batch& batch);

  // The model refers to the case.
  std::unique_ptr<const eval::Case> item_;
  std::unique_ptr<const params::Config> config_;
  std::unique_ptr<latency::StepTime<double>> step_time_;
  bool wants_contexts_ = false;
  std::vector<std::int64_t> contexts_;  ///< room for equal ones
};

/// The same by name: the deployment (model, GPU, TP degree, engine) is the load's, of which nothing else is looked at. Without a config
/// the one that ships for the GPU.
[[nodiscard]] core::Result<StepTimePredictor> open_step_time(const AdHocLoad& deployment, const StudyOverrides& overrides);

}  // namespace rooftune::runs
