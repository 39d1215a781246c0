#include "rooftune/text/atomic_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

namespace rooftune::text {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

class AtomicFile : public testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        fs::path(testing::TempDir()) / ("rooftune_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  [[nodiscard]] static std::string text_of(const fs::path& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  [[nodiscard]] static std::set<std::string> names_in(const fs::path& folder) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
    return names;
  }
  [[nodiscard]] static std::string error_of(const core::Result<void>& result) { return result ? "" : core::format(result.error()); }

  fs::path folder_;
};

TEST_F(AtomicFile, ReplacesTheFileAndLeavesNothingElse) {
  const fs::path path = folder_ / "a.txt";
  ASSERT_TRUE(write_file_atomically(path, "old"));
  ASSERT_TRUE(write_file_atomically(path, "new\n"));
  EXPECT_EQ(text_of(path), "new\n");
  EXPECT_THAT(names_in(folder_), ElementsAre("a.txt"));
}

TEST_F(AtomicFile, NamesTheFileAndTheReasonWhenItCannotWrite) {
  const fs::path path = folder_ / "missing" / "a.txt";
  EXPECT_EQ(
      error_of(write_file_atomically(path, "")),
      path.string() + ": error: cannot be written: No such file or directory (check the path, its permissions and the free space)\n");
  EXPECT_THAT(names_in(folder_), IsEmpty());
}

TEST_F(AtomicFile, RefusesToReplaceAFolder) {
  EXPECT_EQ(error_of(write_file_atomically(folder_, "")),
            folder_.string() + ": error: is a folder, not a file (name a file to write)\n");
}

using StagedFolderTest = AtomicFile;

TEST_F(StagedFolderTest, AppearsOnlyOnCommitTogetherWithItsParents) {
  const fs::path target = folder_ / "runs" / "first";
  auto staged = StagedFolder::open(target, ExistingFolder::refuse);
  ASSERT_TRUE(staged);
  ASSERT_TRUE(staged->write("a.txt", "a"));
  EXPECT_FALSE(fs::exists(target));
  ASSERT_TRUE(staged->commit());
  EXPECT_EQ(text_of(target / "a.txt"), "a");
  EXPECT_THAT(names_in(folder_ / "runs"), ElementsAre("first"));
}

TEST_F(StagedFolderTest, VanishesWithoutCommit) {
  {
    auto staged = StagedFolder::open(folder_ / "run", ExistingFolder::refuse);
    ASSERT_TRUE(staged);
    ASSERT_TRUE(staged->write("a.txt", "a"));
  }
  EXPECT_THAT(names_in(folder_), IsEmpty());
}

TEST_F(StagedFolderTest, AcceptsAnEmptyTargetAndATrailingSlash) {
  fs::create_directory(folder_ / "run");
  auto staged = StagedFolder::open(folder_ / "run/", ExistingFolder::refuse);
  ASSERT_TRUE(staged);
  ASSERT_TRUE(staged->write("a.txt", "a"));
  ASSERT_TRUE(staged->commit());
  EXPECT_THAT(names_in(folder_ / "run"), ElementsAre("a.txt"));
}

TEST_F(StagedFolderTest, RefusesATargetThatHoldsSomething) {
  ASSERT_TRUE(write_file_atomically(folder_ / "a.txt", "a"));
  EXPECT_EQ(error_of(check_target_folder(folder_, ExistingFolder::refuse)),
            folder_.string() +
                ": error: the folder exists and is not empty (choose another --out, or continue what was begun there with "
                "--resume)\n");
  EXPECT_FALSE(StagedFolder::open(folder_, ExistingFolder::refuse));
}

TEST_F(StagedFolderTest, RefusesATargetThatIsAFile) {
  ASSERT_TRUE(write_file_atomically(folder_ / "run", "a"));
  EXPECT_EQ(error_of(check_target_folder(folder_ / "run", ExistingFolder::resume)),
            (folder_ / "run").string() + ": error: exists and is not a folder (choose another --out)\n");
}

TEST_F(StagedFolderTest, ResumingKeepsWhatIsNotWrittenAgain) {
  const fs::path target = folder_ / "run";
  fs::create_directory(target);
  ASSERT_TRUE(write_file_atomically(target / "journal", "kept"));
  ASSERT_TRUE(write_file_atomically(target / "result", "old"));
  auto staged = StagedFolder::open(target, ExistingFolder::resume);
  ASSERT_TRUE(staged);
  ASSERT_TRUE(staged->write("result", "new"));
  EXPECT_EQ(text_of(target / "result"), "old");
  ASSERT_TRUE(staged->commit());
  EXPECT_EQ(text_of(target / "result"), "new");
  EXPECT_EQ(text_of(target / "journal"), "kept");
  EXPECT_THAT(names_in(folder_), ElementsAre("run"));
}

TEST_F(StagedFolderTest, DoesNotOverwriteAFolderThatAppearedMeanwhile) {
  const fs::path target = folder_ / "run";
  auto staged = StagedFolder::open(target, ExistingFolder::refuse);
  ASSERT_TRUE(staged);
  fs::create_directory(target);
  ASSERT_TRUE(write_file_atomically(target / "theirs", "theirs"));
  EXPECT_FALSE(staged->commit());
  EXPECT_EQ(text_of(target / "theirs"), "theirs");
}

}  // namespace
}  // namespace rooftune::text
