#pragma once

#include <optional>
#include <vector>

namespace rooftune::domain {

/// When a request was sent and when its reply was complete, on one clock.
struct InFlight {
  double sent_s = 0.0;
  double done_s = 0.0;
};

/// A client that never had more than so many requests in flight, and had them nearly all the time: it waited for replies, so its
/// load was a closed loop, whatever rate it was asked for.
struct ClientCap {
  int clients = 0;
  double ramp_s = 0.0;         ///< from the first request to reaching the cap
  double share_of_time = 0.0;  ///< of the time from reaching the cap to the last request sent
  double turnaround_us = 0.0;  ///< median from a reply to the next request sent, at the cap
};

/// Share of the time at the cap from which a load counts as limited by its client. Measured: 0.99 where the client was the limit,
/// below 0.002 under Poisson arrivals at 2 to 8 requests per second. A server that is too slow for an open loop has more and more
/// requests in flight, and no maximum that holds.
inline constexpr double kCappedShareOfTime = 0.8;
/// Below this many requests per client a maximum that holds may be chance.
inline constexpr int kFewestRequestsPerClient = 5;

/// The cap of a stage's client, or nothing.
[[nodiscard]] std::optional<ClientCap> find_client_cap(const std::vector<InFlight>& requests);

}  // namespace rooftune::domain
