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
#include "support/places.hpp"
#include "support/temporary_folder.hpp"

namespace rooftune::data {
namespace {

namespace fs = std::filesystem;
using domain::ModelSpec;

const fs::path kFolder = testing_support::source_folder() / "tests" / "data" / "model_kinds";

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

/// Version 5 of transformers writes some kinds of layers in other words than the configs that were first published.
TEST(ModelKinds, AreTheSameInOtherWords) {
  int compared = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(kFolder.parent_path() / "model_spellings")) {
    const auto first = read_model(kFolder / entry.path().filename());
    const auto other = read_model(entry.path());
    ASSERT_TRUE(first) << core::format(first.error());
    ASSERT_TRUE(other) << core::format(other.error());
    EXPECT_EQ(first->groups, other->groups) << entry.path();
    EXPECT_EQ(first->notes, other->notes) << entry.path();
    ++compared;
  }
  EXPECT_EQ(compared, 5);
}

/// GLM-5: layers that take the choice of the one before, told in three ways.
TEST(ModelKinds, ShareAnIndexerByPatternFrequencyOrList) {
  const auto text = text::read_text(kFolder / "sparse_latent_attention.json");
  ASSERT_TRUE(text) << core::format(text.error());
  const std::string head = text->substr(0, text->rfind('}'));
  testing_support::TemporaryFolder folder;
  const auto indexers = [&](const std::string& keys) {
    folder.write("config.json", head + "," + keys + "}");
    const auto model = read_model(folder / "config.json");
    EXPECT_TRUE(model) << core::format(model.error());
    std::string letters;
    if (!model) return letters;
    for (const domain::LayerGroup& group : model->groups) {
      const bool own = group.layer.mixer.sparse->index_heads > 0;
      letters += fmt::format("{}{}", group.count, own ? 'F' : 'S');
    }
    return letters;
  };
  EXPECT_EQ(indexers(R"("max_position_embeddings2": 1)"), "2F2F") << "dense, then experts: all choose";
  EXPECT_EQ(indexers(R"("index_topk_pattern": "FSSF")"), "1F1S1S1F");
  EXPECT_EQ(indexers(R"("indexer_types": ["full", "shared", "shared", "full"])"), "1F1S1S1F");
  EXPECT_EQ(indexers(R"("index_topk_freq": 2)"), "2F1S1F") << "after the first two every second shares";
}

TEST(ModelKinds, TakesTheDefaultsOfTheClassAndSaysSo) {
  const auto model = read_model(kFolder / "window_by_pattern.json");
  ASSERT_TRUE(model) << core::format(model.error());
  EXPECT_EQ(model->vocabulary, 262208);
  EXPECT_TRUE(model->tied_embeddings);
  ASSERT_FALSE(model->notes.empty());
  EXPECT_EQ(model->notes[0], "'vocab_size' is not in the config: 262208, the default of gemma3_text in transformers");
}

/// Compares every model of a table with what its publisher counts; returns how many there were. `config_of` names its file.
template <class ConfigOf>
int compare_with_published(const fs::path& csv, const ConfigOf& config_of) {
  const auto table = text::read_csv(csv);
  EXPECT_TRUE(table) << core::format(table.error());
  if (!table) return 0;
  int compared = 0;
  for (const std::vector<text::Node>& row : table->rows) {
    const auto model = read_model(config_of(row[0].text));
    EXPECT_TRUE(model) << core::format(model.error());
    if (!model) continue;
    const auto number = [&](std::size_t column) { return row[column].text.empty() ? 0.0 : std::stod(row[column].text); };
    const domain::ParameterCount parameters = domain::count_parameters(*model);
    EXPECT_NEAR(parameters.total * 1e-9, number(1), number(1) * number(2) / 100) << row[0].text;
    if (number(3) > 0.0) {
      EXPECT_NEAR(parameters.active * 1e-9, number(3), number(3) * number(4) / 100) << row[0].text;
    }
    ++compared;
  }
  return compared;
}

/// The keys of published configs that tell sizes, family by family, and the number of parameters that the publisher names.
TEST(ModelFamilies, HaveThePublishedNumbersOfParameters) {
  const fs::path folder = kFolder.parent_path() / "model_families";
  const int compared =
      compare_with_published(folder / "published.csv", [&](const std::string& name) { return folder / (name + ".json"); });
  EXPECT_GE(compared, 70);
}

TEST(ModelFamilies, AreKnownAndAllKeysUnderstood) {
  for (const fs::directory_entry& entry : fs::directory_iterator(kFolder.parent_path() / "model_families")) {
    if (entry.path().extension() != ".json") continue;
    const auto model = read_model(entry.path());
    ASSERT_TRUE(model) << core::format(model.error());
    for (const std::string& note : model->notes) {
      EXPECT_EQ(note.find("not known"), std::string::npos) << entry.path() << ": " << note;
      EXPECT_EQ(note.find("not understood"), std::string::npos) << entry.path() << ": " << note;
    }
  }
}

/// Real configs and the sizes that their publishers name, where both are at hand.
TEST(RealConfigs, HaveThePublishedNumbersOfParameters) {
  const fs::path folder = testing_support::source_folder() / ".." / "shared" / "data" / "hf_configs";
  if (!fs::exists(folder / "sizes.csv"))
    GTEST_SKIP() << "configs of other people, which do not ship: " << folder << "; ModelFamilies and ModelKinds hold what does";
  EXPECT_EQ(compare_with_published(folder / "sizes.csv", [&](const std::string& name) { return folder / name; }), 37);
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (!entry.is_directory()) continue;
    const auto model = read_model(entry.path());
    EXPECT_TRUE(model) << core::format(model.error());
  }
}

}  // namespace
}  // namespace rooftune::data
