#include "rooftune/ranks/team.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

#include "rooftune/ranks/dealer.hpp"

namespace rooftune::ranks {
namespace {

constexpr int kLeader = 0;

/// Calls `work` on so many threads, this one included, and rethrows the first exception.
template <class Work>
void on_threads(core::ThreadCount threads, const Work& work) {
  std::exception_ptr failure;
  std::mutex mutex;
  const auto guarded = [&] {
    try {
      work();
    } catch (...) {
      const std::scoped_lock lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> others;
    for (int i = 1; i < core::resolve(threads); ++i) others.emplace_back(guarded);
    guarded();
  }
  if (failure) std::rethrow_exception(failure);
}

Kind kind_of(core::Unpacker& message) {
  Kind kind{};
  message(kind);
  return kind;
}

class Leader final : public Team {
 public:
  Leader(std::unique_ptr<Transport> transport, TeamOptions options)
      : transport_(std::move(transport)), options_(std::move(options)), dealer_(transport_->size()) {
    members_.resize(static_cast<std::size_t>(transport_->size()));
    transport_->listen([this](int from, const std::string& message) { receive(from, message); });
  }
  ~Leader() override {
    send_to_all(Kind::end);
    transport_->close();
    if (dealer_.map() > 0) say_who_is_absent();
  }

  [[nodiscard]] bool leads() const override { return true; }

  void agree_on(const std::vector<std::string>& lines) override {
    const std::scoped_lock lock(mutex_);
    lines_ = lines;
    for (int rank = 1; rank < transport_->size(); ++rank) admit(rank);
  }

  void deal(const core::RankedMap& map, const std::function<void(std::size_t)>& compute,
            const std::function<void(std::size_t, std::string_view)>& take) override {
    {
      const std::scoped_lock lock(mutex_);
      take_ = take;
      failure_.reset();
      say_who_is_absent();
      send(dealer_.open(map.name, map.context, map.count));
    }
    const std::stop_callback stop(map.cancel, [this] {
      send_to_all(Kind::stop);
      const std::scoped_lock lock(mutex_);
      is_stopped_ = true;
      changed_.notify_all();
    });
    try {
      on_threads(map.threads, [&] {
        try {
          compute_own(compute);
        } catch (...) {
          const std::scoped_lock lock(mutex_);
          dealer_.close();  // nobody begins another one
          throw;
        }
      });
      finish(compute);
    } catch (...) {
      close_map();
      throw;
    }
    close_map();
  }

  void serve(const std::string&, core::ThreadCount, const std::function<Body(const std::string&)>&) override {
    throw std::logic_error("the leading rank serves nobody");
  }
  std::string ask(std::string) override { throw std::logic_error("the leading rank asks nobody"); }
  void tell(std::string) override { throw std::logic_error("the leading rank tells nobody"); }
  void leave(const std::string&) override {}

  void answer_with(std::function<std::string(std::string_view)> answer) override {
    const std::scoped_lock lock(mutex_);
    answer_ = std::move(answer);
  }

 private:
  /// Another rank, as the leader knows it.
  struct Member {
    std::optional<std::vector<std::string>> lines{};  ///< that it said
    bool is_in = false;
    int wants = 0;  ///< before it was let in
  };

  void compute_own(const std::function<void(std::size_t)>& compute) {
    while (true) {
      std::size_t index = 0;
      std::size_t map = 0;
      {
        const std::scoped_lock lock(mutex_);
        const auto next = dealer_.next();
        if (!next) return;
        index = *next;
        map = dealer_.map();
      }
      compute(index);
      const std::scoped_lock lock(mutex_);
      static_cast<void>(dealer_.accept(map, index));
      changed_.notify_all();
    }
  }

  /// Waits for the others; after a stop for nobody: what they have not delivered ends early here as well.
  void finish(const std::function<void(std::size_t)>& compute) {
    std::vector<std::size_t> missing;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return dealer_.is_complete() || is_stopped_; });
      if (failure_) throw std::runtime_error(*failure_);
      missing = dealer_.take_back();
    }
    for (const std::size_t index : missing) compute(index);
  }

  void close_map() {
    const std::scoped_lock lock(mutex_);
    dealer_.close();
    take_ = {};
  }

  void receive(int from, const std::string& bytes) {
    core::Unpacker message(bytes);
    const Kind kind = kind_of(message);
    const std::scoped_lock lock(mutex_);
    Member& member = members_[static_cast<std::size_t>(from)];
    switch (kind) {
      case Kind::hello:
        message(member.lines.emplace());
        admit(from);
        break;
      case Kind::want: give(from); break;
      case Kind::result: take_result(from, message); break;
      case Kind::failed: {
        std::size_t map = 0;
        std::string why;
        message(map, why);
        if (map == dealer_.map() && take_) fail(fmt::format("rank {}: {}", from, why));
        give(from);
        break;
      }
      case Kind::leaves: {
        std::string why;
        message(why);
        absent_.push_back(fmt::format("rank {} cannot take part: {}", from, why));
        if (take_) say_who_is_absent();
        break;
      }
      case Kind::ask: {
        std::uint64_t number = 0;
        message(number);
        const std::string answer = answer_ ? answer_(message.rest()) : std::string();
        transport_->send(from, core::packed(Kind::answer, number, answer));
        break;
      }
      case Kind::tell:
        if (answer_) static_cast<void>(answer_(message.rest()));
        break;
      default: break;
    }
  }

  void take_result(int from, core::Unpacker& message) {
    std::size_t map = 0;
    std::size_t index = 0;
    message(map, index);
    // The next index goes out first: what becomes of this result need not hold that rank up.
    give(from);
    if (!dealer_.accept(map, index)) return;
    try {
      if (take_) take_(index, message.rest());
    } catch (const std::exception& error) {
      fail(fmt::format("rank {}: its result cannot be read: {}", from, error.what()));
    }
    changed_.notify_all();
  }

  /// The map fails, and nobody begins another index of it.
  void fail(std::string why) {
    if (!failure_) failure_ = std::move(why);
    dealer_.close();
    changed_.notify_all();
  }

  void give(int rank) {
    Member& member = members_[static_cast<std::size_t>(rank)];
    if (!member.is_in) {
      ++member.wants;
      return;
    }
    if (auto task = dealer_.want(rank)) transport_->send(task->to, std::move(task->bytes));
  }

  /// Lets a rank in, or turns it away, once both sides have said what they have.
  void admit(int rank) {
    Member& member = members_[static_cast<std::size_t>(rank)];
    if (!lines_ || !member.lines || member.is_in) return;
    if (*member.lines != *lines_) {
      const auto [mine, theirs] = std::ranges::mismatch(*lines_, *member.lines);
      const std::string& line = mine != lines_->end() ? *mine : *theirs;
      warn(fmt::format("rank {} is left out: it differs in '{}' (give all ranks the same program and the same files)", rank,
                       line.substr(0, line.find(' '))));
      transport_->send(rank, core::packed(Kind::refused));
      return;
    }
    member.is_in = true;
    for (; member.wants > 0; --member.wants) give(rank);
  }

  /// What keeps all ranks from computing is said by the leading one itself: others are heard once it computes.
  void say_who_is_absent() {
    for (const std::string& who : std::exchange(absent_, {})) warn(who);
  }

  void send(std::vector<Dealer::Message> messages) {
    for (Dealer::Message& message : messages) transport_->send(message.to, std::move(message.bytes));
  }
  void send_to_all(Kind kind) {
    for (int rank = 1; rank < transport_->size(); ++rank) transport_->send(rank, core::packed(kind));
  }
  void warn(const std::string& warning) const {
    if (options_.warn) options_.warn(warning);
  }

  std::unique_ptr<Transport> transport_;
  TeamOptions options_;
  std::recursive_mutex mutex_;  ///< whoever watches results may stop the map
  std::condition_variable_any changed_;
  Dealer dealer_;
  std::vector<Member> members_;
  std::optional<std::vector<std::string>> lines_;
  std::function<void(std::size_t, std::string_view)> take_;
  std::function<std::string(std::string_view)> answer_;
  std::vector<std::string> absent_;     ///< who cannot take part, in words, as far as it was not said
  std::optional<std::string> failure_;  ///< of another rank
  bool is_stopped_ = false;
};

class Follower final : public Team {
 public:
  Follower(std::unique_ptr<Transport> transport, TeamOptions options)
      : transport_(std::move(transport)), options_(std::move(options)) {
    transport_->listen([this](int, const std::string& message) { receive(message); });
  }
  ~Follower() override {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return is_over_; });
    }
    transport_->close();
  }

  [[nodiscard]] bool leads() const override { return false; }
  void agree_on(const std::vector<std::string>& lines) override { to_leader(core::packed(Kind::hello, lines)); }
  void leave(const std::string& why) override { to_leader(core::packed(Kind::leaves, why)); }

  void serve(const std::string& name, core::ThreadCount threads, const std::function<Body(const std::string&)>& make_body) override {
    on_threads(threads, [&] {
      to_leader(core::packed(Kind::want));
      while (const auto task = next_task()) to_leader(outcome_of(*task, name, make_body));
    });
  }

  void deal(const core::RankedMap&, const std::function<void(std::size_t)>&,
            const std::function<void(std::size_t, std::string_view)>&) override {
    throw std::logic_error("only the leading rank deals");
  }
  void answer_with(std::function<std::string(std::string_view)>) override { throw std::logic_error("only the leading rank answers"); }

  std::string ask(std::string question) override {
    std::unique_lock lock(mutex_);
    const std::uint64_t number = ++asked_;
    to_leader(core::packed(Kind::ask, number) + question);
    changed_.wait(lock, [&] { return is_over_ || answers_.contains(number); });
    const auto answer = answers_.extract(number);
    return answer.empty() ? std::string() : answer.mapped();
  }
  void tell(std::string news) override { to_leader(core::packed(Kind::tell) + news); }

 private:
  struct Task {
    std::size_t map = 0;
    std::size_t index = 0;
  };
  /// A map as it came; its body is made by the first that needs it.
  struct Map {
    std::size_t number = 0;
    std::string name;
    std::string context;
    Body body{};
  };

  std::optional<Task> next_task() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return is_over_ || is_refused_ || !tasks_.empty(); });
    if (is_over_ || is_refused_) return std::nullopt;
    const Task task = tasks_.front();
    tasks_.pop_front();
    return task;
  }

  std::string outcome_of(const Task& task, const std::string& name, const std::function<Body(const std::string&)>& make_body) {
    try {
      const Body body = body_of(task.map, name, make_body);
      return core::packed(Kind::result, task.map, task.index) + (body ? body(task.index) : std::string());
    } catch (const std::exception& error) {
      return core::packed(Kind::failed, task.map, std::string(error.what()));
    }
  }

  /// Nothing for a map that another one has followed: nobody waits for its results any more.
  Body body_of(std::size_t number, const std::string& name, const std::function<Body(const std::string&)>& make_body) {
    const std::scoped_lock making(making_);
    std::shared_ptr<Map> map;
    {
      const std::scoped_lock lock(mutex_);
      map = map_;
    }
    if (map->number != number) return {};
    if (map->name != name) throw std::runtime_error(fmt::format("it serves '{}' and not '{}'", name, map->name));
    if (!map->body) map->body = make_body(map->context);
    return map->body;
  }

  void receive(const std::string& bytes) {
    core::Unpacker message(bytes);
    const Kind kind = kind_of(message);
    if (kind == Kind::stop) {
      if (options_.on_stop) options_.on_stop();
      return;
    }
    const std::scoped_lock lock(mutex_);
    if (kind == Kind::task) {
      Task task;
      bool is_first = false;
      message(task.map, task.index, is_first);
      // Of an earlier map nothing is wanted any more: it was completed, or given up after a stop.
      if (is_first) {
        map_ = std::make_shared<Map>();
        map_->number = task.map;
        message(map_->name, map_->context);
      }
      tasks_.push_back(task);
    } else if (kind == Kind::answer) {
      std::uint64_t number = 0;
      message(number);
      message(answers_[number]);
    } else if (kind == Kind::refused) {
      is_refused_ = true;
    } else if (kind == Kind::end) {
      is_over_ = true;
    }
    changed_.notify_all();
  }

  void to_leader(std::string message) { transport_->send(kLeader, std::move(message)); }

  std::unique_ptr<Transport> transport_;
  TeamOptions options_;
  std::mutex mutex_;
  std::mutex making_;  ///< of bodies
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  std::shared_ptr<Map> map_;  ///< the last that began
  std::map<std::uint64_t, std::string> answers_;
  std::uint64_t asked_ = 0;
  bool is_refused_ = false;
  bool is_over_ = false;
};

}  // namespace

std::unique_ptr<Team> make_team(std::unique_ptr<Transport> transport, TeamOptions options) {
  if (transport->rank() == kLeader) return std::make_unique<Leader>(std::move(transport), std::move(options));
  return std::make_unique<Follower>(std::move(transport), std::move(options));
}

}  // namespace rooftune::ranks
