#pragma once

#include <map>
#include <string>
#include <tuple>

#include "rooftune/core/parallel_map.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/params/config.hpp"

namespace rooftune::eval {

/// How far two runs of one deployment under one load lie apart: |difference| over their mean, median over the pairs, in percent.
struct Repeatability {
  double percent = 0.0;
  int pairs = 0;
  std::string elsewhere;  ///< what was repeated, where these runs have no repeats; empty: pairs among these runs
};

/// Among the dataset's experiments, those alike in all but what was measured (equal deployments; loads within 2 %) are repeats.
/// Summary rows. Metrics without a pair are those of eleven pairs of another laboratory.
[[nodiscard]] std::map<domain::Metric, Repeatability> repeatability(const Dataset& dataset);

/// One standard deviation of a run's logarithm that such differences come from, if they are normal.
[[nodiscard]] double repeated_deviation(const Repeatability& repeats);

using RowKey = std::tuple<std::string, int, domain::Metric>;  ///< experiment, stage, metric

/// Standard deviation of the logarithm of every measured row's prediction over simulations with other arrivals: what the length of
/// a run leaves open. A measured run is one draw, and so is each replicate behind the prediction: both are in it. Zero where
/// arrivals are given. `draws` of at least 2.
[[nodiscard]] std::map<RowKey, double> arrival_deviations(const Dataset& dataset, const params::Config& config, int draws,
                                                          core::ThreadCount threads);

/// The noise beside an evaluation's errors, over summary rows.
struct Noise {
  std::map<domain::Metric, Repeatability> repeats;
  std::map<domain::Metric, double> arrival_percent;  ///< median over the experiments; empty for simulators of others
};

[[nodiscard]] Noise noise_of(const Dataset& dataset, const params::Config& config, core::ThreadCount threads);

}  // namespace rooftune::eval
