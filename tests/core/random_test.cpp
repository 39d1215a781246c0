#include "rooftune/core/random.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>
#include <vector>

namespace rooftune::core {
namespace {

constexpr StreamKey kKey{.seed = 1, .experiment_id = "17", .stage = 0, .purpose = StreamPurpose::arrivals, .replicate = 0};

TEST(RandomStream, RepeatsForTheSameKey) {
  RandomEngine first = make_stream(kKey);
  RandomEngine second = make_stream(kKey);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(first(), second());
}

TEST(RandomStream, DiffersInEveryPartOfTheKey) {
  std::vector<StreamKey> keys(6, kKey);
  keys[1].seed = 2;
  keys[2].experiment_id = "20";
  keys[3].stage = 1;
  keys[4].purpose = StreamPurpose::prompt_lengths;
  keys[5].replicate = 1;
  std::set<std::uint64_t> first_draws;
  for (const StreamKey& key : keys) first_draws.insert(make_stream(key)());
  EXPECT_EQ(first_draws.size(), keys.size());
}

TEST(RandomStream, DoesNotMixUpStageAndReplicate) {
  StreamKey stage = kKey;
  StreamKey replicate = kKey;
  stage.stage = 1;
  replicate.replicate = 1;
  EXPECT_NE(make_stream(stage)(), make_stream(replicate)());
}

TEST(RandomStream, StreamsOfNeighbouringStagesAreUncorrelated) {
  constexpr int kDraws = 20000;
  StreamKey next = kKey;
  next.stage = 1;
  RandomEngine first = make_stream(kKey);
  RandomEngine second = make_stream(next);
  double covariance = 0.0;
  for (int i = 0; i < kDraws; ++i) covariance += (uniform01(first) - 0.5) * (uniform01(second) - 0.5) / kDraws;
  // Standard deviation of this estimate: 1/12 / sqrt(draws).
  EXPECT_LT(std::abs(covariance), 4.0 / 12.0 / std::sqrt(kDraws));
}

TEST(RandomStream, MixesAsSplitMix64Does) { EXPECT_EQ(mixed(0), 0xe220a8397b1dcdafULL); }

TEST(Uniform01, StaysInsideAndHasTheRightMean) {
  constexpr int kDraws = 20000;
  RandomEngine engine = make_stream(kKey);
  double mean = 0.0;
  for (int i = 0; i < kDraws; ++i) {
    const double draw = uniform01(engine);
    ASSERT_GE(draw, 0.0);
    ASSERT_LT(draw, 1.0);
    mean += draw / kDraws;
  }
  EXPECT_NEAR(mean, 0.5, 4.0 * std::sqrt(1.0 / 12.0 / kDraws));
}

}  // namespace
}  // namespace rooftune::core
