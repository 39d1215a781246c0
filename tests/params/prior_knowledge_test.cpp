#include "rooftune/params/prior_knowledge.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace rooftune::params {
namespace {

TEST(FirstFit, FreesTheFrontEndAndTheModelsOwnParametersEachWithAPrior) {
  for (const char* model : {"physics", "kernels", "roofline_mfu"}) {
    std::set<std::string_view> groups;
    for (const FreeParameter& parameter : first_fit(model)) {
      groups.insert(parameter.id.spec().group());
      ASSERT_TRUE(parameter.prior) << parameter.label();
      EXPECT_EQ(parameter.prior->centre, parameter.id.spec().initial) << parameter.label();
      EXPECT_GT(parameter.prior->standard_deviation, 0.0) << parameter.label();
    }
    EXPECT_THAT(groups, testing::UnorderedElementsAre("frontend", model));
  }
}

TEST(FirstFit, IsEmptyForModelsThatCarryNothingOver) {
  EXPECT_TRUE(first_fit("blackbox").empty());
  EXPECT_TRUE(first_fit("roofline_v1").empty());
}

TEST(KnownDeviation, IsAFactorEOrAQuarterOfTheRangeWhereNobodyHasAFigure) {
  EXPECT_EQ(known_deviation(parameter("roofline_v1.TOverheadMicros")), 1.0);
  EXPECT_EQ(known_deviation(parameter("roofline_v1.perLayerOverhead")), 250.0);
  EXPECT_EQ(known_deviation(parameter("physics.weight_bandwidth_fraction")), 0.05);
}

}  // namespace
}  // namespace rooftune::params
