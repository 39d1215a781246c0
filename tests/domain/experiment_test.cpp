#include "rooftune/domain/experiment.hpp"

#include <gtest/gtest.h>

namespace rooftune::domain {
namespace {

TEST(Metric, IsFoundByTheNameItHas) {
  for (const Metric metric : kMetrics) EXPECT_EQ(find_metric(metric_name(metric)), metric);
  EXPECT_EQ(metric_name(Metric::ttft_p90), "ttft_p90_ms");
  EXPECT_EQ(find_metric("itl_mean_ms"), std::nullopt);
}

TEST(Latencies, AreEmptyUntilGivenAndIndexedByMetric) {
  Latencies latencies;
  for (const Metric metric : kMetrics) EXPECT_EQ(latencies[metric], std::nullopt);
  latencies[Metric::e2e_mean] = 1500.0;
  const Latencies& read = latencies;
  EXPECT_EQ(read[Metric::e2e_mean], 1500.0);
  EXPECT_EQ(read[Metric::e2e_p90], std::nullopt);
}

TEST(Role, HasAWord) {
  EXPECT_EQ(role_name(Role::calibration), "calibration");
  EXPECT_EQ(role_name(Role::new_gpu), "new_gpu");
  EXPECT_EQ(role_name(Role::overload), "overload");
}

}  // namespace
}  // namespace rooftune::domain
