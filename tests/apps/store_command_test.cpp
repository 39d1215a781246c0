#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "command_line.hpp"
#include "store_files.hpp"

namespace rooftune::testing_support {
namespace {

using testing::HasSubstr;

class StoreCommand : public TemporaryFolderTest {
 protected:
  std::string study_ = folder_.write("study.yaml", small_study("['64', '62', '66']")).string();

  [[nodiscard]] std::string path(const std::string& name) const { return (folder_ / name).string(); }
  [[nodiscard]] std::string store(int shard) const { return path("shard" + std::to_string(shard) + "/journal.sqlite"); }

  ProgramResult compute_shard(int shard, int of) const {
    return rooftune({"crossval", study_, "--repeats", "2", "--shard", std::to_string(shard) + "/" + std::to_string(of), "--out",
                     path("shard" + std::to_string(shard))});
  }
  [[nodiscard]] ProgramResult merge(const std::vector<std::string>& stores) const {
    std::vector<std::string> arguments{"store", "merge"};
    arguments.insert(arguments.end(), stores.begin(), stores.end());
    arguments.insert(arguments.end(), {"--into", path("all.sqlite")});
    return rooftune(arguments);
  }
};

TEST_F(StoreCommand, ShardsThatAreMergedHoldAllThatTheWholeNeeds) {
  for (int shard = 1; shard <= 3; ++shard) {
    const ProgramResult result = compute_shard(shard, 3);
    ASSERT_EQ(result.exit_code, 0) << result;
    EXPECT_THAT(result.output, HasSubstr("evaluations   " + store(shard)));
  }
  const ProgramResult merged = merge({store(1), store(2), store(3)});
  ASSERT_EQ(merged.exit_code, 0) << merged;
  EXPECT_EQ(integrity(path("all.sqlite")), "ok");
  const auto whole = [&](const std::string& out, std::vector<std::string> more) {
    std::vector<std::string> arguments{"crossval", study_, "--repeats", "2", "--out", path(out)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return rooftune(arguments);
  };
  const ProgramResult from_shards = whole("from_shards", {"--store", path("all.sqlite")});
  ASSERT_EQ(from_shards.exit_code, 0) << from_shards;
  EXPECT_THAT(from_shards.output, HasSubstr(" taken from the store, 0 computed"));
  ASSERT_EQ(whole("whole", {}).exit_code, 0);
  for (const char* file : {"result.json", "evaluation.json"})
    EXPECT_EQ(folder_.read(std::string("from_shards/") + file), folder_.read(std::string("whole/") + file)) << file;
  const ProgramResult again = merge({store(2)});
  EXPECT_THAT(again.output, HasSubstr(" evaluations, 0 of them new\n0 evaluations added")) << again;
}

TEST_F(StoreCommand, KnowsWhichPartsThereAre) {
  for (const char* part : {"0/3", "4/3", "1", "1/3x", "/3", "-1/3"}) {
    const ProgramResult result = rooftune({"crossval", study_, std::string("--shard=") + part});
    EXPECT_EQ(result.exit_code, 1) << part;
    EXPECT_THAT(result.errors, HasSubstr("is no part (give e.g. 2/8: 1/8 to 8/8)")) << part;
  }
}

TEST_F(StoreCommand, RefusesWhatIsNoStoreAndChangesNothing) {
  ASSERT_EQ(compute_shard(1, 2).exit_code, 0);
  const std::string text = folder_.write("notes.txt", std::string(4096, 'x')).string();
  SQLite::Database(path("foreign.sqlite"), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE).exec("CREATE TABLE other (a)");
  const ProgramResult result = merge({store(1), text, path("foreign.sqlite"), path("missing.sqlite")});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.errors, HasSubstr(text + ": error: cannot be used as an evaluation store"));
  EXPECT_THAT(result.errors,
              HasSubstr("foreign.sqlite: error: cannot be used as an evaluation store: it is a database of another kind"));
  EXPECT_THAT(result.errors, HasSubstr("missing.sqlite: error: "));
  EXPECT_FALSE(std::filesystem::exists(path("all.sqlite")));
  const ProgramResult itself = rooftune({"store", "merge", store(1), "--into", store(1)});
  EXPECT_EQ(itself.exit_code, 1);
  EXPECT_THAT(itself.errors, HasSubstr("it is the store that the others are to be merged into (leave it out of the list)"));
}

TEST_F(StoreCommand, LeavesOutDamagedRowsAndCountsThem) {
  ASSERT_EQ(compute_shard(1, 2).exit_code, 0);
  const int rows = stored_evaluations(store(1));
  SQLite::Database(store(1), SQLite::OPEN_READWRITE)
      .exec(
          "UPDATE evaluations SET numbers = zeroblob(8) WHERE point = (SELECT point FROM evaluations LIMIT 1) AND request = (SELECT "
          "request FROM evaluations LIMIT 1) AND problem = (SELECT problem FROM evaluations LIMIT 1)");
  const ProgramResult result = merge({store(1)});
  ASSERT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.errors, HasSubstr("warning: 1 evaluations in the store are damaged and were left out"));
  EXPECT_EQ(stored_evaluations(path("all.sqlite")), rows - 1);
}

}  // namespace
}  // namespace rooftune::testing_support
