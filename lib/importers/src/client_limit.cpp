#include <fmt/format.h>

#include <algorithm>

#include "recorded_run.hpp"
#include "rooftune/domain/client_cap.hpp"
#include "units.hpp"

namespace rooftune::importers {
namespace {

using domain::ArrivalProcess;
using domain::Metric;

/// A generator that sends less than this share of the rate that was asked for made another load.
constexpr double kSentOnTime = 0.95;
/// With at least this share of its limit under way, the limit explains why.
constexpr double kAtTheLimit = 0.8;
/// Of a load whose sending nobody timed, the limit counts where at least this share of it was under way on average.
constexpr double kBusy = 0.9;
/// Random gaps alone make a short stage slower than its rate: requests also have to leave later than planned.
constexpr double kPunctualS = 0.05;
/// Clients that all start within this time start at once.
constexpr double kBurstS = 0.1;

/// The load that a stage's client made in place of the one that it was asked for.
struct Limit {
  int clients = 0;  ///< 0: it sent late, and nothing says why
  std::string problem{};
  double ramp_s = 0.0;
  std::optional<double> turnaround_us{};
};

bool is_sent_late(const RecordedStage& stage) {
  const bool is_slow = stage.rate_per_s && stage.sent_per_s && *stage.sent_per_s < kSentOnTime * *stage.rate_per_s;
  return is_slow && stage.send_delay_s.value_or(1.0) > kPunctualS;
}

/// Requests under way on average, by Little's law.
double mean_in_flight(const RecordedStage& stage, double per_s) {
  return per_s * stage.row.latencies[Metric::e2e_mean].value_or(0.0) / kMillisecondsPerSecond;
}

std::optional<domain::ClientCap> cap_of(const RecordedStage& stage) {
  std::vector<domain::InFlight> requests;
  requests.reserve(stage.requests.size());
  for (const RecordedRequest& request : stage.requests) {
    requests.push_back({request.start_s, request.start_s + request.e2e_ms / kMillisecondsPerSecond});
  }
  return requests.empty() ? std::nullopt : domain::find_client_cap(requests);
}

/// By the requests themselves, by how late they were sent, or by how many the client allowed.
std::optional<Limit> limit_of(const RecordedStage& stage) {
  if (const auto cap = cap_of(stage)) {
    return Limit{.clients = cap->clients,
                 .problem = fmt::format("never more than {} requests were in flight, and as many {:.0f} % of the time: the client was "
                                        "the limit, not the rate",
                                        cap->clients, 100.0 * cap->share_of_time),
                 .ramp_s = cap->ramp_s,
                 .turnaround_us = cap->turnaround_us};
  }
  if (is_sent_late(stage)) {
    const bool is_at_limit = stage.most_in_flight && mean_in_flight(stage, *stage.sent_per_s) >= kAtTheLimit * *stage.most_in_flight;
    return Limit{.clients = is_at_limit ? *stage.most_in_flight : 0,
                 .problem = fmt::format(
                     "the load generator sent {:.3g} requests a second of the {:.3g} asked for: the client limited the load{}",
                     *stage.sent_per_s, *stage.rate_per_s,
                     stage.most_in_flight ? fmt::format(" ({} requests under way at most)", *stage.most_in_flight) : "")};
  }
  const bool was_slower = stage.rate_per_s && stage.achieved_per_s && *stage.achieved_per_s < kSentOnTime * *stage.rate_per_s;
  if (was_slower && !stage.sent_per_s && stage.most_in_flight &&
      mean_in_flight(stage, *stage.achieved_per_s) >= kBusy * *stage.most_in_flight) {
    return Limit{
        .clients = *stage.most_in_flight,
        .problem = fmt::format("the {} clients were busy all the time: their number, not the rate of {:g} a second, made the load",
                               *stage.most_in_flight, *stage.rate_per_s)};
  }
  return std::nullopt;
}

domain::Arrival arrival_of(const Limit& limit) {
  domain::Arrival arrival{.process = ArrivalProcess::closed_loop, .concurrency = limit.clients};
  if (limit.ramp_s > kBurstS) {
    arrival.start = domain::ClientStart::ramp;
    arrival.ramp = {rounded(limit.ramp_s)};
  }
  if (limit.turnaround_us) arrival.turnaround_us = rounded(*limit.turnaround_us);
  return arrival;
}

/// A closed loop makes the load that the generator's workers made. A stage that is all of the run stays the run.
RecordedRun closed_loop_of(const RecordedRun& run, std::size_t index, const Limit& limit) {
  RecordedRun loop = run;
  RecordedStage stage = run.stages[index];
  if (run.stages.size() > 1) {
    loop.id = fmt::format("{}-stage{}-c{}", run.id, index, limit.clients);
    loop.summary.reset();
    loop.outside.clear();
    loop.assumptions.clear();
    loop.warnings.clear();
  }
  if (stage.requests.empty() && stage.num_requests && stage.sent_per_s) stage.duration_s = *stage.num_requests / *stage.sent_per_s;
  stage.rate_per_s.reset();
  stage.achieved_per_s.reset();
  loop.stages = {std::move(stage)};
  loop.workload.arrival = arrival_of(limit);
  return loop;
}

/// "a closed loop of 370 clients that start over 2.1 s, experiment 'x'"
std::string described(const RecordedRun& loop) {
  const domain::Arrival& arrival = loop.workload.arrival;
  return fmt::format("it is replayed as a closed loop of {} clients{}, experiment '{}'", arrival.concurrency,
                     arrival.start == domain::ClientStart::ramp ? fmt::format(" that start over {:.3g} s", arrival.ramp.value) : "",
                     loop.id);
}

/// The requests of a closed loop say how its clients began, how long they took from a reply to the next request, and how many
/// there were in truth.
void measure_clients(RecordedRun& run) {
  domain::Arrival& arrival = run.workload.arrival;
  if (run.stages.size() != 1 || arrival.turnaround_us || run.workload.pattern == domain::PromptPattern::conversations) return;
  const auto cap = cap_of(run.stages.front());
  if (!cap || cap->clients > arrival.concurrency) return;
  if (cap->clients < arrival.concurrency) {
    run.warnings.push_back(warning_at(
        run.file, {.line = 0},
        fmt::format("{} clients were asked for, but never more than {} requests were in flight", arrival.concurrency, cap->clients),
        fmt::format("a closed loop of {} is replayed", cap->clients)));
  }
  arrival = arrival_of({.clients = cap->clients, .ramp_s = cap->ramp_s, .turnaround_us = cap->turnaround_us});
  if (run.stages.front().concurrency > 0) run.stages.front().concurrency = cap->clients;
}

}  // namespace

std::vector<RecordedRun> part_client_limited(RecordedRun run) {
  if (run.workload.arrival.process == ArrivalProcess::closed_loop) {
    measure_clients(run);
    return {std::move(run)};
  }
  std::vector<RecordedRun> loops;
  RecordedRun rates = run;
  rates.stages.clear();
  for (std::size_t i = 0; i < run.stages.size(); ++i) {
    const auto limit = limit_of(run.stages[i]);
    if (!limit) {
      rates.stages.push_back(run.stages[i]);
      continue;
    }
    if (limit->clients > 0) loops.push_back(closed_loop_of(run, i, *limit));
    rates.warnings.push_back(
        warning_at(run.file, {.line = 0}, fmt::format("stage {}: {}", i, limit->problem),
                   limit->clients > 0 ? described(loops.back()) : "the stage is left out: what was sent when is not in the report"));
  }
  if (rates.stages.size() == run.stages.size()) return {std::move(run)};
  rates.summary.reset();
  if (rates.stages.empty() && !loops.empty()) {
    loops.front().warnings = rates.warnings;
    loops.front().outside = run.outside;
    loops.front().assumptions = run.assumptions;
  }
  std::vector<RecordedRun> runs;
  if (!rates.stages.empty() || loops.empty()) runs.push_back(std::move(rates));
  std::ranges::move(loops, std::back_inserter(runs));
  return runs;
}

}  // namespace rooftune::importers
