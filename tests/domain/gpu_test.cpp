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
  for (const char* name : {"", "H10", "H100-PCIE", "NVIDIA"}) EXPECT_EQ(find_gpu(gpus, name), nullptr) << name;
}

TEST(FindGpu, KnowsHowDriversAndClustersSpellAName) {
  const std::vector<GpuSpec> gpus{examples::h100(), examples::a100()};
  for (const char* name :
       {"NVIDIA H100 80GB HBM3", "NVIDIA-H100-80GB-HBM3", "H100 SXM5 80GB", "H100-SXM5", "8xH100", "8 x NVIDIA H100 80GB HBM3",
        "nvidia.com/gpu.product=NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-80GB-HBM3-SHARED", "nvidia-h100-mega-80gb", "H100_NVLINK_80GB"}) {
    EXPECT_EQ(find_gpu(gpus, name), &gpus[0]) << name;
  }
  EXPECT_EQ(find_gpu(gpus, "NVIDIA A100-SXM4-80GB"), &gpus[1]);
}

TEST(FindGpu, TakesAnotherFormOrMemoryForAnotherGpu) {
  const std::vector<GpuSpec> gpus{examples::h100(), examples::a100()};
  for (const char* name : {"NVIDIA H100 PCIe", "NVIDIA H100 NVL", "NVIDIA A100-SXM4-40GB", "NVIDIA A100-SXM4-80GB MIG 3g.40gb",
                           "NVIDIA H200", "GeForce RTX 4090"}) {
    EXPECT_EQ(find_gpu(gpus, name), nullptr) << name;
  }
}

}  // namespace
}  // namespace rooftune::domain
