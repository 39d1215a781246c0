#include "rooftune/params/registry.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rooftune/core/derivative.hpp"
#include "rooftune/params/resolved.hpp"

namespace rooftune::params {
namespace {

TEST(Registry, FindsEveryParameterAndSwitchByItsId) {
  for (std::size_t i = 0; i < parameter_registry().size(); ++i) {
    EXPECT_EQ(find_parameter(parameter_registry()[i].id), ParameterId{i});
    EXPECT_EQ(&ParameterId{i}.spec(), &parameter_registry()[i]);
  }
  for (std::size_t i = 0; i < switch_registry().size(); ++i) EXPECT_EQ(find_switch(switch_registry()[i].id), SwitchId{i});
  EXPECT_EQ(parameter_ids().size(), parameter_registry().size());
  EXPECT_EQ(switch_ids().size(), switch_registry().size());
}

TEST(Registry, DoesNotGuessIds) {
  EXPECT_EQ(find_parameter("mfuPrefill"), std::nullopt);
  EXPECT_EQ(find_parameter("roofline_v1.mfuprefill"), std::nullopt);
  EXPECT_EQ(find_switch("roofline_v1.mfuPrefill"), std::nullopt);
  EXPECT_DEATH((void)parameter("roofline_v1.unknown"), "rooftune bug");
}

TEST(Registry, SplitsIdsIntoGroupAndName) {
  const ParameterSpec& spec = parameter("roofline_v1.mfuPrefill").spec();
  EXPECT_EQ(spec.group(), "roofline_v1");
  EXPECT_EQ(spec.name(), "mfuPrefill");
}

TEST(Registry, KeepsTheDefaultsOfTheGoFamily) {
  const Resolved<double> defaults;
  EXPECT_EQ(defaults["roofline_v1.BwEffConstant"], 0.72);
  EXPECT_EQ(defaults["roofline_v1.TOverheadMicros"], 500.0);
  EXPECT_EQ(defaults["roofline_v1.allReduceLatency"], 20.0);
  EXPECT_EQ(defaults["roofline_v1.mfuPrefill"], 0.65);
  EXPECT_EQ(defaults["roofline_v1.mfuDecode"], 0.12);
  EXPECT_EQ(defaults["roofline_v1.tpScalingExponent"], 1.0);
  EXPECT_EQ(defaults["roofline_v1.vectorPeakFraction"], 0.10);
  EXPECT_EQ(defaults["roofline_v1.prefillOverheadMicros"], 0.0);
}

TEST(Registry, KeepsParametersAndSwitchesOfAGroupTogether) {
  std::vector<std::string_view> groups;
  for (const ParameterSpec& spec : parameter_registry()) {
    if (groups.empty() || groups.back() != spec.group()) groups.push_back(spec.group());
  }
  std::vector<std::string_view> once = groups;
  std::ranges::sort(once);
  EXPECT_EQ(std::ranges::adjacent_find(once), once.end()) << "a group appears in two places";
}

TEST(Switches, AreChosenByWord) {
  const SwitchId extension = switch_id("roofline_v1.extension");
  EXPECT_EQ(find_choice(extension, "off"), 0U);
  EXPECT_EQ(find_choice(extension, "maybe"), std::nullopt);
  Resolved<double> resolved;
  EXPECT_TRUE(resolved.is_on("roofline_v1.extension"));
  resolved.choose(extension, 0);
  EXPECT_EQ(resolved.choice("roofline_v1.extension"), "off");
}

TEST(Resolved, KeepsValuesAndChoicesInAnotherScalar) {
  Resolved<double> plain;
  plain[parameter("physics.t_step_us")] = 1234.0;
  plain.choose(switch_id("roofline_v1.round_to_us"), 1);
  const auto dual = plain.as<core::Dual<2>>();
  EXPECT_EQ(dual["physics.t_step_us"].a, 1234.0);
  EXPECT_EQ(dual["physics.t_step_us"].v.norm(), 0.0);
  EXPECT_TRUE(dual.is_on("roofline_v1.round_to_us"));
}

}  // namespace
}  // namespace rooftune::params
