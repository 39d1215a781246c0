#include "rooftune/domain/client_cap.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace rooftune::domain {
namespace {

/// A plain generator: the test needs spread, not quality.
class Uniform {
 public:
  double operator()() {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<double>(state_ >> 11) * 0x1.0p-53;
  }

 private:
  std::uint64_t state_ = 1;
};

/// Clients that send their next request `turnaround_s` after the reply, which takes 1 to 3 seconds.
std::vector<InFlight> closed_loop(int clients, int requests, double turnaround_s) {
  Uniform uniform;
  std::vector<double> free_s(static_cast<std::size_t>(clients), 0.0);
  std::vector<InFlight> sent;
  for (int i = 0; i < requests; ++i) {
    double& next = *std::ranges::min_element(free_s);
    const double done_s = next + 1.0 + 2.0 * uniform();
    sent.push_back({next, done_s});
    next = done_s + turnaround_s;
  }
  return sent;
}

std::vector<InFlight> poisson(double rate, int requests) {
  Uniform uniform;
  double now_s = 0.0;
  std::vector<InFlight> sent;
  for (int i = 0; i < requests; ++i) {
    now_s -= std::log(1.0 - uniform()) / rate;
    sent.push_back({now_s, now_s + 1.0 + 2.0 * uniform()});
  }
  return sent;
}

TEST(ClientCap, FindsTheClientsOfAClosedLoop) {
  const auto cap = find_client_cap(closed_loop(64, 2000, 0.002));
  ASSERT_TRUE(cap.has_value());
  EXPECT_EQ(cap->clients, 64);
  EXPECT_GT(cap->share_of_time, 0.9);
  EXPECT_NEAR(cap->turnaround_us, 2000.0, 500.0);
}

TEST(ClientCap, FindsAnOpenLoopThatItsClientCutOff) {
  // 24 requests per second are asked for, but the client holds back whatever would be the 17th in flight.
  std::vector<InFlight> sent = poisson(24.0, 3000);
  std::vector<double> busy_until;
  double now_s = 0.0;
  for (InFlight& request : sent) {
    const double takes_s = request.done_s - request.sent_s;
    now_s = std::max(now_s, request.sent_s);
    std::erase_if(busy_until, [&](double done_s) { return done_s <= now_s; });
    if (busy_until.size() == 16) {
      const auto first = std::ranges::min_element(busy_until);
      now_s = *first;
      busy_until.erase(first);
    }
    request = {now_s, now_s + takes_s};
    busy_until.push_back(request.done_s);
  }
  const auto cap = find_client_cap(sent);
  ASSERT_TRUE(cap.has_value());
  EXPECT_EQ(cap->clients, 16);
}

TEST(ClientCap, FindsNoneWhereRequestsComeAtARate) {
  for (const double rate : {0.1, 1.0, 8.0, 60.0}) EXPECT_FALSE(find_client_cap(poisson(rate, 3000)).has_value()) << rate;
}

TEST(ClientCap, FindsNoneUnderAGrowingQueue) {
  std::vector<InFlight> sent = poisson(8.0, 3000);
  double free_s = 0.0;  // one server, one request at a time
  for (InFlight& request : sent) {
    free_s = std::max(free_s, request.sent_s) + 0.2;
    request.done_s = free_s;
  }
  EXPECT_FALSE(find_client_cap(sent).has_value());
}

TEST(ClientCap, FindsNoneWhereAllIsSentAtOnceOrNothing) {
  std::vector<InFlight> burst(100, InFlight{0.0, 5.0});
  EXPECT_FALSE(find_client_cap(burst).has_value());
  EXPECT_FALSE(find_client_cap({}).has_value());
}

TEST(ClientCap, LeavesAScheduleAloneThatRepliesHappenToFill) {
  // A request every 100 ms, each of which takes 95 ms: one is in flight 95 % of the time.
  std::vector<InFlight> sent;
  for (int i = 0; i < 400; ++i) sent.push_back({0.1 * i, 0.1 * i + 0.095});
  EXPECT_FALSE(find_client_cap(sent).has_value());
}

}  // namespace
}  // namespace rooftune::domain
