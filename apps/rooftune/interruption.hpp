#pragma once

#include <atomic>
#include <stop_token>
#include <thread>

namespace rooftune::app {

/// Turns the first Ctrl-C (SIGINT, SIGTERM) into a request to stop, so that a command can write what it has; the second ends the
/// program at once. Make it before any other thread: they inherit that the signals are held back for this one.
class Interruption {
 public:
  Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;
  ~Interruption();

  [[nodiscard]] std::stop_token token() const { return source_.get_token(); }
  [[nodiscard]] bool requested() const { return source_.stop_requested(); }

 private:
  void watch();

  std::stop_source source_;
  int signals_ = -1;  ///< readable when a signal has come
  int end_ = -1;      ///< readable when nobody is interested any more
  std::thread watcher_;
};

}  // namespace rooftune::app
