#pragma once

#include <functional>
#include <stop_token>
#include <thread>

namespace rooftune::runs {

/// Turns the first Ctrl-C (SIGINT, SIGTERM) into a request to stop, so that a run can write what it has; the second ends the
/// program at once. Make it before any other thread: they inherit that the signals are held back for this one.
class Interruption {
 public:
  /// `on_first` is called when the first comes, from another thread.
  explicit Interruption(std::function<void()> on_first);
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;
  ~Interruption();

  [[nodiscard]] std::stop_token token() const { return source_.get_token(); }
  [[nodiscard]] bool requested() const { return source_.stop_requested(); }

 private:
  void watch();

  std::function<void()> on_first_;
  std::stop_source source_;
  int signals_ = -1;  ///< readable when a signal has come
  int end_ = -1;      ///< readable when nobody is interested any more
  std::thread watcher_;
};

}  // namespace rooftune::runs
