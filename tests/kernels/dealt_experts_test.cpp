#include "rooftune/kernels/dealt_experts.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <set>
#include <vector>

namespace rooftune::kernels {
namespace {

struct Busiest {
  double pairs = 0.0;
  double experts = 0.0;
  double distinct = 0.0;  ///< mean over all
};

/// Means over many draws of `per_token` different experts for each token.
Busiest drawn(int experts, int per_token, int ranks, int tokens) {
  std::mt19937 random(7);
  const int draws = 200;
  const int own = experts / ranks;
  Busiest mean;
  for (int draw = 0; draw < draws; ++draw) {
    std::vector<int> load(static_cast<std::size_t>(experts), 0);
    for (int token = 0; token < tokens; ++token) {
      std::set<int> chosen;
      while (static_cast<int>(chosen.size()) < per_token) chosen.insert(static_cast<int>(random() % static_cast<unsigned>(experts)));
      for (const int expert : chosen) ++load[static_cast<std::size_t>(expert)];
    }
    int most_pairs = 0;
    int most_experts = 0;
    for (int rank = 0; rank < ranks; ++rank) {
      const auto first = load.begin() + rank * own;
      most_pairs = std::max(most_pairs, std::accumulate(first, first + own, 0));
      most_experts = std::max(most_experts, own - static_cast<int>(std::count(first, first + own, 0)));
    }
    mean.pairs += static_cast<double>(most_pairs) * ranks / (static_cast<double>(tokens) * per_token) / draws;
    mean.experts += static_cast<double>(most_experts) / draws;
    mean.distinct += static_cast<double>(experts - std::count(load.begin(), load.end(), 0)) / draws;
  }
  return mean;
}

TEST(DealtExperts, LoadTheBusiestGpuAsRandomRoutingDoes) {
  for (const int ranks : {2, 4, 8}) {
    for (const int tokens : {4, 16, 64}) {
      const Busiest expected = drawn(256, 8, ranks, tokens);
      EXPECT_NEAR(busiest_pairs(8.0 * tokens, ranks) / expected.pairs, 1.0, 0.08) << ranks << " ranks, " << tokens << " tokens";
      const double mean = expected.distinct / ranks;
      EXPECT_NEAR(busiest_experts(expected.distinct, 256, ranks) * mean / expected.experts, 1.0, 0.08)
          << ranks << " ranks, " << tokens << " tokens";
    }
  }
}

/// The figures of docs/models.md: 256 experts on 8 GPUs, 8 a token.
TEST(DealtExperts, AreAThirdMoreThanTheirShareAtSixteenTokens) {
  const auto reached = [](int tokens) { return 256.0 * (1.0 - std::pow(1.0 - 8.0 / 256.0, tokens)); };
  EXPECT_NEAR(busiest_pairs(8.0 * 16, 8), 1.33, 0.01);
  EXPECT_NEAR(busiest_experts(reached(16), 256, 8), 1.31, 0.01);
  EXPECT_NEAR(busiest_pairs(8.0 * 512, 8), 1.06, 0.01);
  EXPECT_NEAR(busiest_experts(reached(512), 256, 8), 1.0, 0.01);
}

TEST(DealtExperts, AreEvenOnOneGpuAndWhereAllAreReached) {
  EXPECT_EQ(busiest_pairs(64.0, 1), 1.0);
  EXPECT_EQ(busiest_experts(100.0, 256, 1), 1.0);
  EXPECT_EQ(busiest_experts(256.0, 256, 8), 1.0);
  EXPECT_LE(busiest_pairs(1.0, 8), 8.0) << "one GPU has all";
}

TEST(DealtExperts, DifferInLoadAsDrawsWithoutReplacementDo) {
  constexpr int kExperts = 64;
  for (const double exponent : {0.5, 1.0, 1.5}) {
    std::vector<double> shares;
    for (int i = 1; i <= kExperts; ++i) shares.push_back(std::pow(i, -exponent));
    const double mean = std::accumulate(shares.begin(), shares.end(), 0.0) / 8;
    std::mt19937 random(3);
    double sum = 0.0;
    constexpr int kDraws = 20000;
    for (int draw = 0; draw < kDraws; ++draw) {
      std::shuffle(shares.begin(), shares.end(), random);
      const double load = std::accumulate(shares.begin(), shares.begin() + kExperts / 8, 0.0);
      sum += (load / mean - 1.0) * (load / mean - 1.0) / kDraws;
    }
    const DealtVariance dealt = dealt_variance(kExperts, 8, exponent);
    EXPECT_NEAR(dealt.value / sum, 1.0, 0.05) << exponent;
    const double difference =
        (dealt_variance(kExperts, 8, exponent + 1e-5).value - dealt_variance(kExperts, 8, exponent - 1e-5).value) / 2e-5;
    EXPECT_NEAR(dealt.slope / difference, 1.0, 1e-6) << exponent;
  }
  EXPECT_NEAR(dealt_variance(kExperts, 8, 0.0).value, 0.0, 1e-12);
  EXPECT_EQ(dealt_variance(kExperts, 1, 1.0).value, 0.0);
  // 512 tokens with 8 of 256 experts each: chance adds 6 % on 8 GPUs; experts wanted as 1 / i, far more.
  EXPECT_GT(busiest_pairs(8.0 * 512, 8, dealt_variance(256, 8, 1.0).value), 1.5);
}

}  // namespace
}  // namespace rooftune::kernels
