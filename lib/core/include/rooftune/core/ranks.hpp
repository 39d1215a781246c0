#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rooftune/core/packing.hpp"
#include "rooftune/core/parallel_map.hpp"

namespace rooftune::core {

/// One map over indexes that several processes compute together.
struct RankedMap {
  std::string name;  ///< of what is computed: the other ranks serve by name
  std::size_t count = 0;
  ThreadCount threads{};     ///< of this rank
  std::string context{};     ///< what a body needs besides its index, packed; sent once to each rank
  std::stop_token cancel{};  ///< bodies end early then, and nothing is waited for that another rank has not delivered
};

/// Processes ("ranks") that compute one command together. All of them were started with the same command line and read the same
/// files. One leads: it alone decides, prints and writes, and it computes as well. The others serve: they compute what they are given
/// until the leader ends. Which rank computes what changes no result.
class Ranks {
 public:
  /// Computes an index and packs the result.
  using Body = std::function<std::string(std::size_t index)>;

  Ranks() = default;
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;
  virtual ~Ranks() = default;

  [[nodiscard]] virtual bool leads() const = 0;
  /// What ranks must have in common, one thing a line ("file sha256"): the leader leaves out who has something else, and says so.
  /// Before deal() or serve().
  virtual void agree_on(const std::vector<std::string>& lines) = 0;

  /// Leader: hands out indexes one by one, to whoever is free; computes itself by `compute`, and passes on what others computed to
  /// `take`, from one thread at a time. Every index goes through exactly one of them.
  virtual void deal(const RankedMap& map, const std::function<void(std::size_t index)>& compute,
                    const std::function<void(std::size_t index, std::string_view packed)>& take) = 0;
  /// The others: computes indexes of maps of that name, `threads` at a time, until the leader ends. `make_body` gets their context.
  virtual void serve(const std::string& name, ThreadCount threads,
                     const std::function<Body(const std::string& context)>& make_body) = 0;

  /// The others: asks the leader something, and waits for the answer.
  [[nodiscard]] virtual std::string ask(std::string question) = 0;
  /// The others: tells the leader something. It arrives before whatever is sent later.
  virtual void tell(std::string news) = 0;
  /// Leader: what answers; what was told is answered too, and the answer dropped. Called by one thread at a time. Null: nobody.
  virtual void answer_with(std::function<std::string(std::string_view)> answer) = 0;
};

/// parallel_map_watched over ranks, where there are any: the leader's half. Results of other ranks are packed, so a Result needs
/// `fields` (core::Packer).
template <class Result, class Body, class Watcher>
[[nodiscard]] std::vector<Result> map_over_ranks(Ranks* ranks, const RankedMap& map, const Body& body, Watcher&& watch) {
  const auto show = [&](const Result& result) {
    watch(result);
    return Watch::go_on;
  };
  if (ranks == nullptr) return *parallel_map_watched<Result>(map.count, map.threads, body, show);
  std::vector<std::optional<Result>> slots(map.count);
  std::mutex mutex;
  const auto keep = [&](std::size_t i, Result result) {
    const std::scoped_lock lock(mutex);
    show(slots[i].emplace(std::move(result)));
  };
  ranks->deal(
      map, [&](std::size_t i) { keep(i, body(i)); }, [&](std::size_t i, std::string_view bytes) { keep(i, unpacked<Result>(bytes)); });
  std::vector<Result> results;
  results.reserve(map.count);
  for (std::optional<Result>& slot : slots) results.push_back(*std::move(slot));
  return results;
}

/// The other ranks' half: returns when the leader has ended.
template <class Body>
void serve(Ranks& ranks, const std::string& name, ThreadCount threads, const Body& body) {
  ranks.serve(name, threads, [&](const std::string&) -> Ranks::Body { return [&](std::size_t i) { return packed(body(i)); }; });
}

}  // namespace rooftune::core
