#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "command_line.hpp"

namespace rooftune::testing_support {
namespace {

using testing::HasSubstr;

TEST(ParamsCommand, ListsParametersAndSwitchesInEveryForm) {
  for (const std::vector<std::string>& form : {std::vector<std::string>{"params"}, {"params", "--markdown"}, {"params", "--json"}}) {
    const ProgramResult result = rooftune(form);
    EXPECT_EQ(result.exit_code, 0) << result;
    EXPECT_THAT(result.output, HasSubstr("roofline_v1.tpScalingExponent"));
    EXPECT_THAT(result.output, HasSubstr("engine.async_scheduling"));
  }
}

TEST(ParamsCommand, PrintsOneJsonObject) {
  const auto json = nlohmann::json::parse(rooftune({"params", "--json"}).output);
  EXPECT_EQ(json["schema"], "rooftune/parameters/1");
  for (const auto& parameter : json["parameters"]) {
    EXPECT_LE(parameter["lower"], parameter["initial"]) << parameter;
    EXPECT_LE(parameter["initial"], parameter["upper"]) << parameter;
  }
}

}  // namespace
}  // namespace rooftune::testing_support
