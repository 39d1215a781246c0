#include "rooftune/domain/gpu.hpp"

#include <gtest/gtest.h>

#include "support/example_targets.hpp"

namespace rooftune::domain {
namespace {

TEST(FindGpu, KnowsEveryAliasInAnySpelling) {
  const std::vector<GpuSpec> gpus{examples::h100(), examples::a100()};
  for (const char* name : {"H100-SXM", "h100", "h100_sxm", "H100_SXM"}) EXPECT_EQ(find_gpu(gpus, name), &gpus[0]) << name;
  for (const char* name : {"A100-SXM", "A100-80GB", "a100_80gb", "A100-80"}) EXPECT_EQ(find_gpu(gpus, name), &gpus[1]) << name;
}

TEST(FindGpu, FindsNothingByHalfAName) {
  const std::vector<GpuSpec> gpus{examples::h100()};
  for (const char* name : {"", "H10", "H100-PCIE", "H100-SXM5"}) EXPECT_EQ(find_gpu(gpus, name), nullptr) << name;
}

}  // namespace
}  // namespace rooftune::domain
