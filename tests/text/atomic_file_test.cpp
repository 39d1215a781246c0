#include "rooftune/text/atomic_file.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include "place_together.hpp"

namespace rooftune::text {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
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

TEST_F(AtomicFile, WritesFilesOfOneResultTogether) {
  ASSERT_TRUE(write_file_atomically(folder_ / "a.csv", "old"));
  ASSERT_EQ(::chmod((folder_ / "a.csv").c_str(), 0600), 0);
  ASSERT_TRUE(write_file_atomically(folder_ / "behind.csv", "old"));
  fs::create_symlink("behind.csv", folder_ / "link.csv");
  const std::vector<NewFile> files{{folder_ / "a.csv", "1"}, {folder_ / "new.csv", "2"}, {folder_ / "link.csv", "3"}};
  const auto written = write_files_together(files);
  ASSERT_TRUE(written) << error_of(written);
  EXPECT_EQ(text_of(folder_ / "a.csv") + text_of(folder_ / "new.csv") + text_of(folder_ / "behind.csv"), "123");
  EXPECT_EQ(fs::status(folder_ / "a.csv").permissions(), fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_TRUE(fs::is_symlink(folder_ / "link.csv"));
  EXPECT_THAT(names_in(folder_), ElementsAre("a.csv", "behind.csv", "link.csv", "new.csv"));
}

TEST_F(AtomicFile, WritesNoneOfThemWhereOneCannotBe) {
  ASSERT_TRUE(write_file_atomically(folder_ / "a.csv", "old"));
  for (const fs::path& other : {folder_ / "missing" / "b.csv", folder_, fs::path("/dev/full")}) {
    const std::vector<NewFile> files{{folder_ / "a.csv", "new"}, {folder_ / "new.csv", "new"}, {other, "new"}};
    EXPECT_THAT(error_of(write_files_together(files)), HasSubstr(other.string() + ": error: "));
    EXPECT_EQ(text_of(folder_ / "a.csv"), "old");
    EXPECT_THAT(names_in(folder_), ElementsAre("a.csv"));
  }
}

TEST_F(AtomicFile, TakesBackWhatWasPlacedBeforeWhatCannotBe) {
  ASSERT_TRUE(write_file_atomically(folder_ / "a.csv", "old"));
  ASSERT_TRUE(write_file_atomically(folder_ / "a.staged", "new"));
  ASSERT_TRUE(write_file_atomically(folder_ / "b.staged", "new"));
  const auto placement = [&](const std::string& name, const fs::path& target) {
    struct stat status {};
    EXPECT_EQ(::lstat((folder_ / name).c_str(), &status), 0);
    return Placement{.staged = (folder_ / name).string(),
                     .target = target.string(),
                     .old = (folder_ / (name + "-old")).string(),
                     .device = status.st_dev,
                     .inode = status.st_ino};
  };
  const std::vector<Placement> placements{placement("a.staged", folder_ / "a.csv"),
                                          placement("b.staged", folder_ / "vanished" / "b.csv")};
  EXPECT_EQ(place_together(placements), std::errc::no_such_file_or_directory);
  EXPECT_EQ(text_of(folder_ / "a.csv"), "old");
  EXPECT_THAT(names_in(folder_), ElementsAre("a.csv"));
}

TEST_F(AtomicFile, RefusesTwoResultsForOneFile) {
  ASSERT_TRUE(write_file_atomically(folder_ / "a.csv", "old"));
  fs::create_symlink("a.csv", folder_ / "link.csv");
  for (const auto& [one, other] : {std::pair{"a.csv", "link.csv"}, std::pair{"new.csv", "./new.csv"}}) {
    const std::vector<NewFile> files{{folder_ / one, "1"}, {folder_ / other, "2"}};
    EXPECT_THAT(error_of(write_files_together(files)), HasSubstr("error: two results would go into this file (name a file for each)"));
  }
  EXPECT_EQ(text_of(folder_ / "a.csv"), "old");
}

mode_t mode_of(const fs::path& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 ? status.st_mode : 0;
}

TEST_F(AtomicFile, KeepsTheModeOfWhatItReplaces) {
  const fs::path path = folder_ / "secret.txt";
  ASSERT_TRUE(write_file_atomically(path, "old"));
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  ASSERT_TRUE(write_file_atomically(path, "new"));
  EXPECT_EQ(mode_of(path), static_cast<mode_t>(S_IFREG | 0600));
  EXPECT_EQ(text_of(path), "new");
}

TEST_F(AtomicFile, WritesWhatALinkLeadsToAndLeavesTheLink) {
  ASSERT_TRUE(write_file_atomically(folder_ / "file", "old"));
  fs::create_symlink("file", folder_ / "link");
  fs::create_symlink("link", folder_ / "link_to_link");
  ASSERT_TRUE(write_file_atomically(folder_ / "link_to_link", "new"));
  EXPECT_EQ(text_of(folder_ / "file"), "new");
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
  EXPECT_TRUE(fs::is_symlink(folder_ / "link_to_link"));
  fs::create_symlink("not_yet", folder_ / "dangling");
  ASSERT_TRUE(write_file_atomically(folder_ / "dangling", "made"));
  EXPECT_EQ(text_of(folder_ / "not_yet"), "made");
  fs::create_symlink("circle", folder_ / "circle");
  EXPECT_THAT(error_of(write_file_atomically(folder_ / "circle", "")),
              HasSubstr("cannot be written: Too many levels of symbolic links"));
}

TEST_F(AtomicFile, WritesThroughDevicesAndPipes) {
  ASSERT_TRUE(write_file_atomically("/dev/null", "gone"));
  EXPECT_TRUE(S_ISCHR(mode_of("/dev/null")));
  EXPECT_THAT(error_of(write_file_atomically("/dev/full", "too much")),
              HasSubstr("/dev/full: error: cannot be written: No space left"));
  const fs::path pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::string received;
  std::thread reader([&] { received = text_of(pipe); });
  ASSERT_TRUE(write_file_atomically(pipe, std::string(200'000, 'x')));
  reader.join();
  EXPECT_EQ(received, std::string(200'000, 'x')) << "more than the pipe holds at once";
  EXPECT_TRUE(S_ISFIFO(mode_of(pipe)));
  EXPECT_THAT(names_in(folder_), ElementsAre("pipe"));
}

TEST_F(AtomicFile, IsAnErrorWhereTheReaderOfAPipeEndsEarly) {
  const fs::path pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::thread reader([&] {
    const int descriptor = ::open(pipe.c_str(), O_RDONLY);
    char first = 0;
    EXPECT_EQ(::read(descriptor, &first, 1), 1);
    ::close(descriptor);
  });
  EXPECT_THAT(error_of(write_file_atomically(pipe, std::string(4 << 20, 'x'))), HasSubstr("Broken pipe")) << "more than a pipe holds";
  reader.join();
}

TEST_F(AtomicFile, DoesNotWaitForEverForAReader) {
  const fs::path pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(error_of(write_file_atomically(pipe, "x")),
              HasSubstr("nobody read this pipe for 5 s (start its reader first, or name a file)"));
}

TEST_F(AtomicFile, RefusesToPartHardLinks) {
  ASSERT_TRUE(write_file_atomically(folder_ / "a", "old"));
  fs::create_hard_link(folder_ / "a", folder_ / "b");
  EXPECT_THAT(error_of(write_file_atomically(folder_ / "a", "new")), HasSubstr("the file has 2 names (hard links)"));
  EXPECT_EQ(text_of(folder_ / "b"), "old");
}

TEST_F(AtomicFile, FollowsNoLinkThatAnotherUserPutIntoASharedFolder) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can make another user's link";
  const fs::path shared = folder_ / "shared";
  fs::create_directory(shared);
  ASSERT_EQ(::chmod(shared.c_str(), 01777), 0);
  ASSERT_TRUE(write_file_atomically(folder_ / "mine", "mine"));
  fs::create_symlink(folder_ / "mine", shared / "planted");
  ASSERT_EQ(::lchown((shared / "planted").c_str(), 12345, 12345), 0);
  EXPECT_THAT(error_of(write_file_atomically(shared / "planted", "theirs")),
              HasSubstr("is a link that another user put into a folder"));
  EXPECT_EQ(text_of(folder_ / "mine"), "mine");
}

TEST_F(AtomicFile, SweepsWhatKilledProcessesLeftButNotWhatIsInUse) {
  std::ofstream(folder_ / ".a.txt.partial-0123456789abcdef") << "half";
  std::ofstream(folder_ / ".a.txt.partial-in-use") << "half";
  const int held = ::open((folder_ / ".a.txt.partial-in-use").c_str(), O_RDONLY);
  ASSERT_EQ(::flock(held, LOCK_EX | LOCK_NB), 0) << "as the process that is writing it";
  fs::create_symlink("elsewhere", folder_ / ".a.txt.partial-planted");
  ASSERT_TRUE(write_file_atomically(folder_ / "a.txt", "whole"));
  EXPECT_THAT(names_in(folder_), ElementsAre(".a.txt.partial-in-use", ".a.txt.partial-planted", "a.txt"));
  ::close(held);
}

using StagedFolderTest = AtomicFile;

TEST_F(StagedFolderTest, KeepsTheModeOfTheFolderAndALinkToIt) {
  fs::create_directory(folder_ / "real");
  ASSERT_EQ(::chmod((folder_ / "real").c_str(), 0700), 0);
  fs::create_symlink("real", folder_ / "run");
  auto staged = StagedFolder::open(folder_ / "run", ExistingFolder::resume);
  ASSERT_TRUE(staged);
  ASSERT_TRUE(staged->write("a", "a"));
  ASSERT_TRUE(staged->commit());
  EXPECT_EQ(mode_of(folder_ / "real"), static_cast<mode_t>(S_IFDIR | 0700));
  EXPECT_TRUE(fs::is_symlink(folder_ / "run"));
  EXPECT_EQ(text_of(folder_ / "run" / "a"), "a");
  EXPECT_THAT(names_in(folder_), ElementsAre("real", "run"));
}

TEST_F(StagedFolderTest, WritesNoFileOutsideThroughALinkInAResumedFolder) {
  fs::create_directory(folder_ / "run");
  ASSERT_TRUE(write_file_atomically(folder_ / "outside", "outside"));
  fs::create_symlink(folder_ / "outside", folder_ / "run" / "tuned.json");
  auto staged = StagedFolder::open(folder_ / "run", ExistingFolder::resume);
  ASSERT_TRUE(staged);
  ASSERT_TRUE(staged->write("tuned.json", "new"));
  ASSERT_TRUE(staged->commit());
  EXPECT_EQ(text_of(folder_ / "outside"), "outside");
  EXPECT_EQ(text_of(folder_ / "run" / "tuned.json"), "new");
}

TEST_F(StagedFolderTest, IsPutBackWhereAnExchangeInTwoStepsWasBrokenOff) {
  fs::create_directory(folder_ / ".run.before-0123456789abcdef");
  ASSERT_TRUE(write_file_atomically(folder_ / ".run.before-0123456789abcdef" / "result", "old"));
  ASSERT_TRUE(check_target_folder(folder_ / "run", ExistingFolder::resume));
  EXPECT_EQ(text_of(folder_ / "run" / "result"), "old");
}

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
            folder_.string() + ": error: the folder exists and is not empty (choose another --out)\n");
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
