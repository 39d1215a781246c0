#include "rooftune/runs/run_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>

#include "rooftune/core/hash.hpp"
#include "rooftune/text/document.hpp"

namespace rooftune::runs {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

RunManifest manifest() {
  RunManifest manifest;
  manifest.command = "fit";
  manifest.arguments = {"fit", "a study.yaml", "--seed", "12345678901234567890", ""};
  manifest.inputs = {{"a study.yaml", std::string(64, 'a')}, {"ground_truth.json", std::string(64, 'b')}};
  manifest.versions = {{"rooftune", "0.1.0"}, {"ceres", "2.1.0"}};
  manifest.simulator_identity = "0123456789abcdef";
  manifest.seed = 12345678901234567890U;
  manifest.threads = 2;
  manifest.replicates = 3;
  manifest.limited_by_time = true;
  manifest.state = RunState::finished;
  return manifest;
}

class RunFolder : public testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        fs::path(testing::TempDir()) / ("rooftune_run_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  [[nodiscard]] static std::set<std::string> names_in(const fs::path& folder) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
    return names;
  }

  fs::path folder_;
};

TEST_F(RunFolder, HoldsWhatTheCommandProduced) {
  RunFiles files;
  files.manifest = manifest();
  files.study_yaml = "name: x\n";
  files.tuned_json = "{}\n";
  ASSERT_TRUE(write_run_folder(folder_ / "run", text::ExistingFolder::refuse, files));
  EXPECT_THAT(names_in(folder_ / "run"), ElementsAre("manifest.json", "study.yaml", "tuned.json"));
  EXPECT_EQ(text::read_text(folder_ / "run" / kStudyName), "name: x\n");
}

TEST_F(RunFolder, ManifestReadsBackEqual) {
  ASSERT_TRUE(write_run_folder(folder_ / "run", text::ExistingFolder::refuse, {.manifest = manifest()}));
  const auto back = read_manifest(folder_ / "run");
  ASSERT_TRUE(back) << core::format(back.error());
  EXPECT_EQ(*back, manifest());
}

TEST_F(RunFolder, IsNotOverwrittenSilently) {
  ASSERT_TRUE(write_run_folder(folder_ / "run", text::ExistingFolder::refuse, {.manifest = manifest()}));
  const auto again = write_run_folder(folder_ / "run", text::ExistingFolder::refuse, {.manifest = manifest()});
  ASSERT_FALSE(again);
  EXPECT_THAT(core::format(again.error()), HasSubstr("the folder exists and is not empty"));
  EXPECT_TRUE(write_run_folder(folder_ / "run", text::ExistingFolder::resume, {.manifest = manifest()}));
}

TEST_F(RunFolder, HashesEveryFileOfAnInputFolderInTheOrderOfNames) {
  fs::create_directories(folder_ / "models" / "b");
  ASSERT_TRUE(text::write_file_atomically(folder_ / "models" / "b" / "config.json", "b"));
  ASSERT_TRUE(text::write_file_atomically(folder_ / "models" / "a.yaml", "a"));
  const auto inputs = hash_input(folder_ / "models");
  ASSERT_TRUE(inputs);
  EXPECT_THAT(*inputs, ElementsAre(InputFile{(folder_ / "models/a.yaml").string(), core::sha256_hex("a")},
                                   InputFile{(folder_ / "models/b/config.json").string(), core::sha256_hex("b")}));
}

TEST_F(RunFolder, SaysWhichInputIsMissing) {
  const auto inputs = hash_input(folder_ / "nowhere.json");
  ASSERT_FALSE(inputs);
  EXPECT_THAT(core::format(inputs.error()), HasSubstr("nowhere.json: error: "));
}

TEST(RunManifest, ContinuesItself) { EXPECT_THAT(check_continues(manifest(), manifest(), "run"), IsEmpty()); }

TEST(RunManifest, MayContinueWithOtherThreadsAndArguments) {
  RunManifest now = manifest();
  now.threads = 8;
  now.arguments.emplace_back("--resume");
  now.state = RunState::begun;
  EXPECT_THAT(check_continues(manifest(), now, "run"), IsEmpty());
}

TEST(RunManifest, NamesEverythingThatKeepsARunFromContinuing) {
  RunManifest now = manifest();
  now.command = "compare";
  now.seed = 1;
  now.replicates = 7;
  now.simulator_identity = "other";
  now.inputs = {{"a study.yaml", std::string(64, 'c')}, {"new.json", std::string(64, 'd')}};
  EXPECT_EQ(
      core::format(check_continues(manifest(), now, "run")),
      "run/manifest.json: error: the run was begun as 'fit', not 'compare' (undo that, or start afresh with another --out)\n"
      "run/manifest.json: error: the run was begun with seed 12345678901234567890, not 1 (undo that, or start afresh with another "
      "--out)\n"
      "run/manifest.json: error: the run was begun with 3 replicates, not 7 (undo that, or start afresh with another --out)\n"
      "run/manifest.json: error: the run was begun with a simulator that predicts differently (undo that, or start afresh with "
      "another "
      "--out)\n"
      "run/manifest.json: error: the input 'a study.yaml' has changed since the run was begun (undo that, or start afresh with "
      "another "
      "--out)\n"
      "run/manifest.json: error: the run was begun with the input 'ground_truth.json', which is no longer used (undo that, or start "
      "afresh with another --out)\n"
      "run/manifest.json: error: the run was begun without the input 'new.json' (undo that, or start afresh with another --out)\n");
}

}  // namespace
}  // namespace rooftune::runs
