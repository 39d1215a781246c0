// A simulated cluster: the dealer that deals between processes, with a clock and a network of its own. Says which share of the ranks'
// time goes into tasks, and from which length of a task on that is 90 % and more. Prints lines "name value unit".
//
// Modelled: the processor time that the leading rank takes for a message (measured here, with a result of 20 kB unpacked as a fold's is), for an
// evaluation that it stores (measured here, 5 kB each into a store on disk), the latency of the network, the pauses between two looks
// for messages, tasks of unequal length (uniform from half to one and a half times the mean). Not modelled: bandwidth, and that the
// leading rank's own task slows its messages down where both share a core.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <queue>
#include <string>
#include <vector>

#include "rooftune/core/packing.hpp"
#include "rooftune/core/random.hpp"
#include "rooftune/ranks/dealer.hpp"
#include "rooftune/runs/evaluation_store.hpp"

namespace {

using namespace rooftune;

constexpr double kShortestPause_s = 20e-6;
constexpr double kLongestPause_s = 4000e-6;
constexpr int kTasksPerRank = 20;
constexpr int kEvaluationsPerTask = 40;
constexpr double kGoal = 0.9;

/// Of this process alone: others may use the machine too.
double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

/// What the leading rank spends on one result and the next task that it sends.
double seconds_per_result() {
  constexpr std::size_t kResults = 20'000;
  const std::vector<double> result(2500, 1.0);
  const std::string bytes = core::packed(result);
  ranks::Dealer dealer(2);
  static_cast<void>(dealer.want(1));
  static_cast<void>(dealer.open("map", "", kResults));
  const double begin = processor_seconds();
  for (std::size_t i = 0; i + 1 < kResults; ++i) {
    static_cast<void>(dealer.want(1));
    static_cast<void>(dealer.accept(dealer.map(), i));
    if (core::unpacked<std::vector<double>>(bytes).size() != result.size()) std::abort();
  }
  return (processor_seconds() - begin) / kResults;
}

double seconds_per_stored_evaluation() {
  constexpr int kEvaluations = 4000;
  const std::filesystem::path file = std::filesystem::temp_directory_path() / fmt::format("ranks_cluster_{}.sqlite", ::getpid());
  auto store = runs::open_evaluation_store(file);
  if (!store) std::abort();
  const std::string problem(64, 'a');
  std::vector<double> point{0.0, 1.0, 2.0, 3.0, 4.0};
  const calibrate::StoredEvaluation evaluation{.numbers = std::vector<double>(640, 1.5), .refusal = {}};
  const double begin = processor_seconds();
  for (int i = 0; i < kEvaluations; ++i) {
    point[0] = i;
    (*store)->append({.problem = problem, .request = "jacobian", .point = point}, evaluation);
  }
  (*store)->flush();
  const double seconds = (processor_seconds() - begin) / kEvaluations;
  store->reset();
  std::filesystem::remove(file);
  return seconds;
}

struct Network {
  double latency_s = 0.0;
  double per_result_s = 0.0;
  double per_evaluation_s = 0.0;
};

/// How late a message is seen on average by a rank that has waited so long: its pauses double, so the last one is about as long.
double look_delay(double waited_s) { return 0.5 * std::clamp(waited_s, kShortestPause_s, kLongestPause_s); }

/// The share of the ranks' time that goes into tasks.
double efficiency(int ranks, double task_s, const Network& network) {
  enum class What { at_leader, task_at_rank, task_done };
  struct Event {
    double at = 0.0;
    What what = What::at_leader;
    int rank = 0;
    std::size_t index = 0;
    bool operator>(const Event& other) const { return at > other.at; }
  };
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events;
  const std::size_t count = static_cast<std::size_t>(ranks) * kTasksPerRank;
  core::RandomEngine random =
      core::make_stream({.seed = 1, .experiment_id = "cluster", .purpose = core::StreamPurpose::noise, .replicate = ranks});
  std::vector<double> lengths(count);
  for (double& length : lengths) length = task_s * (0.5 + core::uniform01(random));

  ranks::Dealer dealer(ranks);
  double leader_is_free_at = 0.0;
  double end = 0.0;
  const auto index_in = [](const ranks::Dealer::Message& message) {
    core::Unpacker unpacker(message.bytes);
    ranks::Kind kind{};
    std::size_t map = 0;
    std::size_t index = 0;
    unpacker(kind, map, index);
    return index;
  };
  for (int rank = 1; rank < ranks; ++rank) static_cast<void>(dealer.want(rank));
  for (const auto& message : dealer.open("map", "", count)) {
    events.push({.at = network.latency_s, .what = What::task_at_rank, .rank = message.to, .index = index_in(message)});
  }
  if (const auto own = dealer.next()) events.push({.at = lengths[*own], .what = What::task_done, .rank = 0, .index = *own});
  while (!events.empty()) {
    const Event event = events.top();
    events.pop();
    end = std::max(end, event.at);
    if (event.what == What::task_at_rank) {
      const double begins_at = event.at + look_delay(2.0 * network.latency_s);
      events.push({.at = begins_at + lengths[event.index], .what = What::task_done, .rank = event.rank, .index = event.index});
    } else if (event.what == What::task_done && event.rank == 0) {
      static_cast<void>(dealer.accept(dealer.map(), event.index));
      if (const auto own = dealer.next())
        events.push({.at = event.at + lengths[*own], .what = What::task_done, .rank = 0, .index = *own});
    } else if (event.what == What::task_done) {
      events.push({.at = event.at + network.latency_s, .what = What::at_leader, .rank = event.rank, .index = event.index});
    } else {
      // One message after another; who has waited for the first of them looks late.
      const double idle = event.at - leader_is_free_at;
      const double begins_at = idle > 0.0 ? event.at + look_delay(idle) : leader_is_free_at;
      leader_is_free_at = begins_at + network.per_result_s + kEvaluationsPerTask * network.per_evaluation_s;
      end = std::max(end, leader_is_free_at);
      static_cast<void>(dealer.accept(dealer.map(), event.index));
      if (const auto message = dealer.want(event.rank)) {
        events.push({.at = leader_is_free_at + network.latency_s,
                     .what = What::task_at_rank,
                     .rank = event.rank,
                     .index = index_in(*message)});
      }
    }
  }
  if (!dealer.is_complete()) std::abort();
  double work = 0.0;
  for (const double length : lengths) work += length;
  return work / (ranks * end);
}

}  // namespace

int main() {
  const double per_result = seconds_per_result();
  const double per_evaluation = seconds_per_stored_evaluation();
  fmt::print("cluster/per_result {:.1f} us\ncluster/per_stored_evaluation {:.1f} us\n", 1e6 * per_result, 1e6 * per_evaluation);
  constexpr double kUnequal = 1e4;  // seconds: nothing but the unequal lengths of the last tasks costs
  for (const double latency_us : {2.0, 50.0, 1000.0}) {
    const Network network{.latency_s = 1e-6 * latency_us, .per_result_s = per_result, .per_evaluation_s = per_evaluation};
    for (const int ranks : {2, 8, 64, 256, 1000}) {
      double shortest = 0.0;
      for (const double task_s : {0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0}) {
        const double share = efficiency(ranks, task_s, network);
        fmt::print("cluster/latency_{}_us/ranks_{}/task_{}_s {:.3f} 1\n", latency_us, ranks, task_s, share);
        if (share >= kGoal && shortest == 0.0) shortest = task_s;
        if (share < kGoal) shortest = 0.0;
      }
      fmt::print("cluster/latency_{}_us/ranks_{}/shortest_task_at_90_percent {} s\n", latency_us, ranks, shortest);
      fmt::print("cluster/latency_{}_us/ranks_{}/at_most {:.3f} 1\n", latency_us, ranks, efficiency(ranks, kUnequal, network));
    }
  }
  return 0;
}
