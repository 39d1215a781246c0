#include "rooftune/ranks/dealer.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "rooftune/core/packing.hpp"
#include "rooftune/core/random.hpp"

namespace rooftune::ranks {
namespace {

struct Task {
  std::size_t map = 0;
  std::size_t index = 0;
  bool is_first = false;
};

Task task_in(const Dealer::Message& message) {
  core::Unpacker unpacker(message.bytes);
  Kind kind{};
  Task task;
  unpacker(kind, task.map, task.index, task.is_first);
  EXPECT_EQ(kind, Kind::task);
  return task;
}

TEST(Dealer, HandsOutEveryIndexOnceWhateverTheOrderOfWants) {
  core::RandomEngine random = core::make_stream({.seed = 1, .experiment_id = "dealer", .purpose = core::StreamPurpose::noise});
  for (int round = 0; round < 200; ++round) {
    const int ranks = 1 + static_cast<int>(random() % 5);
    const std::size_t count = random() % 20;
    Dealer dealer(ranks + 1);
    std::multiset<std::size_t> handed_out;
    std::map<int, int> firsts;
    std::vector<Task> open;
    const auto note = [&](const Dealer::Message& message) {
      open.push_back(task_in(message));
      handed_out.insert(open.back().index);
      firsts[message.to] += open.back().is_first ? 1 : 0;
    };
    for (int rank = 1; rank <= ranks; ++rank) EXPECT_FALSE(dealer.want(rank));
    for (const Dealer::Message& message : dealer.open("map", "context", count)) note(message);
    while (!dealer.is_complete()) {
      if (random() % 3 == 0) {
        if (const auto index = dealer.next()) {
          handed_out.insert(*index);
          EXPECT_TRUE(dealer.accept(dealer.map(), *index));
        }
        continue;
      }
      if (open.empty()) continue;
      const std::size_t which = random() % open.size();
      const Task done = open[which];
      open.erase(open.begin() + static_cast<std::ptrdiff_t>(which));
      EXPECT_TRUE(dealer.accept(done.map, done.index));
      if (const auto next = dealer.want(1 + static_cast<int>(random() % static_cast<unsigned>(ranks)))) note(*next);
    }
    EXPECT_EQ(handed_out.size(), count);
    EXPECT_EQ(std::set(handed_out.begin(), handed_out.end()).size(), count);
    for (const auto& [rank, times] : firsts) EXPECT_EQ(times, 1) << "rank " << rank << " got the context so often";
  }
}

TEST(Dealer, TakesNoResultTwiceAndNoneOfAnEarlierMap) {
  Dealer dealer(2);
  static_cast<void>(dealer.open("first", "", 2));
  const std::size_t first = dealer.map();
  EXPECT_EQ(dealer.next(), 0u);
  EXPECT_TRUE(dealer.accept(first, 0));
  EXPECT_FALSE(dealer.accept(first, 0));
  EXPECT_FALSE(dealer.accept(first, 7));
  dealer.close();
  static_cast<void>(dealer.open("second", "", 2));
  EXPECT_FALSE(dealer.accept(first, 1));
}

TEST(Dealer, TakesBackWhatNobodyHasDelivered) {
  Dealer dealer(2);
  static_cast<void>(dealer.want(1));
  EXPECT_EQ(dealer.open("map", "", 4).size(), 1u);  // index 0 to rank 1
  EXPECT_EQ(dealer.next(), 1u);
  EXPECT_TRUE(dealer.accept(dealer.map(), 1));
  EXPECT_EQ(dealer.take_back(), (std::vector<std::size_t>{0, 2, 3}));
  EXPECT_TRUE(dealer.is_complete());
  EXPECT_FALSE(dealer.accept(dealer.map(), 0));
}

}  // namespace
}  // namespace rooftune::ranks
