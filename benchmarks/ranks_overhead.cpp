// What dealing costs between the processes that mpirun starts. Tasks sleep instead of computing, so that the figures hold on a
// machine that others use too. Prints lines "name value unit" on rank 0.
//   mpirun -n 2 ranks_overhead
#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>
#include <map>
#include <thread>
#include <utility>

#include "mpi_transport.hpp"
#include "rooftune/ranks/team.hpp"

namespace {

using namespace rooftune;
using Clock = std::chrono::steady_clock;

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec); };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// What a task that sleeps took: sleeping itself takes longer than was asked for.
double sleep_for(std::chrono::microseconds length) {
  const auto begin = Clock::now();
  std::this_thread::sleep_for(length);
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

using Used = std::pair<int, double>;

/// Of this rank, from where it sits still long enough that every other one gets its turn.
Used processor_time(int rank) {
  static_cast<void>(sleep_for(std::chrono::milliseconds(20)));
  return {rank, cpu_seconds()};
}

/// How much processor time every rank has used so far.
std::map<int, double> used_so_far(core::Ranks& team, int ranks) {
  std::map<int, double> used;
  while (used.size() < static_cast<std::size_t>(ranks)) {
    const core::RankedMap map{.name = "sleep", .count = static_cast<std::size_t>(ranks), .threads = {1}, .context = core::packed(0)};
    const auto body = [&](std::size_t) { return processor_time(0); };
    for (const auto& [rank, seconds] : core::map_over_ranks<Used>(&team, map, body, [](const Used&) {})) used[rank] = seconds;
  }
  return used;
}

void lead(core::Ranks& team, int ranks) {
  for (const int length_us : {1000, 10'000, 100'000}) {
    const std::size_t count = length_us >= 100'000 ? 100 : 400;
    const auto body = [&](std::size_t) { return sleep_for(std::chrono::microseconds(length_us)); };
    const auto used_before = used_so_far(team, ranks);
    const auto begin = Clock::now();
    double slept = 0.0;
    const core::RankedMap map{.name = "sleep", .count = count, .threads = {1}, .context = core::packed(length_us)};
    static_cast<void>(core::map_over_ranks<double>(&team, map, body, [&](double seconds) { slept += seconds; }));
    const double elapsed = std::chrono::duration<double>(Clock::now() - begin).count();
    fmt::print("ranks_{}/task_{}_us/efficiency {:.3f} 1\n", ranks, length_us, slept / (ranks * elapsed));
    fmt::print("ranks_{}/task_{}_us/overhead_per_task {:.0f} us\n", ranks, length_us,
               1e6 * (ranks * elapsed - slept) / static_cast<double>(count));
    for (const auto& [rank, seconds] : used_so_far(team, ranks))
      fmt::print("ranks_{}/task_{}_us/rank_{}/processor_time_per_task {:.0f} us\n", ranks, length_us, rank,
                 1e6 * (seconds - used_before.at(rank)) / static_cast<double>(count));
  }
  // Then nobody has anything to do, and every rank says how much of a core that takes.
  const auto before = used_so_far(team, ranks);
  const auto begin = Clock::now();
  std::this_thread::sleep_for(std::chrono::seconds(5));
  const double elapsed = std::chrono::duration<double>(Clock::now() - begin).count();
  for (const auto& [rank, seconds] : used_so_far(team, ranks))
    fmt::print("ranks_{}/rank_{}/idle_share_of_a_core {:.4f} 1\n", ranks, rank, (seconds - before.at(rank)) / elapsed);
}

void serve(core::Ranks& team, int rank) {
  team.serve("sleep", {1}, [&](const std::string& context) -> core::Ranks::Body {
    const int length_us = core::unpacked<int>(context);
    return [=](std::size_t) {
      return length_us == 0 ? core::packed(processor_time(rank)) : core::packed(sleep_for(std::chrono::microseconds(length_us)));
    };
  });
}

}  // namespace

int main() {
  auto transport = app::make_mpi_transport();
  const int rank = transport->rank();
  const int size = transport->size();
  const auto team = ranks::make_team(std::move(transport), {});
  team->agree_on({});
  if (team->leads()) {
    lead(*team, size);
  } else {
    serve(*team, rank);
  }
  return 0;
}
