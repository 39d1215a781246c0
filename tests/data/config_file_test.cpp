#include "rooftune/data/config_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace rooftune::data {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// The GPUs of docs/file_formats.md that these tests need.
std::vector<domain::GpuSpec> gpus() {
  const auto gpu = [](std::string name, std::vector<std::string> aliases, double bf16, std::optional<core::TeraflopsPerSecond> fp8,
                      double tb_s, domain::Interconnect interconnect, double link, double gib) {
    return domain::GpuSpec{.name = std::move(name),
                           .aliases = std::move(aliases),
                           .peak_bf16 = {bf16},
                           .peak_fp8 = fp8,
                           .hbm_bandwidth = {tb_s},
                           .interconnect = interconnect,
                           .link_bandwidth = {link},
                           .memory = {gib},
                           .source = "data sheet"};
  };
  return {
      gpu("H100-SXM", {"H100", "h100_sxm"}, 989.5, core::TeraflopsPerSecond{1979}, 3.35, domain::Interconnect::nvlink, 450, 80),
      gpu("A100-SXM", {"A100-80GB", "A100-80", "A100"}, 312, std::nullopt, 2.039, domain::Interconnect::nvlink, 300, 80),
      gpu("L40S", {}, 362.05, core::TeraflopsPerSecond{733}, 0.864, domain::Interconnect::pcie, 32, 48),
  };
}

/// The value, or a failed test with the messages.
ConfigFile parsed(std::string_view text) {
  auto file = parse_config(text, "config.json", gpus());
  if (!file) {
    ADD_FAILURE() << core::format(file.error());
    return {};
  }
  return *std::move(file);
}

std::string errors_of(std::string_view text) {
  const auto file = parse_config(text, "config.json", gpus());
  return file ? "no error" : core::format(file.error());
}

double value(const params::Assignments& parameters, std::string_view id) { return parameters.at(params::parameter(id)).value; }

/// A config that uses every part of the form.
params::Config rich_config() {
  params::Config config;
  config.step_time_model = "roofline_v1";
  config.switches[params::switch_id("engine.async_scheduling")] = 0;
  config.switches[params::switch_id("engine.graph_padding")] = 1;
  config.switches[params::switch_id("roofline_v1.extension")] = 0;
  config.parameters[params::parameter("frontend.constant_us")] = {
      .value = 0.1 + 0.2, .standard_error = 1.0 / 3.0, .source = params::ValueSource::fitted};
  config.parameters[params::parameter("physics.pnorm")] = {.value = 5, .standard_error = {}, .source = params::ValueSource::inherited};
  config.hardware.push_back({.gpu = gpus()[0], .parameters = {}, .name_in_file = "H100"});
  config.hardware.back().parameters[params::parameter("roofline_v1.mfuPrefill")] = {
      .value = 0.61234567890123456, .standard_error = {}, .source = params::ValueSource::kernel_table};
  config.hardware.push_back({.gpu = gpus()[1], .parameters = {}});
  config.hardware.push_back({.gpu = {.name = "X1",
                                     .aliases = {"x-one"},
                                     .peak_bf16 = {100},
                                     .peak_fp8 = {},
                                     .hbm_bandwidth = {1},
                                     .interconnect = domain::Interconnect::pcie,
                                     .link_bandwidth = {16},
                                     .memory = {24},
                                     .source = "a letter"},
                             .parameters = {}});
  config.scoped.push_back({.where = {.model = "Llama-2-7b-hf", .gpu = "A100", .tp = 4}, .parameters = {}});
  config.scoped.back().parameters[params::parameter("blackbox.step_us")] = {
      .value = 5123.25, .standard_error = {}, .source = params::ValueSource::fitted};
  config.domain.ranges["tp"] = {.lowest = 1, .highest = 4};
  config.domain.sets["precision"] = {"FP16", "FP8"};
  config.uncertainty = params::FitUncertainty{
      .parameters =
          {{.id = params::parameter("physics.pnorm"), .where = {}, .transform = params::Transform::log, .standard_deviation = 0.25},
           {.id = params::parameter("roofline_v1.tpScalingExponent"),
            .where = {.model = {}, .gpu = "H100", .tp = {}},
            .transform = params::Transform::logit,
            .lower = 0.0,
            .upper = 2.0,
            .standard_deviation = 0.5}},
      .correlation = {{}, {-0.75}},
      .held_out_deviation = {{domain::Metric::ttft_mean, 0.06}, {domain::Metric::e2e_mean, 0.04}},
      .held_out_basis = "LeaveOneGroupOut by model: 15 runs in 6 folds"};
  config.provenance = {{"study", "quickstart"}, {"seed", "7"}};
  return config;
}

TEST(ConfigFile, ReadsBackEqualToWhatWasWritten) {
  const ConfigFile file = parsed(config_text(rich_config()));
  EXPECT_EQ(file.config, rich_config());
  EXPECT_EQ(file.form, ConfigForm::config);
  EXPECT_THAT(core::format(file.warnings), HasSubstr("'frontend.constant_us' is 0.30000000000000004 us, outside its usual range"));
}

TEST(ConfigFile, WritesTheSameTextAgain) {
  const std::string text = config_text(rich_config());
  EXPECT_EQ(config_text(parsed(text).config), text);
}

TEST(ConfigFile, PutsEngineSwitchesIntoTheirOwnGroupAndKeepsGpuNames) {
  const std::string text = config_text(rich_config());
  EXPECT_THAT(text, HasSubstr(R"("engine": {"async_scheduling": "off", "graph_padding": "vllm"},)"));
  EXPECT_THAT(text, HasSubstr(R"("switches": {"roofline_v1.extension": "off"},)"));
  EXPECT_THAT(
      text, HasSubstr(R"("frontend.constant_us": {"value": 0.30000000000000004, "stderr": 0.3333333333333333, "source": "fitted"})"));
  EXPECT_THAT(text, HasSubstr(R"("H100": {)"));
}

TEST(ConfigFile, TakesPlainNumbersAsGivenValues) {
  const ConfigFile file = parsed(R"({"schema": "rooftune/config/1", "step_time_model": "roofline_v1",
    "parameters": {"roofline_v1.mfuPrefill": 0.5}})");
  EXPECT_EQ(file.config.parameters.at(params::parameter("roofline_v1.mfuPrefill")),
            (params::ParameterValue{.value = 0.5, .standard_error = {}, .source = params::ValueSource::given}));
}

TEST(ConfigFile, FillsInWhatTheFileLeavesOutOfAShippedGpu) {
  const ConfigFile file =
      parsed(R"({"schema": "rooftune/config/1", "step_time_model": "roofline_v1", "hardware": {"a100_80gb": {}}})");
  ASSERT_THAT(file.config.hardware, SizeIs(1));
  EXPECT_EQ(file.config.hardware[0].gpu, gpus()[1]);
  EXPECT_EQ(file.config.hardware[0].name_in_file, "a100_80gb");
}

// The hand-tuned H100 column and the A100 entry under its old keys.
constexpr std::string_view kFamily = R"({
  "H100": {
    "_comment": "by hand",
    "TFlopsPeak": 989.5, "BwPeakTBs": 3.35, "BwEffConstant": 0.72, "TOverheadMicros": 500.0, "perLayerOverhead": 20.0,
    "mfuPrefill": 0.65, "mfuDecode": 0.12, "allReduceLatency": 20.0, "tpScalingExponent": 0.30, "decodeTpScalingExponent": 1.15,
    "mfuPrefillMultiplier": 2.32, "mfuDecodeMultiplier": 2.00, "prefillBwFactor": 0.75, "decodeBwFactor": 0.96,
    "vectorPeakFraction": 0.10, "prefillOverheadMicros": 500.0, "mixedPrefillOverheadMicros": 150.0
  },
  "A100-80": {"TFlopsEff": 311, "BwEffTBs": 2.0, "TFlopsFP8": 0, "MemoryGiB": 40.0, "bwEfficiencyFactor": 0.8}
})";

TEST(HardwareConfig, MapsTheFamilysKeysToRooflineV1) {
  const params::Config config = parsed(kFamily).config;
  EXPECT_EQ(config.step_time_model, "roofline_v1");
  ASSERT_THAT(config.hardware, SizeIs(2));
  const params::HardwareEntry& h100 = config.hardware[0];
  EXPECT_EQ(h100.gpu, gpus()[0]);
  EXPECT_THAT(h100.parameters, SizeIs(15));
  EXPECT_EQ(value(h100.parameters, "roofline_v1.tpScalingExponent"), 0.30);
  EXPECT_EQ(value(h100.parameters, "roofline_v1.mfuPrefillMultiplier"), 2.32);
  EXPECT_EQ(value(h100.parameters, "roofline_v1.mixedPrefillOverheadMicros"), 150.0);
}

TEST(HardwareConfig, KnowsFormerNamesAndAliases) {
  const params::HardwareEntry a100 = parsed(kFamily).config.hardware[1];
  EXPECT_EQ(a100.gpu.name, "A100-SXM");
  EXPECT_EQ(a100.name_in_file, "A100-80");
  EXPECT_EQ(a100.gpu.peak_bf16.value, 311);
  EXPECT_EQ(a100.gpu.hbm_bandwidth.value, 2.0);
  EXPECT_EQ(a100.gpu.memory.value, 40.0);
  EXPECT_EQ(a100.gpu.link_bandwidth.value, 300);
}

TEST(HardwareConfig, NotesKeysWithoutEffect) {
  EXPECT_EQ(core::format(parsed(kFamily).warnings), "config.json:9:85: warning: 'bwEfficiencyFactor' has no effect (remove it)\n");
}

TEST(HardwareConfig, LoadsWithTheKeysThatTheFamilyAdded) {
  const ConfigFile file = parsed(R"({"_comment_date": "x", "X1": {"TFlopsPeak": 100, "BwPeakTBs": 1, "MemoryGiB": 24,
 "IntraNodeBwGBps": 150, "InterNodeBwGBps": 25, "_comment_link": "one direction", "CostPerHour": 2.5}})");
  ASSERT_THAT(file.config.hardware, SizeIs(1));
  EXPECT_EQ(file.config.hardware[0].gpu.link_bandwidth.value, 150);
  EXPECT_EQ(core::format(file.warnings),
            "config.json:2:26: warning: 'InterNodeBwGBps' has no effect: experiments run in one node (nothing to do)\n"
            "config.json:2:83: warning: 'CostPerHour' means nothing here and has no effect (nothing to do)\n");
}

TEST(HardwareConfig, RefusesAKeyThatLooksLikeASlip) {
  EXPECT_THAT(errors_of(R"({"H100": {"MemoryGib": 80}})"), HasSubstr("unknown key 'MemoryGib' in the GPU 'H100'"));
}

TEST(HardwareConfig, SaysWhereFactsContradictEachOther) {
  const auto warnings_of = [](const char* text) { return core::format(parsed(text).warnings); };
  EXPECT_THAT(
      warnings_of(R"({"H100": {"BwPeakTBs": 3350}})"),
      HasSubstr("config.json:1:2: warning: the GPU 'H100-SXM': a memory bandwidth of 3350 TB/s (it looks like GB/s: write 3.35)"));
  EXPECT_THAT(warnings_of(R"({"H100": {"TFlopsPeak": 1979, "TFlopsFP8": 3958}})"),
              HasSubstr("a bf16 peak of 1979 TFLOP/s is twice that of the shipped H100-SXM"));
  EXPECT_THAT(warnings_of(R"({"X1": {"TFlopsPeak": 500, "TFlopsFP8": 2000, "BwPeakTBs": 3, "MemoryGiB": 80, "link_GBs": 300}})"),
              HasSubstr("an FP8 peak of 4.0 times the bf16 peak"));
  EXPECT_THAT(warnings_of(R"({"X1": {"TFlopsPeak": 2000, "BwPeakTBs": 3, "MemoryGiB": 80, "link_GBs": 300}})"),
              HasSubstr("667 bf16 FLOP for every byte"));
  EXPECT_THAT(warnings_of(R"({"H100": {"TFlopsPeak": 989.5, "BwPeakTBs": 3.35}})"), IsEmpty());
}

TEST(HardwareConfig, TakesAnFp8PeakOfZeroAsNone) {
  EXPECT_FALSE(parsed(R"({"L40S": {"TFlopsFP8": 0}})").config.hardware[0].gpu.peak_fp8);
  EXPECT_EQ(parsed(R"({"L40S": {}})").config.hardware[0].gpu.peak_fp8, core::TeraflopsPerSecond{733});
}

TEST(HardwareConfig, AcceptsAnAliasThatRepeatsItsGpu) {
  const params::Config config =
      parsed(R"({"A100-SXM": {"mfuPrefill": 0.5}, "A100-80": {"_comment": "alias", "mfuPrefill": 0.5}})").config;
  ASSERT_THAT(config.hardware, SizeIs(1));
  EXPECT_EQ(config.hardware[0].name_in_file, "");
}

TEST(HardwareConfig, RefusesTwoAliasesThatDisagree) {
  EXPECT_EQ(errors_of(R"({"A100-SXM": {"mfuPrefill": 0.5},
 "A100-80": {"mfuPrefill": 0.6}})"),
            "config.json:2:2: error: 'A100-80' and 'A100-SXM' are the same GPU with different values (keep one of them, or make them "
            "equal)\n");
}

TEST(HardwareConfig, AcceptsANewGpuThatGivesAllItsFacts) {
  const params::Config config = parsed(R"({"X1": {"TFlopsPeak": 100, "BwPeakTBs": 1, "MemoryGiB": 24, "link_GBs": 16}})").config;
  EXPECT_EQ(config.hardware[0].gpu.name, "X1");
  EXPECT_EQ(config.hardware[0].gpu.link_bandwidth.value, 16);
}

TEST(HardwareConfig, WritesEveryValueSoThatNothingDependsOnTheReadersDefaults) {
  params::Config config = parsed(kFamily).config;
  config.parameters[params::parameter("roofline_v1.BwEffConstant")] = {
      .value = 0.7, .standard_error = {}, .source = params::ValueSource::fitted};
  config.scoped.push_back({.where = {.model = {}, .gpu = "A100", .tp = {}}, .parameters = {}});
  config.scoped[0].parameters[params::parameter("roofline_v1.mfuDecode")] = {
      .value = 0.2, .standard_error = {}, .source = params::ValueSource::fitted};
  const auto written = hardware_config_text(config, gpus());
  ASSERT_TRUE(written) << core::format(written.error());
  EXPECT_THAT(written->warnings, IsEmpty());
  const ConfigFile back = parsed(written->text);
  EXPECT_EQ(back.form, ConfigForm::hardware_config);
  for (const params::HardwareEntry& entry : config.hardware) {
    domain::Deployment deployment;
    deployment.hardware = entry.gpu.name;
    const auto before = params::resolve(config, deployment, entry.gpu);
    const auto after = params::resolve(back.config, deployment, entry.gpu);
    for (const params::ParameterSpec& spec : params::parameter_registry()) {
      if (spec.group() != "roofline_v1" && spec.group() != "hardware") continue;
      EXPECT_EQ(before[spec.id], after[spec.id]) << spec.id;
    }
  }
  EXPECT_THAT(written->text, HasSubstr(R"("A100-80": {)"));
}

TEST(HardwareConfig, WritesTheShippedGpusUnderTheFamilysNamesWhenTheConfigListsNone) {
  const auto written = hardware_config_text({}, gpus());
  ASSERT_TRUE(written);
  const ConfigFile back = parsed(written->text);
  ASSERT_THAT(back.config.hardware, SizeIs(3));
  EXPECT_EQ(back.config.hardware[0].name_in_file, "H100");
  EXPECT_EQ(back.config.hardware[1].name_in_file, "");
}

TEST(HardwareConfig, SaysWhatItCannotCarryOver) {
  params::Config config;
  config.parameters[params::parameter("frontend.constant_us")] = {
      .value = 4000, .standard_error = {}, .source = params::ValueSource::fitted};
  config.switches[params::switch_id("engine.async_scheduling")] = 0;
  EXPECT_EQ(
      core::format(hardware_config_text(config, gpus())->warnings),
      "warning: the hardware-config form leaves out 'frontend.constant_us' (predictions from it differ; use --format config to keep "
      "them)\n"
      "warning: the hardware-config form leaves out the switches (predictions from it differ; use --format config to keep them)\n");
}

TEST(HardwareConfig, RefusesWhatTheFormHasNoPlaceFor) {
  const auto written = hardware_config_text({.step_time_model = "physics",
                                             .switches = {},
                                             .parameters = {},
                                             .hardware = {},
                                             .scoped = rich_config().scoped,
                                             .domain = {},
                                             .uncertainty = {},
                                             .provenance = {}},
                                            gpus());
  ASSERT_FALSE(written);
  EXPECT_EQ(
      core::format(written.error()),
      "error: the hardware-config form holds roofline_v1 only, and this config is for 'physics' (write it with --format config)\n"
      "error: the hardware-config form has no place for 'blackbox.step_us' of one model or TP degree (write it with --format "
      "config)\n");
}

TEST(HardwareConfig, ReadsEveryVersionThatTheFamilyEverHad) {
  const char* folder = std::getenv("ROOFTUNE_UPSTREAM_DATA");
  if (folder == nullptr) GTEST_SKIP() << "set ROOFTUNE_UPSTREAM_DATA to a folder with hardware_configs/hardware_config.*.json";
  int files = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(folder) / "hardware_configs")) {
    if (!entry.path().filename().string().starts_with("hardware_config.")) continue;
    ++files;
    const auto file = read_config(entry.path(), gpus());
    ASSERT_TRUE(file) << core::format(file.error());
    const auto written = hardware_config_text(file->config, gpus());
    ASSERT_TRUE(written) << core::format(written.error());
    EXPECT_TRUE(parse_config(written->text, "written", gpus()));
  }
  EXPECT_EQ(files, 19);
}

}  // namespace
}  // namespace rooftune::data
