#include <gtest/gtest.h>

#include <vector>

#include "io/bad_inputs.hpp"
#include "rooftune/io/config_file.hpp"
#include "rooftune/io/study_file.hpp"

namespace rooftune::io {
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

TEST(BadStudies, AreRefusedWithPlaceAndRemedy) { bad_inputs::expect_all_refused("studies", read_study); }

}  // namespace
}  // namespace rooftune::io
