#include <fmt/format.h>

#include <algorithm>

#include "recorded_run.hpp"

namespace rooftune::importers {
namespace {

using domain::ArrivalProcess;
using domain::Metric;

/// A generator that sends less than this share of the rate that was asked for made another load.
constexpr double kSentOnTime = 0.95;
/// With at least this share of its limit under way, the limit explains why.
constexpr double kAtTheLimit = 0.8;

/// Random gaps alone make a short stage slower than its rate: requests also have to leave later than planned.
constexpr double kPunctualS = 0.05;

bool is_sent_late(const RecordedStage& stage) {
  const bool is_slow = stage.rate_per_s && stage.sent_per_s && *stage.sent_per_s < kSentOnTime * *stage.rate_per_s;
  return is_slow && stage.send_delay_s.value_or(1.0) > kPunctualS;
}

/// Requests under way on average, by Little's law.
double mean_in_flight(const RecordedStage& stage) {
  return *stage.sent_per_s * stage.row.latencies[Metric::e2e_mean].value_or(0.0) / 1e3;
}

/// A closed loop makes the load that the generator's workers made.
RecordedRun closed_loop_of(const RecordedRun& run, std::size_t index, int clients) {
  RecordedRun loop = run;
  loop.id = fmt::format("{}-stage{}-c{}", run.id, index, clients);
  loop.stages = {run.stages[index]};
  RecordedStage& stage = loop.stages.front();
  stage.duration_s = stage.num_requests ? std::optional(*stage.num_requests / *stage.sent_per_s) : std::nullopt;
  stage.rate_per_s.reset();
  stage.achieved_per_s.reset();
  loop.summary.reset();
  loop.outside.clear();
  loop.assumptions.clear();
  loop.warnings.clear();
  loop.workload.arrival = {.process = ArrivalProcess::closed_loop, .concurrency = clients};
  return loop;
}

}  // namespace

std::vector<RecordedRun> part_client_limited(RecordedRun run) {
  const ArrivalProcess process = run.workload.arrival.process;
  const bool replays_what_was_sent = process == ArrivalProcess::trace || process == ArrivalProcess::closed_loop;
  if (replays_what_was_sent || std::ranges::none_of(run.stages, is_sent_late)) return {std::move(run)};
  std::vector<RecordedRun> loops;
  RecordedRun rates = run;
  rates.stages.clear();
  for (std::size_t i = 0; i < run.stages.size(); ++i) {
    const RecordedStage& stage = run.stages[i];
    if (!is_sent_late(stage)) {
      rates.stages.push_back(stage);
      continue;
    }
    const bool is_at_limit = stage.most_in_flight && mean_in_flight(stage) >= kAtTheLimit * *stage.most_in_flight;
    if (is_at_limit) loops.push_back(closed_loop_of(run, i, *stage.most_in_flight));
    rates.warnings.push_back(warning_at(
        run.file, {.line = 0},
        fmt::format(
            "stage {}: the load generator sent {:.3g} requests a second of the {:.3g} asked for: the client limited the load{}", i,
            *stage.sent_per_s, *stage.rate_per_s,
            stage.most_in_flight ? fmt::format(" ({} requests under way at most)", *stage.most_in_flight) : ""),
        is_at_limit
            ? fmt::format("it is replayed as a closed loop of {} clients, experiment '{}'", *stage.most_in_flight, loops.back().id)
            : "the stage is left out: what was sent when is not in the report"));
  }
  if (rates.stages.empty() && !loops.empty()) loops.front().warnings = rates.warnings;
  rates.summary.reset();
  std::vector<RecordedRun> runs;
  if (!rates.stages.empty() || loops.empty()) runs.push_back(std::move(rates));
  std::ranges::move(loops, std::back_inserter(runs));
  return runs;
}

}  // namespace rooftune::importers
