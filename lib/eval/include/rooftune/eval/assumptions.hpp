#pragma once

#include <string>
#include <vector>

#include "rooftune/core/parallel_map.hpp"
#include "rooftune/domain/experiment.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/params/config.hpp"

namespace rooftune::eval {

/// A setting that experiments do not record and that moves their predictions: the most that another value would change one.
struct Assumption {
  std::string setting{};
  std::string value{};       ///< that is assumed
  std::string other{};       ///< that it is compared with
  std::string source{};      ///< of the assumed value
  int experiments = 0;       ///< that do not record it
  std::string experiment{};  ///< whose prediction changes most
  domain::Metric metric = domain::Metric::ttft_mean;
  double change_percent = 0.0;  ///< of that metric with the other value
};

/// Changes of a mean below this say nothing: two runs of one deployment differ by as much (docs/adr/0022).
inline constexpr double kNoChangePercent = 1.0;

/// What the dataset leaves open and the engine's version decides, where the decision matters: every open setting is exchanged
/// by itself and the experiments that do not record it are simulated again. By setting and value, in the order of the table.
/// Settings that a switch of the config decides are left out.
[[nodiscard]] std::vector<Assumption> moving_assumptions(const Dataset& dataset, const params::Config& config,
                                                         core::ThreadCount threads);

/// "async_scheduling is not recorded in 15 experiments; on is assumed (...); with off ..."
[[nodiscard]] std::string format(const Assumption& assumption);

}  // namespace rooftune::eval
