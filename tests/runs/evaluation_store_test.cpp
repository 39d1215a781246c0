#include "rooftune/runs/evaluation_store.hpp"

#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <thread>

#include "support/temporary_folder.hpp"

namespace rooftune::runs {
namespace {

using calibrate::EvaluationKey;
using calibrate::EvaluationStore;
using calibrate::StoredEvaluation;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::vector<double> kPoint{0.1, -0.0};

EvaluationKey key(std::string_view problem = "p", std::string_view request = "residuals", std::span<const double> point = kPoint) {
  return {.problem = problem, .request = request, .point = point};
}

std::vector<std::uint64_t> bits(const std::vector<double>& numbers) {
  std::vector<std::uint64_t> result;
  for (const double number : numbers) result.push_back(std::bit_cast<std::uint64_t>(number));
  return result;
}

class EvaluationStoreFile : public testing_support::TemporaryFolderTest {
 protected:
  [[nodiscard]] std::unique_ptr<EvaluationStore> open() const {
    auto store = open_evaluation_store(file());
    if (!store) throw std::runtime_error(core::format(store.error()));
    return *std::move(store);
  }
  [[nodiscard]] std::filesystem::path file() const { return folder_ / "journal.sqlite"; }
};

TEST_F(EvaluationStoreFile, KeepsNumbersToTheLastBit) {
  const std::vector<double> numbers{0.1, -0.0, std::nextafter(1.0, 2.0), std::numeric_limits<double>::denorm_min(),
                                    std::bit_cast<double>(std::uint64_t{0x7ff8000000000123})};
  open()->append(key(), {.numbers = numbers});
  const auto found = open()->find(key());
  ASSERT_TRUE(found);
  EXPECT_EQ(bits(found->numbers), bits(numbers));
  EXPECT_EQ(found->refusal, std::nullopt);
}

TEST_F(EvaluationStoreFile, IsARegularFile) {
  ASSERT_EQ(::mkfifo(file().c_str(), 0600), 0);
  const auto expect_refused = [](const auto& store) {
    ASSERT_FALSE(store);
    EXPECT_THAT(core::format(store.error()), HasSubstr("it is no regular file (name another file"));
  };
  expect_refused(open_evaluation_store(file()));
  expect_refused(read_evaluation_store(file()));
}

TEST_F(EvaluationStoreFile, TakesInOtherStoresAllOrNothing) {
  const double no_number = std::numeric_limits<double>::quiet_NaN();
  const auto other = [&](const std::string& name, const std::vector<std::pair<std::string, StoredEvaluation>>& rows) {
    auto store = open_evaluation_store(folder_ / name);
    for (const auto& [problem, evaluation] : rows) (*store)->append(key(problem), evaluation);
    return folder_ / name;
  };
  const auto first = other("first", {{"a", {.numbers = {1.0, no_number}}}, {"b", {.refusal = "saturated"}}});
  const auto second = other("second", {{"a", {.numbers = {1.0, no_number}}}, {"c", {.numbers = {3.0}}}});
  const auto merged = merge_evaluation_stores({first, second}, file());
  ASSERT_TRUE(merged) << core::format(merged.error());
  ASSERT_EQ(merged->stores.size(), 2u);
  EXPECT_EQ(merged->stores[0].added, 2);
  EXPECT_EQ(merged->stores[1].evaluations, 2);
  EXPECT_EQ(merged->stores[1].added, 1);
  EXPECT_THAT(merged->warnings, IsEmpty());
  EXPECT_EQ(open()->find(key("b"))->refusal, "saturated");

  const auto contradicting = other("contradicting", {{"d", {.numbers = {4.0}}}, {"c", {.numbers = {3.5}}}});
  const auto refused = merge_evaluation_stores({contradicting}, file());
  ASSERT_FALSE(refused);
  EXPECT_THAT(core::format(refused.error()), HasSubstr("contradicting: its 'residuals' of problem c is another than"));
  EXPECT_FALSE(open()->find(key("d"))) << "nothing of it was kept";
  EXPECT_EQ(open()->find(key("c"))->numbers, (std::vector{3.0}));
}

TEST_F(EvaluationStoreFile, KeepsWhyThereAreNoNumbers) {
  open()->append(key(), {.refusal = "the engine is saturated"});
  const auto found = open()->find(key());
  ASSERT_TRUE(found);
  EXPECT_EQ(*found, (StoredEvaluation{.refusal = "the engine is saturated"}));
}

TEST_F(EvaluationStoreFile, TellsProblemsRequestsAndPointsApart) {
  const auto store = open();
  store->append(key(), {.numbers = {1.0}});
  store->flush();
  const std::vector<double> neighbour{std::nextafter(0.1, 1.0), -0.0};
  const std::vector<double> other_zero{0.1, 0.0};
  EXPECT_FALSE(store->find(key("another simulator")));
  EXPECT_FALSE(store->find(key("p", "jacobian")));
  EXPECT_FALSE(store->find(key("p", "residuals", neighbour)));
  EXPECT_FALSE(store->find(key("p", "residuals", other_zero)));
  EXPECT_TRUE(store->find(key()));
}

TEST_F(EvaluationStoreFile, FindsWhatIsNotYetWritten) {
  const auto store = open();
  store->append(key(), {.numbers = {1.0}});
  EXPECT_TRUE(store->find(key()));
}

TEST_F(EvaluationStoreFile, ReplacesNothing) {
  open()->append(key(), {.numbers = {1.0}});
  open()->append(key(), {.numbers = {2.0}});
  EXPECT_THAT(open()->find(key())->numbers, ElementsAre(1.0));
}

TEST_F(EvaluationStoreFile, IsSharedByWriters) {
  constexpr int kWriters = 3;
  constexpr int kEach = 40;
  {
    std::vector<std::jthread> writers;
    for (int writer = 0; writer < kWriters; ++writer) {
      writers.emplace_back([this, writer] {
        const auto store = open();
        for (int i = 0; i < kEach; ++i) {
          const std::vector<double> point{double(writer), double(i)};
          store->append(key("p", "residuals", point), {.numbers = {double(i)}});
          if (i % 4 == 0) store->flush();
        }
        EXPECT_THAT(store->problems(), IsEmpty());
      });
    }
  }
  const auto store = open();
  for (int writer = 0; writer < kWriters; ++writer) {
    for (int i = 0; i < kEach; ++i) {
      const std::vector<double> point{double(writer), double(i)};
      EXPECT_TRUE(store->find(key("p", "residuals", point))) << writer << ", " << i;
    }
  }
}

TEST_F(EvaluationStoreFile, IsIntactAfterItsUse) {
  open()->append(key(), {.numbers = {1.0}});
  EXPECT_THAT(folder_.names(), ElementsAre("journal.sqlite")) << "the log is back in the file";
  SQLite::Database database(file().string());
  EXPECT_EQ(database.execAndGet("PRAGMA integrity_check").getString(), "ok");
}

TEST_F(EvaluationStoreFile, IsOnlyReadInReplay) {
  open()->append(key(), {.numbers = {1.0}});
  {
    const auto replay = read_evaluation_store(file());
    ASSERT_TRUE(replay) << core::format(replay.error());
    EXPECT_TRUE((*replay)->find(key()));
    (*replay)->append(key("q"), {.numbers = {2.0}});
  }
  EXPECT_FALSE(open()->find(key("q")));
}

TEST_F(EvaluationStoreFile, RefusesWhatIsNoStore) {
  const auto refusal = [](const auto& store) { return store ? std::string("opened") : core::format(store.error()); };
  const auto text = folder_.write("notes.txt", "no database at all, but long enough to be read as the header of one, perhaps");
  EXPECT_THAT(refusal(open_evaluation_store(text)), HasSubstr("notes.txt: error: cannot be used as an evaluation store"));
  SQLite::Database(folder_ / "other.sqlite", SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE).exec("CREATE TABLE t (x)");
  EXPECT_THAT(refusal(open_evaluation_store(folder_ / "other.sqlite")), HasSubstr("a database of another kind"));
  EXPECT_THAT(refusal(read_evaluation_store(folder_ / "nowhere.sqlite")), HasSubstr("nowhere.sqlite: error: "));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "nowhere.sqlite"));
}

/// Changes to the file as a bad disk, or somebody, makes them.
class HostileStore : public EvaluationStoreFile {
 protected:
  void change(const std::string& sql) const { SQLite::Database(file().string(), SQLite::OPEN_READWRITE).exec(sql); }
  [[nodiscard]] std::string refusal() const {
    const auto store = open_evaluation_store(file());
    return store ? "opened" : core::format(store.error());
  }
};

TEST_F(HostileStore, ARowThatIsNotAsItWasWrittenIsComputedAgainAndCounted) {
  const std::vector<std::string> damages{
      "UPDATE evaluations SET numbers = x'0000000000000040'",  // another number
      "UPDATE evaluations SET numbers = x'00'",
      "UPDATE evaluations SET numbers = x''",
      "UPDATE evaluations SET numbers = 'text'",
      "UPDATE evaluations SET refusal = 'none was given'",
      "UPDATE evaluations SET checksum = ''",
      "UPDATE evaluations SET point = x'0000000000000040'",  // where it would be looked for
      "UPDATE evaluations SET request = 'jacobian'",
      "UPDATE evaluations SET request = x'ff00'",
      "UPDATE problems SET sha256 = 'q'",
      "DELETE FROM problems",
  };
  for (const std::string& damage : damages) {
    std::filesystem::remove(file());
    open()->append(key(), {.numbers = {1.0}});
    change(damage);
    {
      const auto store = open();
      EXPECT_FALSE(store->find(key())) << damage;
      store->append(key(), {.numbers = {1.0}});
      const std::string said = core::format(store->problems());
      EXPECT_THAT(said, HasSubstr("warning: 1 evaluations in the store are damaged and were computed again")) << damage;
    }
    const auto mended = open();
    ASSERT_TRUE(mended->find(key())) << damage;
    EXPECT_THAT(mended->find(key())->numbers, ElementsAre(1.0)) << damage;
    EXPECT_THAT(mended->problems(), IsEmpty()) << damage;
  }
}

TEST_F(HostileStore, ARowOfAnotherProblemAnswersNothing) {
  open()->append(key("q"), {.numbers = {1.0}});
  change("UPDATE problems SET sha256 = 'p'");
  EXPECT_FALSE(open()->find(key("p")));
}

TEST_F(HostileStore, NoFlippedBitGivesAnotherAnswer) {
  const std::vector<double> numbers{1.5, 2.0, -3.25};
  const auto make = [&] {
    std::filesystem::remove(file());
    open()->append(key(), {.numbers = numbers});
    return testing_support::TemporaryFolder::read_file(file());
  };
  const std::string whole = make();
  int found = 0;
  int refused = 0;
  for (std::size_t byte = 0; byte < whole.size(); byte += 17) {
    std::string changed = whole;
    changed[byte] = static_cast<char>(changed[byte] ^ (1 << (byte % 8)));
    folder_.write("journal.sqlite", changed);
    const auto store = open_evaluation_store(file());
    if (!store) {
      ++refused;
      continue;
    }
    if (const auto answer = (*store)->find(key())) {
      ++found;
      EXPECT_EQ(answer->numbers, numbers) << "byte " << byte;
    }
  }
  EXPECT_GT(found, 0);
  EXPECT_GT(refused, 0);
}

TEST_F(HostileStore, OfAnotherFormatIsRefusedWithTheWayOut) {
  open()->append(key(), {.numbers = {1.0}});
  change("PRAGMA user_version = 3");
  EXPECT_THAT(refusal(), testing::AllOf(HasSubstr("its format is 3, and this version of rooftune reads format 2"),
                                        HasSubstr("name another file")));
}

TEST_F(HostileStore, FromBeforeThereWereChecksumsIsComputedAgainAndKept) {
  {
    SQLite::Database old(file().string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    old.exec(
        "PRAGMA application_id = 1920230774; CREATE TABLE problems (id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE);"
        "CREATE TABLE evaluations (problem INTEGER NOT NULL REFERENCES problems(id), request TEXT NOT NULL, point BLOB NOT NULL,"
        " numbers BLOB NOT NULL, refusal TEXT, PRIMARY KEY (problem, request, point)) WITHOUT ROWID;"
        "INSERT INTO problems VALUES (1, 'p'); INSERT INTO evaluations VALUES (1, 'residuals', x'00', x'00', NULL);");
  }
  EXPECT_FALSE(read_evaluation_store(file())) << "nothing in it can be replayed";
  {
    const auto store = open();
    EXPECT_FALSE(store->find(key()));
    store->append(key(), {.numbers = {1.0}});
    EXPECT_THAT(core::format(store->problems()),
                HasSubstr("1 evaluations of an older version carry no checksums and were computed again"));
  }
  const auto store = open();
  EXPECT_TRUE(store->find(key()));
  EXPECT_THAT(store->problems(), IsEmpty());
  SQLite::Database database(file().string());
  EXPECT_EQ(database.execAndGet("SELECT count(*) FROM evaluations_without_checksums").getInt(), 1);
}

TEST_F(HostileStore, WithTriggersOrViewsIsRefused) {
  open()->append(key(), {.numbers = {1.0}});
  change("CREATE TRIGGER t AFTER INSERT ON problems BEGIN DELETE FROM evaluations; END");
  EXPECT_THAT(refusal(), HasSubstr("it holds views or triggers, which no rooftune makes"));
}

TEST_F(HostileStore, WithOtherColumnsIsRefused) {
  open()->append(key(), {.numbers = {1.0}});
  change("ALTER TABLE evaluations RENAME COLUMN numbers TO something");
  EXPECT_THAT(refusal(), HasSubstr("cannot be used as an evaluation store: no such column: numbers"));
}

/// As `report --watch` does, again and again.
TEST_F(HostileStore, GivesAReaderEachSoundEvaluationOnce) {
  std::set<std::string> seen;
  EXPECT_THAT(read_new_evaluations(file(), seen), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(file()));
  const auto store = open();
  store->append(key("a"), {.numbers = {1.0}});
  store->append(key("b"), {.refusal = "saturated"});
  store->flush();
  change("UPDATE evaluations SET checksum = 'other' WHERE refusal IS NOT NULL");
  const auto first = read_new_evaluations(file(), seen);
  ASSERT_EQ(first.size(), 1U) << "one is not as it was written";
  EXPECT_EQ(first[0].problem, "a");
  EXPECT_EQ(first[0].point, kPoint);
  EXPECT_EQ(first[0].evaluation, (StoredEvaluation{.numbers = {1.0}}));
  EXPECT_THAT(read_new_evaluations(file(), seen), IsEmpty());
  store->append(key("c"), {.refusal = "saturated"});
  store->flush();
  const auto later = read_new_evaluations(file(), seen);
  ASSERT_EQ(later.size(), 1U);
  EXPECT_EQ(later[0].evaluation.refusal, "saturated");
}

TEST(StoredEvaluation, HasTheObjectiveThatASearchSaw) {
  const opt::Loss squares;
  const auto objective = [&](std::vector<double> numbers) {
    return calibrate::objective_of({.numbers = std::move(numbers)}, squares);
  };
  EXPECT_EQ(objective({7.0, 0.0}), 7.0) << "a scalar";
  EXPECT_EQ(objective({7.0, 0.0, 0.5, 0.25}), 7.0) << "with its gradient";
  EXPECT_EQ(objective({0.0, 2.0, 3.0, 4.0}), 25.0) << "residuals";
  EXPECT_EQ(objective({0.0, 2.0, 3.0, 4.0, 1.0, 1.0}), 25.0) << "with their Jacobian";
  EXPECT_EQ(calibrate::objective_of({.refusal = "saturated"}, squares), std::nullopt);
  // Not what any search stores.
  for (const double count : {3.0, 1e300, -1.0, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_EQ(objective({0.0, count, 3.0, 4.0}), std::nullopt) << count;
  }
}

}  // namespace
}  // namespace rooftune::runs
