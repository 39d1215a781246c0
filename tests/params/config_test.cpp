#include "rooftune/params/config.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/example_targets.hpp"

namespace rooftune::params {
namespace {

const ParameterId kMfu = parameter("roofline_v1.mfuPrefill");

Assignments set(ParameterId id, double value) { return {{id, {.value = value, .standard_error = {}, .source = ValueSource::given}}}; }
HardwareEntry entry(domain::GpuSpec gpu, Assignments parameters) {
  HardwareEntry result;
  result.gpu = std::move(gpu);
  result.parameters = std::move(parameters);
  return result;
}
ScopedAssignments scoped(DeploymentFilter where, Assignments parameters) {
  return {.where = std::move(where), .parameters = std::move(parameters)};
}
DeploymentFilter filter(std::optional<std::string> model, std::optional<std::string> gpu, std::optional<int> tp) {
  return {.model = std::move(model), .gpu = std::move(gpu), .tp = tp};
}

class Resolve : public testing::Test {
 protected:
  [[nodiscard]] double value_of(ParameterId id) const { return resolve(config, deployment, gpu)[id]; }
  domain::GpuSpec gpu = examples::a100();
  domain::Deployment deployment = examples::deployment(examples::llama_2_7b(), gpu, 2);
  Config config;
};

TEST_F(Resolve, TakesDefaultsFirstAndPeaksFromTheGpusDataSheet) {
  EXPECT_EQ(value_of(kMfu), 0.65);
  EXPECT_EQ(value_of(parameter("hardware.TFlopsPeak")), 312.0);
  EXPECT_EQ(value_of(parameter("hardware.TFlopsFP8")), 0.0);
  EXPECT_EQ(value_of(parameter("hardware.BwPeakTBs")), 2.039);
  EXPECT_EQ(value_of(parameter("hardware.link_GBs")), 300.0);
  EXPECT_EQ(value_of(parameter("hardware.MemoryGiB")), 80.0);
}

TEST_F(Resolve, LetsTheMoreSpecificWin) {
  config.parameters = set(kMfu, 0.5);
  EXPECT_EQ(value_of(kMfu), 0.5);
  config.hardware = {entry(gpu, set(kMfu, 0.4)), entry(examples::h100(), set(kMfu, 0.9))};
  EXPECT_EQ(value_of(kMfu), 0.4);
  config.scoped = {scoped(filter({}, "A100-80GB", {}), set(kMfu, 0.3))};
  EXPECT_EQ(value_of(kMfu), 0.3);
  config.scoped.push_back(scoped(filter("meta-llama/Llama-2-7b-hf", {}, 2), set(kMfu, 0.2)));
  EXPECT_EQ(value_of(kMfu), 0.2);
  config.scoped.push_back(scoped(filter({}, {}, 4), set(kMfu, 0.1)));
  EXPECT_EQ(value_of(kMfu), 0.2) << "a scope that does not match";
}

TEST_F(Resolve, TakesSwitchesFromTheConfig) {
  EXPECT_TRUE(resolve(config, deployment, gpu).is_on("roofline_v1.extension"));
  config.switches[switch_id("roofline_v1.extension")] = 0;
  EXPECT_FALSE(resolve(config, deployment, gpu).is_on("roofline_v1.extension"));
}

TEST(DeploymentFilter, MatchesEverythingWhenEmpty) {
  const domain::GpuSpec gpu = examples::h100();
  const domain::Deployment deployment = examples::deployment(examples::llama_2_7b(), gpu, 2);
  EXPECT_TRUE(DeploymentFilter{}.matches(deployment, gpu));
  EXPECT_TRUE(DeploymentFilter{}.matches_everything());
  EXPECT_TRUE(filter({}, "h100", 2).matches(deployment, gpu));
  EXPECT_FALSE(filter({}, "A100", {}).matches(deployment, gpu));
  EXPECT_FALSE(filter("Mixtral-8x7B-v0.1", {}, {}).matches(deployment, gpu));
  EXPECT_FALSE(filter({}, {}, 4).matches(deployment, gpu));
}

TEST(DeploymentFilter, KnowsAModelByAnyOfItsSpellings) {
  const domain::GpuSpec gpu = examples::h100();
  domain::Deployment deployment = examples::deployment(examples::llama_2_7b(), gpu, 2);
  for (const char* spelling : {"Llama-2-7b-hf", "llama-2-7b-hf", "meta-llama/Llama-2-7B-HF"}) {
    deployment.model = spelling;
    EXPECT_TRUE(filter("meta-llama/Llama-2-7b-hf", {}, {}).matches(deployment, gpu)) << spelling;
  }
}

TEST(FindGpu, PrefersTheConfigsOwnEntry) {
  const std::vector<domain::GpuSpec> known{examples::h100(), examples::a100()};
  Config config;
  EXPECT_EQ(find_gpu(config, known, "A100-80GB")->peak_bf16.value, 312.0);
  domain::GpuSpec own = examples::a100();
  own.aliases = {};
  own.peak_bf16 = {300.0};
  config.hardware = {entry(own, {})};
  EXPECT_EQ(find_gpu(config, known, "A100-80GB")->peak_bf16.value, 300.0) << "by the known alias of its canonical name";
  EXPECT_EQ(find_gpu(config, known, "H100")->peak_bf16.value, 989.5);
  EXPECT_EQ(find_gpu(config, known, "TPU"), nullptr);
}

TEST(ValueSource, IsFoundByItsWord) {
  for (const ValueSource source : {ValueSource::default_value, ValueSource::datasheet, ValueSource::kernel_table,
                                   ValueSource::inherited, ValueSource::fitted, ValueSource::given}) {
    EXPECT_EQ(find_source(source_name(source)), source);
  }
  EXPECT_EQ(find_source("guessed"), std::nullopt);
}

}  // namespace
}  // namespace rooftune::params
