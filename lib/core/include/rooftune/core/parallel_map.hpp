#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace rooftune::core {

/// How many workers may run side by side; 0 means "as many as the machine has".
struct ThreadCount {
  int value = 0;
};
inline constexpr ThreadCount kOneThread{1};

/// The number of workers that `threads` stands for on this machine.
[[nodiscard]] int resolve(ThreadCount threads);

/// What whoever watches results says after one of them: whether the others are still wanted.
enum class Watch { go_on, stop };

namespace detail {
/// Calls body(0) ... body(count - 1), each once at most, on up to `threads` workers; after one that says stop, no further one
/// begins. Rethrows the first exception of a body.
/// Backend: oneTBB, or std::jthread with fixed strides where thread sanitizer must see every access (preset tsan).
void run_indices(std::size_t count, ThreadCount threads, const std::function<Watch(std::size_t)>& body);
}  // namespace detail

/// As parallel_map, for who wants to see results as they come: `watch` is called with every result, one at a time, in the order in
/// which they happen to finish (progress lines, giving up). Nothing where it said stop.
template <class Result, class Body, class Watcher>
[[nodiscard]] std::optional<std::vector<Result>> parallel_map_watched(std::size_t count, ThreadCount threads, const Body& body,
                                                                      Watcher&& watch) {
  static_assert(std::is_object_v<Result> && !std::is_pointer_v<Result>, "a result is a value");
  static_assert(std::is_same_v<std::invoke_result_t<const Body&, std::size_t>, Result>, "a body returns the result of its index");
  std::vector<std::optional<Result>> slots(count);
  std::mutex mutex;
  bool is_stopped = false;
  detail::run_indices(count, threads, [&](std::size_t i) {
    slots[i].emplace(body(i));
    const std::scoped_lock lock(mutex);
    if (!is_stopped) is_stopped = watch(std::as_const(*slots[i])) == Watch::stop;
    return is_stopped ? Watch::stop : Watch::go_on;
  });
  if (is_stopped) return std::nullopt;
  std::vector<Result> results;
  results.reserve(count);
  for (std::optional<Result>& slot : slots) results.push_back(*std::move(slot));
  return results;
}

/// body(0) ... body(count - 1), in the order of the index, computed in any order on up to `threads` workers.
///
/// A body is a pure function of its index and of what it only reads: it writes to nothing that it captured, and all that it
/// finds out is in the value that it returns. Sums are taken by the caller, in the order of the index, so the bits do not depend
/// on the number of workers; and an executor that runs bodies in other processes has only values to send. So a Result is a value
/// that can be packed: no pointer or reference into the caller's memory. The first exception of a body is rethrown here.
template <class Result, class Body>
[[nodiscard]] std::vector<Result> parallel_map(std::size_t count, ThreadCount threads, const Body& body) {
  return *parallel_map_watched<Result>(count, threads, body, [](const Result&) { return Watch::go_on; });
}

}  // namespace rooftune::core
