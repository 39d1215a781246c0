#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/core/word.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/sim/simulate.hpp"

namespace rooftune::eval {

enum class RunSource { measured, simulated };
inline constexpr std::array<core::Word<RunSource>, 2> kRunSources{{
    {"measured", RunSource::measured},
    {"simulated", RunSource::simulated},
}};

enum class QualityIssue {
  failures,    ///< requests that failed, were refused, or are missing: means are over survivors
  saturation,  ///< requests queue: latencies say how long the load lasted, not how fast the engine is
  kv_limit,    ///< the KV pool is full: requests wait for blocks or lose theirs
  identity,    ///< the latencies contradict each other
};
inline constexpr std::array<core::Word<QualityIssue>, 4> kQualityIssues{{
    {"failures", QualityIssue::failures},
    {"saturation", QualityIssue::saturation},
    {"kv_limit", QualityIssue::kv_limit},
    {"identity", QualityIssue::identity},
}};

/// What a reader must know before believing the latencies of a run.
struct QualityFinding {
  std::string experiment;
  RunSource source = RunSource::measured;
  QualityIssue issue = QualityIssue::failures;
  int stage = domain::kSummaryStage;
  std::string text;  ///< without the names above
};

/// "experiment '54': simulated stage 1: the queue grows to ..."
[[nodiscard]] std::string format(const QualityFinding& finding);

/// What the measured latencies of a run give away.
[[nodiscard]] std::vector<QualityFinding> measured_quality(const domain::Experiment& experiment);
/// What the simulation of a run went through.
[[nodiscard]] std::vector<QualityFinding> simulated_quality(const domain::Experiment& experiment,
                                                            const sim::Prediction<double>& prediction);

}  // namespace rooftune::eval
