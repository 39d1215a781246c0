#include "recorded_schedules.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "oracle.hpp"
#include "support/places.hpp"
#include "workloads.hpp"

/// The engine against what vLLM's own scheduler was seen to do.
namespace rooftune::sim {
namespace {

namespace fs = std::filesystem;

std::vector<recorded::Workload> read_all(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".jsonl") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  std::vector<recorded::Workload> workloads;
  for (const fs::path& file : files) std::ranges::move(recorded::read(file), std::back_inserter(workloads));
  return workloads;
}

std::vector<recorded::Workload> shipped() { return read_all(testing_support::source_folder() / "tests/sim/recorded"); }

TEST(RecordedSchedules, AreWhatTheEngineDoes) {
  const std::vector<recorded::Workload> workloads = shipped();
  EXPECT_EQ(workloads.size(), 70U);
  for (const recorded::Workload& workload : workloads) EXPECT_EQ(recorded::first_difference(workload), "") << workload.id;
}

/// Every rule that releases differ in is seen by some workload.
TEST(RecordedSchedules, NoticeEachRule) {
  std::map<std::string, int> noticed;
  for (const recorded::Workload& workload : shipped()) {
    const auto notice = [&](const std::string& rule, auto change) {
      recorded::Workload changed = workload;
      change(changed);
      noticed[rule] += recorded::first_difference(changed).empty() ? 0 : 1;
    };
    notice("async", [](recorded::Workload& changed) { changed.setup.async_scheduling = !changed.setup.async_scheduling; });
    notice("isl", [](recorded::Workload& changed) { changed.setup.reserve_full_isl = !changed.setup.reserve_full_isl; });
    notice("front", [](recorded::Workload& changed) { changed.setup.free_unhashed_first = !changed.setup.free_unhashed_first; });
    notice("watermark", [](recorded::Workload& changed) { changed.setup.watermark_blocks = 1; });
    notice("null block", [](recorded::Workload& changed) { --changed.setup.kv_blocks; });
    notice("turnaround", [](recorded::Workload& changed) { changed.turnaround_us += 5000.0; });
  }
  for (const auto& [rule, count] : noticed) EXPECT_GT(count, 0) << rule;
}

/// The oracle, too, which judges the engine where nothing was recorded.
TEST(RecordedSchedules, AreWhatTheOracleDoes) {
  for (const recorded::Workload& workload : shipped()) {
    const recorded::StepTimes& from = workload.times;
    cases::LinearStepTime<> times({.base_us = from.constant_us,
                                   .per_prefill_token_us = from.per_token_us,
                                   .per_decode_us = from.per_token_us,
                                   .per_context_token_us = from.per_computed_token_us,
                                   .per_prefill_context_token_us = from.per_computed_token_us});
    const oracle::Result result =
        oracle::Oracle(workload.setup, workload.plan.chains, times, 0.0, workload.turnaround_us).run(workload.plan, 0.0);
    ASSERT_EQ(result.finished.size(), workload.requests.size()) << workload.id;
    for (const RequestEvent& event : result.finished) {
      const auto place = static_cast<std::size_t>(event.index);
      const recorded::Outcome& expected = workload.requests[static_cast<std::size_t>(workload.numbers[place])];
      EXPECT_NEAR(event.first_token_us, expected.first_token_us, 2e-3) << workload.id;
      EXPECT_NEAR(event.finished_us, expected.finished_us, 2e-3) << workload.id;
      EXPECT_EQ(event.cached_tokens, expected.cached_tokens) << workload.id;
      EXPECT_EQ(event.preemptions, expected.preemptions.value_or(event.preemptions)) << workload.id;
    }
  }
}

/// What a file says of a version that we do not know takes the rules of the nearest one.
TEST(RecordedSchedules, UnknownVersionsTakeTheNearestRules) {
  const auto rules_of = [](const std::string& version) {
    EngineSetup setup;
    recorded::apply_version(version, setup);
    return std::pair(setup.reserve_full_isl, setup.free_unhashed_first);
  };
  EXPECT_EQ(rules_of("0.9.2"), std::pair(false, false));
  EXPECT_EQ(rules_of("v0.18.1"), std::pair(false, false));
  EXPECT_EQ(rules_of("0.19.0rc1"), std::pair(true, false));
  EXPECT_EQ(rules_of("0.21.0"), std::pair(true, false));
  EXPECT_EQ(rules_of("main-2026-06-24"), std::pair(true, true));
  EXPECT_EQ(rules_of("1.0"), std::pair(true, true));
}

}  // namespace
}  // namespace rooftune::sim
