#include "rooftune/core/parallel_map.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <stdexcept>
#include <vector>

namespace rooftune::core {
namespace {

TEST(ParallelMap, ReturnsResultsInTheOrderOfTheIndexForAnyNumberOfThreads) {
  for (const int threads : {0, 1, 2, 3, 8}) {
    for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{1000}}) {
      std::vector<std::size_t> expected(count);
      std::iota(expected.begin(), expected.end(), std::size_t{0});
      EXPECT_EQ(parallel_map<std::size_t>(count, {threads}, [](std::size_t i) { return i; }), expected);
    }
  }
}

TEST(ParallelMap, SumsInIndexOrderDoNotDependOnThreads) {
  const auto sum = [](int threads) {
    const auto terms = parallel_map<double>(10000, {threads}, [](std::size_t i) { return 1.0 / static_cast<double>(i + 1); });
    return std::accumulate(terms.begin(), terms.end(), 0.0);
  };
  EXPECT_EQ(sum(1), sum(2));
  EXPECT_EQ(sum(1), sum(5));
}

TEST(ParallelMap, NeedsNoDefaultConstructor) {
  struct Square {
    explicit Square(std::size_t i) : value(i * i) {}
    std::size_t value;
  };
  const auto squares = parallel_map<Square>(3, {2}, [](std::size_t i) { return Square(i); });
  EXPECT_EQ(squares.back().value, 4U);
}

TEST(ParallelMap, RethrowsTheExceptionOfABody) {
  for (const int threads : {1, 2}) {
    const auto loop = [&] {
      return parallel_map<int>(100, {threads}, [](std::size_t i) {
        if (i == 37) throw std::runtime_error("body 37");
        return 0;
      });
    };
    EXPECT_THROW((void)loop(), std::runtime_error) << threads;
  }
}

TEST(ParallelMap, MayBeNested) {
  const auto rows = parallel_map<std::vector<std::size_t>>(
      4, {2}, [](std::size_t i) { return parallel_map<std::size_t>(5, {2}, [i](std::size_t k) { return 10 * i + k; }); });
  EXPECT_EQ(rows[3], (std::vector<std::size_t>{30, 31, 32, 33, 34}));
}

TEST(WatchedParallelMap, ShowsEveryResultOnce) {
  for (const int threads : {1, 2}) {
    std::vector<int> seen(50, 0);
    const auto results = parallel_map_watched<std::size_t>(
        seen.size(), {threads}, [](std::size_t i) { return i; },
        [&](std::size_t result) {
          ++seen[result];
          return Watch::go_on;
        });
    ASSERT_TRUE(results);
    EXPECT_EQ(results->size(), 50U);
    EXPECT_EQ(seen, std::vector<int>(50, 1));
  }
}

TEST(WatchedParallelMap, HasNoResultsWhereTheWatcherSaidStop) {
  for (const int threads : {1, 2}) {
    std::size_t seen = 0;
    const auto results = parallel_map_watched<int>(
        1000, {threads}, [](std::size_t) { return 1; }, [&](int) { return ++seen == 10 ? Watch::stop : Watch::go_on; });
    EXPECT_FALSE(results);
    EXPECT_EQ(seen, 10U) << "nobody watches on after saying stop";
  }
}

TEST(WatchedParallelMap, AStopOfAnInnerLoopLeavesTheOuterOneAlone) {
  const auto stopped = parallel_map<int>(6, {2}, [](std::size_t) {
    return parallel_map_watched<int>(
               10, {2}, [](std::size_t) { return 1; }, [](int) { return Watch::stop; })
               ? 0
               : 1;
  });
  EXPECT_EQ(std::accumulate(stopped.begin(), stopped.end(), 0), 6);
}

TEST(ThreadCount, ZeroStandsForTheWholeMachine) {
  EXPECT_GE(resolve(ThreadCount{0}), 1);
  EXPECT_EQ(resolve(ThreadCount{3}), 3);
}

}  // namespace
}  // namespace rooftune::core
