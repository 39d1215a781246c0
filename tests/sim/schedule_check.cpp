#include <fmt/format.h>

#include <exception>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "recorded_schedules.hpp"

/// schedule_check FILE...: replays recorded schedules of vLLM through the engine and prints, for every version and kind of
/// workload, how many agree in every step (start, what each request computes, blocks in use) and in every request's first token,
/// end, cached tokens and preemptions; then the first difference of each that does not. Exit code 1 where one does not agree,
/// 2 where a file cannot be read.
int main(int argc, char** argv) {
  namespace recorded = rooftune::sim::recorded;
  if (argc < 2) {
    fmt::print(stderr, "usage: schedule_check FILE...\n");
    return 2;
  }
  bool all_agree = true;
  try {
    for (int i = 1; i < argc; ++i) {
      std::vector<std::string> groups;
      std::map<std::string, std::pair<int, int>> agreeing_of;  // of so many
      std::vector<std::string> differences;
      std::pair<int, int> total;
      for (const recorded::Workload& workload : recorded::read(argv[i])) {
        if (!agreeing_of.contains(workload.group)) groups.push_back(workload.group);
        auto& [agreeing, count] = agreeing_of[workload.group];
        ++count;
        ++total.second;
        if (const std::string difference = recorded::first_difference(workload); difference.empty()) {
          ++agreeing;
          ++total.first;
        } else {
          differences.push_back(fmt::format("{}: {}", workload.id, difference));
        }
      }
      fmt::print("{}\n", argv[i]);
      for (const std::string& group : groups) {
        fmt::print("  {:<44} {:>4} of {:>4}\n", group, agreeing_of[group].first, agreeing_of[group].second);
      }
      fmt::print("  {:<44} {:>4} of {:>4}\n", "all", total.first, total.second);
      for (const std::string& difference : differences) fmt::print("  {}\n", difference);
      all_agree = all_agree && differences.empty();
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "schedule_check: {}\n", error.what());
    return 2;
  }
  return all_agree ? 0 : 1;
}
