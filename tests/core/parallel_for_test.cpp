#include "rooftune/core/parallel_for.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace rooftune::core {
namespace {

TEST(ParallelFor, FillsEverySlotExactlyOnceForAnyNumberOfThreads) {
  for (const int threads : {0, 1, 2, 3, 8}) {
    for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{1000}}) {
      std::vector<int> calls(count, 0);
      parallel_for(count, {threads}, [&](std::size_t i) { ++calls[i]; });
      EXPECT_EQ(std::accumulate(calls.begin(), calls.end(), std::size_t{0}), count);
      EXPECT_EQ(std::ranges::count(calls, 1), static_cast<std::ptrdiff_t>(count));
    }
  }
}

TEST(ParallelFor, SumsOfSlotsInIndexOrderDoNotDependOnThreads) {
  const auto sum = [](int threads) {
    std::vector<double> slots(10000);
    parallel_for(slots.size(), {threads}, [&](std::size_t i) { slots[i] = 1.0 / static_cast<double>(i + 1); });
    return std::accumulate(slots.begin(), slots.end(), 0.0);
  };
  EXPECT_EQ(sum(1), sum(2));
  EXPECT_EQ(sum(1), sum(5));
}

TEST(ParallelFor, RethrowsTheExceptionOfABody) {
  for (const int threads : {1, 2}) {
    const auto loop = [&] {
      parallel_for(100, {threads}, [](std::size_t i) {
        if (i == 37) throw std::runtime_error("body 37");
      });
    };
    EXPECT_THROW(loop(), std::runtime_error) << threads;
  }
}

TEST(ParallelFor, MayBeNested) {
  std::atomic<int> calls = 0;
  parallel_for(4, {2}, [&](std::size_t) { parallel_for(5, {2}, [&](std::size_t) { ++calls; }); });
  EXPECT_EQ(calls, 20);
}

TEST(ThreadCount, ZeroStandsForTheWholeMachine) {
  EXPECT_GE(resolve(ThreadCount{0}), 1);
  EXPECT_EQ(resolve(ThreadCount{3}), 3);
}

}  // namespace
}  // namespace rooftune::core
