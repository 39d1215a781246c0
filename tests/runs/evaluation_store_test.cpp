#include "rooftune/runs/evaluation_store.hpp"

#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
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

}  // namespace
}  // namespace rooftune::runs
