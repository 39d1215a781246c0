#include "rooftune/domain/client_cap.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace rooftune::domain {
namespace {

/// One request more or less in flight.
struct Change {
  double at_s = 0.0;
  int by = 0;
};

/// In order of time; of a reply and a request at the same moment, the reply first.
std::vector<Change> changes_of(const std::vector<InFlight>& requests) {
  std::vector<Change> changes;
  changes.reserve(2 * requests.size());
  for (const InFlight& request : requests) {
    changes.push_back({request.sent_s, 1});
    changes.push_back({request.done_s, -1});
  }
  std::ranges::sort(changes, [](const Change& a, const Change& b) { return a.at_s != b.at_s ? a.at_s < b.at_s : a.by < b.by; });
  return changes;
}

int most_in_flight(const std::vector<Change>& changes) {
  int in_flight = 0;
  int most = 0;
  for (const Change& change : changes) most = std::max(most, in_flight += change.by);
  return most;
}

/// Requests that leave like clockwork follow a schedule, whatever comes back: where each takes a little less than a gap, as many are
/// in flight nearly all the time as with a client that waits for replies.
bool are_evenly_spaced(const std::vector<InFlight>& requests) {
  constexpr double kSameGap = 0.05;  // standard deviation of the gaps over their mean
  std::vector<double> sent_s;
  sent_s.reserve(requests.size());
  for (const InFlight& request : requests) sent_s.push_back(request.sent_s);
  std::ranges::sort(sent_s);
  const double mean_s = (sent_s.back() - sent_s.front()) / static_cast<double>(sent_s.size() - 1);
  double squares = 0.0;
  for (std::size_t i = 1; i < sent_s.size(); ++i) squares += std::pow(sent_s[i] - sent_s[i - 1] - mean_s, 2);
  return std::sqrt(squares / static_cast<double>(sent_s.size() - 1)) <= kSameGap * mean_s;
}

double median(std::vector<double>& values) {
  if (values.empty()) return 0.0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

}  // namespace

std::optional<ClientCap> find_client_cap(const std::vector<InFlight>& requests) {
  const std::vector<Change> changes = changes_of(requests);
  const int cap = most_in_flight(changes);
  if (cap < 1 || requests.size() < static_cast<std::size_t>(kFewestRequestsPerClient) * static_cast<std::size_t>(cap))
    return std::nullopt;
  if (are_evenly_spaced(requests)) return std::nullopt;
  double last_sent_s = requests.front().sent_s;
  for (const InFlight& request : requests) last_sent_s = std::max(last_sent_s, request.sent_s);
  int in_flight = 0;
  double reached_s = -1.0;
  double at_cap_s = 0.0;
  double before_s = changes.front().at_s;
  double left_s = -1.0;  // when the last reply came at the cap
  std::vector<double> turnarounds_us;
  for (const Change& change : changes) {
    if (change.at_s > last_sent_s) break;
    if (in_flight == cap) at_cap_s += change.at_s - before_s;
    before_s = change.at_s;
    if (change.by < 0) {
      if (in_flight == cap) left_s = change.at_s;
    } else if (left_s >= 0.0 && in_flight == cap - 1) {
      turnarounds_us.push_back((change.at_s - left_s) * 1e6);
      left_s = -1.0;
    }
    in_flight += change.by;
    if (in_flight == cap && reached_s < 0.0) reached_s = change.at_s;
  }
  const double until_s = last_sent_s - reached_s;
  if (reached_s < 0.0 || until_s <= 0.0 || at_cap_s < kCappedShareOfTime * until_s) return std::nullopt;
  return ClientCap{.clients = cap,
                   .ramp_s = reached_s - changes.front().at_s,
                   .share_of_time = at_cap_s / until_s,
                   .turnaround_us = median(turnarounds_us)};
}

}  // namespace rooftune::domain
