#include <gtest/gtest.h>

#include <vector>

#include "rooftune/data/config_file.hpp"
#include "rooftune/data/kernel_summary_file.hpp"
#include "support/bad_inputs.hpp"
#include "support/places.hpp"

namespace rooftune::data {
namespace {

TEST(BadConfigs, AreRefusedWithPlaceAndRemedy) {
  domain::GpuSpec h100;
  h100.name = "H100-SXM";
  h100.aliases = {"H100"};
  domain::GpuSpec a100;
  a100.name = "A100-SXM";
  a100.aliases = {"A100-80"};
  const std::vector<domain::GpuSpec> gpus = {h100, a100};
  bad_inputs::expect_all_refused("configs", [&](const std::filesystem::path& input) { return read_config(input, gpus); });
}

TEST(BadKernelSummaries, AreRefusedWithPlaceAndRemedy) { bad_inputs::expect_all_refused("kernel_summaries", read_kernel_summaries); }

TEST(KernelSummaries, HoldWhatTheShippedTablesComeTo) {
  const auto summaries = read_kernel_summaries(testing_support::source_folder() / "bench_data" / "efficiency.json");
  ASSERT_TRUE(summaries);
  const auto* h100 = kernels::find_summary(*summaries, "H100-SXM");
  const auto* l40s = kernels::find_summary(*summaries, "L40S");
  ASSERT_TRUE(h100 != nullptr && l40s != nullptr);
  EXPECT_LT(l40s->values.at("physics.gemm_fraction"), h100->values.at("physics.gemm_fraction"));
  EXPECT_TRUE(h100->values.contains("physics.kv_bandwidth_fraction"));
  const auto release = [&](int minor) { return h100->by_release.at({0, minor, 0}).at("physics.gemm_fraction"); };
  EXPECT_NEAR(release(24) / release(14), 0.8043 / 0.837, 1e-9) << "GEMMs of like shapes in two releases";
  EXPECT_NEAR(*h100->layer_calls_us, 33.0, 3.0) << "four small GEMMs and an attention call";
}

}  // namespace
}  // namespace rooftune::data
