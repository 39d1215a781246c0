#pragma once

#include <string>

#include "rooftune/domain/experiment.hpp"

namespace rooftune::domain {

/// What another simulator predicted for an experiment's summary or stage, and the measurement that it was published beside.
struct PeerPrediction {
  std::string simulator;
  std::string experiment;
  int stage = kSummaryStage;
  Metric metric = Metric::ttft_mean;  ///< a published ITL stands under tpot_mean
  double predicted_ms = 0.0;
  double measured_ms = 0.0;
  friend bool operator==(const PeerPrediction&, const PeerPrediction&) = default;
};

}  // namespace rooftune::domain
