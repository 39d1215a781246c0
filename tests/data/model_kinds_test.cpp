#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/data/models.hpp"
#include "rooftune/text/csv.hpp"
#include "rooftune/text/document.hpp"

namespace rooftune::data {
namespace {

namespace fs = std::filesystem;
using domain::ModelSpec;

const fs::path kFolder = fs::path(ROOFTUNE_SOURCE_DIR) / "tests" / "data" / "model_kinds";

/// What the reader makes of a config, in one line.
std::string line_of(const std::string& name, const ModelSpec& model) {
  const domain::ParameterCount parameters = domain::count_parameters(model);
  return fmt::format("{},{:.0f},{:.0f},{:.0f},{:g},{:g},{},{},{}", name, parameters.total, parameters.active,
                     domain::resident_weight_bytes(model), domain::kv_bytes_per_token(model), domain::state_bytes_per_request(model),
                     model.layers(), model.groups.size(), model.notes.size());
}

/// One small config per kind of layer; the counts were checked against those of real models of the same kinds (below).
TEST(ModelKinds, AreReadAsTheyWere) {
  const auto text = text::read_text(kFolder / "expected.csv");
  ASSERT_TRUE(text) << core::format(text.error());
  std::string made = "config,total,active,weight_bytes,kv_bytes_per_token,state_bytes,layers,groups,notes\n";
  std::map<std::string, fs::path> configs;
  for (const fs::directory_entry& entry : fs::directory_iterator(kFolder)) {
    if (entry.path().extension() == ".json") configs[entry.path().stem().string()] = entry.path();
  }
  for (const auto& [name, path] : configs) {
    const auto model = read_model(path);
    ASSERT_TRUE(model) << core::format(model.error());
    made += line_of(name, *model) + "\n";
  }
  EXPECT_EQ(made, *text);
}

TEST(ModelKinds, TakesTheDefaultsOfTheClassAndSaysSo) {
  const auto model = read_model(kFolder / "window_by_pattern.json");
  ASSERT_TRUE(model) << core::format(model.error());
  EXPECT_EQ(model->vocabulary, 262208);
  EXPECT_TRUE(model->tied_embeddings);
  ASSERT_FALSE(model->notes.empty());
  EXPECT_EQ(model->notes[0], "'vocab_size' is not in the config: 262208, the default of gemma3_text in transformers");
}

/// Real configs and the sizes that their publishers name, where both are at hand.
TEST(RealConfigs, HaveThePublishedNumbersOfParameters) {
  const fs::path folder = fs::path(ROOFTUNE_SOURCE_DIR) / ".." / "shared" / "data" / "hf_configs";
  if (!fs::exists(folder / "sizes.csv")) GTEST_SKIP() << "no folder ../shared/data/hf_configs with configs of current models";
  const auto table = text::read_csv(folder / "sizes.csv");
  ASSERT_TRUE(table) << core::format(table.error());
  int compared = 0;
  for (const std::vector<text::Node>& row : table->rows) {
    const auto model = read_model(folder / row[0].text);
    ASSERT_TRUE(model) << core::format(model.error());
    const auto number = [&](std::size_t column) { return row[column].text.empty() ? 0.0 : std::stod(row[column].text); };
    const domain::ParameterCount parameters = domain::count_parameters(*model);
    EXPECT_NEAR(parameters.total * 1e-9, number(1), number(1) * number(2) / 100) << model->name;
    if (number(3) > 0.0) {
      EXPECT_NEAR(parameters.active * 1e-9, number(3), number(3) * number(4) / 100) << model->name;
    }
    ++compared;
  }
  EXPECT_EQ(compared, 37);
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (!entry.is_directory()) continue;
    const auto model = read_model(entry.path());
    EXPECT_TRUE(model) << core::format(model.error());
  }
}

}  // namespace
}  // namespace rooftune::data
