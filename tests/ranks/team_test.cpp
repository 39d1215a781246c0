#include "rooftune/ranks/team.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <numeric>
#include <thread>

#include "rooftune/core/packing.hpp"
#include "rooftune/ranks/dealer.hpp"
#include "support/local_ranks.hpp"

namespace rooftune::ranks {
namespace {

using testing::ElementsAre;

/// What a rank that serves does.
using Serve = std::function<void(Team& team, int rank)>;

/// Runs `lead` on rank 0 and `serve` on so many others; gives the warnings.
std::vector<std::string> with_ranks(int others, const std::function<void(Team&)>& lead, const Serve& serve) {
  testing_support::LocalNetwork network(others + 1);
  std::vector<std::string> warnings;
  std::vector<std::jthread> threads;
  for (int rank = 1; rank <= others; ++rank) {
    threads.emplace_back([&network, &serve, rank] {
      const auto team = make_team(network.transport(rank), {});
      serve(*team, rank);
    });
  }
  {
    const auto team =
        make_team(network.transport(0), {.warn = [&](const std::string& text) { warnings.push_back(text); }, .on_stop = {}});
    lead(*team);
  }
  return warnings;
}

double term(std::size_t i) { return std::sin(static_cast<double>(i)) / static_cast<double>(i + 1); }

const core::RankedMap kMap{.name = "terms", .count = 500, .threads = {1}};

TEST(Team, GivesTheSameBitsForAnyNumberOfRanksAndThreads) {
  std::vector<double> alone;
  for (std::size_t i = 0; i < kMap.count; ++i) alone.push_back(term(i));
  for (const int others : {1, 2, 5}) {
    for (const int threads : {1, 3}) {
      std::vector<double> together;
      std::size_t seen = 0;
      with_ranks(
          others,
          [&](Team& team) {
            team.agree_on({"study 1"});
            core::RankedMap map = kMap;
            map.threads = {threads};
            together = core::map_over_ranks<double>(&team, map, term, [&](double) { ++seen; });
          },
          [&](Team& team, int) {
            team.agree_on({"study 1"});
            core::serve(team, "terms", {threads}, term);
          });
      EXPECT_EQ(together, alone) << others << " others with " << threads << " threads";
      EXPECT_EQ(seen, kMap.count);
    }
  }
}

TEST(Team, SendsTheContextOfEveryMap) {
  std::vector<std::vector<std::string>> results;
  with_ranks(
      2,
      [&](Team& team) {
        team.agree_on({});
        for (const std::string context : {"a", "b", "c"}) {
          const core::RankedMap map{.name = "words", .count = 20, .threads = {1}, .context = context};
          const auto body = [&](std::size_t i) { return context + std::to_string(i); };
          results.push_back(core::map_over_ranks<std::string>(&team, map, body, [](const std::string&) {}));
        }
      },
      [](Team& team, int) {
        team.agree_on({});
        team.serve("words", {1}, [](const std::string& context) -> core::Ranks::Body {
          return [context](std::size_t i) { return core::packed(context + std::to_string(i)); };
        });
      });
  ASSERT_EQ(results.size(), 3u);
  EXPECT_EQ(results[0][7], "a7");
  EXPECT_EQ(results[2][19], "c19");
}

TEST(Team, LeavesOutARankThatHasOtherFiles) {
  std::atomic<int> computed_by_the_odd_one = 0;
  std::atomic<bool> was_left_out = false;
  std::vector<double> sums;
  const auto warnings = with_ranks(
      2,
      [&](Team& team) {
        team.agree_on({"data.json 1234", "study 1"});
        const auto when_it_was_left_out = [&](std::size_t i) {
          while (!was_left_out) std::this_thread::yield();
          return term(i);
        };
        sums = core::map_over_ranks<double>(&team, kMap, when_it_was_left_out, [](double) {});
      },
      [&](Team& team, int rank) {
        team.agree_on({rank == 1 ? "data.json 1234" : "data.json 9999", "study 1"});
        core::serve(team, "terms", {1}, [&](std::size_t i) {
          if (rank == 2) ++computed_by_the_odd_one;
          return term(i);
        });
        if (rank == 2) was_left_out = true;
      });
  EXPECT_EQ(computed_by_the_odd_one, 0);
  EXPECT_THAT(warnings,
              ElementsAre("rank 2 is left out: it differs in 'data.json' (give all ranks the same program and the same files)"));
  EXPECT_EQ(sums.size(), kMap.count);
}

TEST(Team, SaysWhoCannotTakePartOnceItComputesItself) {
  std::atomic<bool> listens = false;
  const auto warnings = with_ranks(
      1,
      [&](Team& team) {
        team.agree_on({});
        // The other one may say so before or while this one computes; its end is waited for here.
        std::atomic<bool> has_left = false;
        team.answer_with([&](std::string_view) {
          has_left = true;
          return std::string();
        });
        listens = true;
        while (!has_left) std::this_thread::yield();
        static_cast<void>(core::map_over_ranks<double>(&team, kMap, term, [](double) {}));
      },
      [&](Team& team, int) {
        team.leave("error: no such file");
        while (!listens) std::this_thread::yield();  // what is told before is lost
        team.tell("");
      });
  EXPECT_THAT(warnings, ElementsAre("rank 1 cannot take part: error: no such file"));
}

TEST(Team, SaysWhoLeftAfterTheLastMap) {
  std::atomic<bool> is_dealt = false;
  const auto warnings = with_ranks(
      1,
      [&](Team& team) {
        team.agree_on({});
        std::atomic<bool> has_left = false;
        team.answer_with([&](std::string_view) {
          has_left = true;
          return std::string();
        });
        static_cast<void>(core::map_over_ranks<double>(&team, kMap, term, [](double) {}));
        is_dealt = true;
        while (!has_left) std::this_thread::yield();
      },
      [&](Team& team, int) {
        while (!is_dealt) std::this_thread::yield();
        team.leave("error: no such file");
        team.tell("");
      });
  EXPECT_THAT(warnings, ElementsAre("rank 1 cannot take part: error: no such file"));
}

TEST(Team, BeginsNothingMoreOnceOneOfItsThreadsHasFailed) {
  std::atomic<std::size_t> begun = 0;
  with_ranks(
      0,
      [&](Team& team) {
        core::RankedMap map = kMap;
        map.threads = {2};
        const auto failing = [&](std::size_t i) -> double {
          ++begun;
          if (i == 0) throw std::runtime_error("out of paper");
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
          return term(i);
        };
        EXPECT_THROW(static_cast<void>(core::map_over_ranks<double>(&team, map, failing, [](double) {})), std::runtime_error);
      },
      [](Team&, int) {});
  EXPECT_LT(begun, kMap.count / 2);
}

TEST(Team, IsNotFailedByWhatIsLateForAnEarlierMap) {
  std::stop_source stop;
  std::atomic<bool> is_taken = false;
  std::atomic<bool> is_first_over = false;
  std::atomic<bool> serves_second = false;
  std::vector<double> second;
  with_ranks(
      1,
      [&](Team& team) {
        team.agree_on({});
        core::RankedMap map = kMap;
        map.context = "first";
        map.cancel = stop.get_token();
        const auto once_the_other_has_one = [&](std::size_t i) {
          while (!is_taken) std::this_thread::yield();
          stop.request_stop();
          return term(i);
        };
        static_cast<void>(core::map_over_ranks<double>(&team, map, once_the_other_has_one, [](double) {}));
        is_first_over = true;
        // What the other rank computes of this map comes after the word that it has failed.
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        const auto once_the_other_serves = [&](std::size_t i) {
          while (!serves_second && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
          return term(i);
        };
        map.context = "second";
        map.cancel = {};
        second = core::map_over_ranks<double>(&team, map, once_the_other_serves, [](double) {});
      },
      [&](Team& team, int) {
        team.agree_on({});
        team.serve("terms", {1}, [&](const std::string& context) -> core::Ranks::Body {
          return [&, context](std::size_t i) {
            if (context == "second") {
              serves_second = true;
              return core::packed(term(i));
            }
            is_taken = true;
            while (!is_first_over) std::this_thread::yield();
            throw std::runtime_error("out of paper");
          };
        });
      });
  EXPECT_TRUE(serves_second);
  EXPECT_EQ(second.size(), kMap.count);
}

TEST(Team, ComputesNothingOfAMapThatAnotherHasFollowed) {
  testing_support::LocalNetwork network(2);
  const auto leader = network.transport(0);
  std::atomic<int> results = 0;
  leader->listen([&](int, const std::string& message) {
    core::Unpacker unpacker(message);
    Kind kind{};
    unpacker(kind);
    if (kind == Kind::result) ++results;
  });
  std::vector<std::string> computed;
  {
    const auto follower = make_team(network.transport(1), {});
    // Both tasks lie there before one is taken: the body of the second map is made while the first task waits.
    leader->send(1, core::packed(Kind::task, std::size_t{1}, std::size_t{0}, true, std::string("terms"), std::string("first")));
    leader->send(1, core::packed(Kind::task, std::size_t{2}, std::size_t{5}, true, std::string("terms"), std::string("second")));
    leader->send(1, core::packed(Kind::answer, std::uint64_t{1}, std::string("they came")));
    EXPECT_EQ(follower->ask(""), "they came");
    const std::jthread end([&] {
      while (results < 2) std::this_thread::yield();
      leader->send(1, core::packed(Kind::end));
    });
    follower->serve("terms", {1}, [&](const std::string& context) -> core::Ranks::Body {
      return [&, context](std::size_t i) {
        computed.push_back(context + std::to_string(i));
        return std::string();
      };
    });
  }
  EXPECT_THAT(computed, ElementsAre("second5"));
}

/// Why a map fails of which another rank computes a part by `body`.
std::string failure_of(const core::Ranks::Body& body) {
  std::string failure;
  with_ranks(
      1,
      [&](Team& team) {
        team.agree_on({});
        try {
          // Enough of them that the other rank gets one.
          const auto slow = [](std::size_t i) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            return term(i);
          };
          static_cast<void>(core::map_over_ranks<double>(&team, kMap, slow, [](double) {}));
        } catch (const std::runtime_error& error) {
          failure = error.what();
        }
      },
      [&](Team& team, int) {
        team.agree_on({});
        team.serve("terms", {1}, [&](const std::string&) { return body; });
      });
  return failure;
}

TEST(Team, FailsWithTheWordsOfTheRankThatFailed) {
  EXPECT_EQ(failure_of([](std::size_t) -> std::string { throw std::runtime_error("out of paper"); }), "rank 1: out of paper");
}

TEST(Team, NamesTheRankWhoseResultIsNotOfThatMap) {
  EXPECT_THAT(failure_of([](std::size_t) { return std::string("a"); }), testing::StartsWith("rank 1: its result cannot be read: "));
}

TEST(Team, WaitsForNobodyAfterAStop) {
  std::stop_source stop;
  std::vector<double> results;
  std::atomic<bool> is_over = false;
  with_ranks(
      1,
      [&](Team& team) {
        team.agree_on({});
        core::RankedMap map = kMap;
        map.count = 50;
        map.cancel = stop.get_token();
        results = core::map_over_ranks<double>(
            &team, map,
            [&](std::size_t i) {
              std::this_thread::sleep_for(std::chrono::milliseconds(stop.stop_requested() ? 0 : 1));
              return term(i);
            },
            [&](double) { stop.request_stop(); });
        is_over = true;
      },
      [&](Team& team, int) {
        team.agree_on({});
        core::serve(team, "terms", {1}, [&](std::size_t i) {
          while (!is_over) std::this_thread::yield();  // it never delivers in time
          return term(i);
        });
      });
  ASSERT_EQ(results.size(), 50u);
  for (std::size_t i = 0; i < results.size(); ++i) EXPECT_EQ(results[i], term(i));
}

TEST(Team, AnswersQuestionsWhileItComputes) {
  std::atomic<int> told = 0;
  with_ranks(
      2,
      [&](Team& team) {
        team.agree_on({});
        team.answer_with([&](std::string_view question) {
          if (question == "news") ++told;
          return std::string(question) + "!";
        });
        const auto when_two_were_told = [&](std::size_t) {
          while (told < 2) std::this_thread::yield();
          return std::string("7!");
        };
        const auto results = core::map_over_ranks<std::string>(&team, {.name = "answers", .count = 100, .threads = {1}},
                                                               when_two_were_told, [](const std::string&) {});
        EXPECT_THAT(results, testing::Each(std::string("7!")));
        team.answer_with({});
      },
      [](Team& team, int) {
        team.agree_on({});
        core::serve(team, "answers", {2}, [&](std::size_t) {
          team.tell("news");  // whoever has something to compute is listened to
          return team.ask("7");
        });
      });
  EXPECT_GE(told, 2);
}

}  // namespace
}  // namespace rooftune::ranks
