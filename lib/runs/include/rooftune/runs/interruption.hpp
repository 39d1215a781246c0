#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

namespace rooftune::runs {

/// Watches for Ctrl-C (SIGINT), SIGTERM, SIGHUP, and SIGUSR1 (what mpirun passes on without killing) as long as it lives. While nobody
/// can end early with what it has (Interruption), the first signal ends the program at once, with exit code 2, and takes its temporary
/// files with it; but for one that serves another process. A signal that was ignored when the program began (nohup) stays ignored.
/// Make it before any other thread: they inherit that the signals are held back for this one.
class SignalWatch {
 public:
  SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;
  ~SignalWatch();

 private:
  void watch();

  int signals_ = -1;  ///< readable when a signal has come
  int end_ = -1;      ///< readable when nobody is interested any more
  std::thread watcher_;
};

/// What is printed behind "interrupted" when a signal ends the program at once: how what was begun can go on; empty: nothing.
void set_way_on_after_interruption(std::string way_on);

/// This process serves another one from now on: it leaves to that one when to end. Signals at most stop what it computes.
void serve_another_process();
/// As if a signal had come.
void interrupt();

/// As long as it lives, the first signal is a request to stop, so that a run can write what it has, and the second ends the program.
/// Watches by itself where no SignalWatch does. One at a time.
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
  std::stop_source source_;
  std::optional<SignalWatch> own_watch_;
};

}  // namespace rooftune::runs
