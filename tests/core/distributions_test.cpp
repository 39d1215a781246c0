#include "rooftune/core/distributions.hpp"

#include <gtest/gtest.h>

namespace rooftune::core {
namespace {

// Golden values: NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.1 and 1.3.6.7.2, retyped from its public tables.
TEST(NormalQuantile, AgreesWithThePublishedTable) {
  EXPECT_NEAR(normal_quantile(0.975), 1.960, 5e-4);
  EXPECT_NEAR(normal_quantile(0.95), 1.645, 5e-4);
  EXPECT_NEAR(normal_quantile(0.5), 0.0, 1e-12);
}

TEST(StudentTQuantile, AgreesWithThePublishedTable) {
  struct Row {
    long degrees_of_freedom;
    double at_95;
    double at_975;
  };
  for (const Row& row : {Row{1, 6.314, 12.706}, Row{2, 2.920, 4.303}, Row{5, 2.015, 2.571}, Row{9, 1.833, 2.262},
                         Row{10, 1.812, 2.228}, Row{30, 1.697, 2.042}, Row{100, 1.660, 1.984}}) {
    EXPECT_NEAR(student_t_quantile(0.95, row.degrees_of_freedom), row.at_95, 5e-4) << row.degrees_of_freedom;
    EXPECT_NEAR(student_t_quantile(0.975, row.degrees_of_freedom), row.at_975, 5e-4) << row.degrees_of_freedom;
  }
}

TEST(StudentTQuantile, NearsTheNormalOneWithManyDegreesOfFreedom) {
  EXPECT_NEAR(student_t_quantile(0.9, 1'000'000), normal_quantile(0.9), 1e-5);
}

}  // namespace
}  // namespace rooftune::core
