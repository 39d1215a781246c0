#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace rooftune::ranks {

/// What one rank says to another. The first part of every message.
enum class Kind : unsigned char {
  // to the leader
  hello,   ///< lines to agree on
  want,    ///< one more index
  result,  ///< map, index, packed result; wants one more
  failed,  ///< map, in words; wants one more
  leaves,  ///< in words: it cannot serve
  ask,     ///< number, question
  tell,    ///< news
  // from the leader
  task,     ///< map, index; before the first of a map: its name and context
  answer,   ///< number, answer
  refused,  ///< it has other files
  stop,     ///< an interruption
  end,
};

/// The leader's book of one map after another: which index goes to whom. It knows no threads, no clock and no network, so that the
/// same code deals in a test, in a simulated cluster and between processes.
class Dealer {
 public:
  struct Message {
    int to = 0;
    std::string bytes;
  };

  explicit Dealer(int ranks);

  /// Begins a map; whoever waits gets an index at once.
  [[nodiscard]] std::vector<Message> open(std::string name, std::string context, std::size_t count);
  /// Ends it: nothing more is handed out.
  void close();

  /// An index for the leader itself. Nothing where all are handed out.
  [[nodiscard]] std::optional<std::size_t> next();
  /// A rank that serves wants an index: what to send it now, if anything.
  [[nodiscard]] std::optional<Message> want(int rank);
  /// Whether a result that came in belongs to the map and is new.
  [[nodiscard]] bool accept(std::size_t map, std::size_t index);
  /// The same for an index that the leader computes itself because nobody is waited for any more.
  [[nodiscard]] std::vector<std::size_t> take_back();

  [[nodiscard]] bool is_complete() const { return done_count_ == done_.size(); }
  [[nodiscard]] std::size_t map() const { return map_; }

 private:
  [[nodiscard]] Message task(int rank, std::size_t index);

  std::size_t map_ = 0;
  std::string name_;
  std::string context_;
  std::size_t next_ = 0;
  std::vector<char> done_;
  std::size_t done_count_ = 0;
  std::deque<int> waiting_;            ///< ranks, once for each index that they want
  std::vector<std::size_t> last_map_;  ///< by rank: the last whose context it has
};

}  // namespace rooftune::ranks
