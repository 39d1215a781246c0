#include "rooftune/text/folder_lock.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "support/temporary_folder.hpp"

namespace rooftune::text {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using FolderLockFile = testing_support::TemporaryFolderTest;

TEST_F(FolderLockFile, LetsOneInAndSaysWhoItIs) {
  const auto first = FolderLock::acquire(folder_ / "run");
  ASSERT_TRUE(first) << core::format(first.error());
  EXPECT_THAT(folder_.names(), ElementsAre(".run.lock"));
  const auto second = FolderLock::acquire(folder_ / "run/");
  ASSERT_FALSE(second);
  EXPECT_THAT(core::format(second.error()),
              AllOf(HasSubstr("run/: error: the run folder is in use by process " + std::to_string(::getpid()) + " on '"),
                    HasSubstr("wait for it, end it, or choose another --out")));
  EXPECT_TRUE(FolderLock::acquire(folder_ / "another"));
}

TEST_F(FolderLockFile, LeavesNothingBehind) {
  { ASSERT_TRUE(FolderLock::acquire(folder_ / "deep" / "run")); }
  EXPECT_THAT(folder_.names(), ElementsAre("deep"));
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "deep"));
}

TEST_F(FolderLockFile, IsTakenOverFromAProcessThatWasKilled) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto lock = FolderLock::acquire(folder_ / "run");
    ::kill(::getpid(), SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  EXPECT_THAT(folder_.names(), ElementsAre(".run.lock")) << "its file is still there";
  EXPECT_TRUE(FolderLock::acquire(folder_ / "run"));
  EXPECT_THAT(folder_.names(), IsEmpty());
}

TEST_F(FolderLockFile, IsTheSameUnderALinkToTheFolder) {
  std::filesystem::create_directory(folder_ / "run");
  std::filesystem::create_symlink("run", folder_ / "link");
  const auto first = FolderLock::acquire(folder_ / "run");
  EXPECT_FALSE(FolderLock::acquire(folder_ / "link"));
}

TEST_F(FolderLockFile, DoesNotFollowALinkInItsPlace) {
  folder_.write("victim", "content");
  std::filesystem::create_symlink("victim", folder_ / ".run.lock");
  EXPECT_FALSE(FolderLock::acquire(folder_ / "run"));
  EXPECT_EQ(folder_.read("victim"), "content");
}

TEST(FolderOwner, IsReadAsItWasWritten) {
  const FolderOwner owner{.host = "h", .process = 12, .since = "2026-01-01T00:00:00Z", .system = "boot pid:[1]", .began = "345"};
  const FolderOwner again = parse_owner(owner_text(owner));
  EXPECT_EQ(again.host, "h");
  EXPECT_EQ(again.process, 12);
  EXPECT_EQ(again.since, owner.since);
  EXPECT_EQ(again.system, owner.system);
  EXPECT_EQ(again.began, owner.began);
}

TEST(FolderOwner, OfAnotherSystemMayBeRunning) {
  EXPECT_TRUE(may_be_running({.host = "h", .process = 12, .since = "", .system = "another boot", .began = "345"}));
  EXPECT_FALSE(may_be_running(parse_owner("no owner at all")));
}

}  // namespace
}  // namespace rooftune::text
