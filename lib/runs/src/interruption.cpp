#include "rooftune/runs/interruption.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

#include "rooftune/text/temporaries.hpp"

namespace rooftune::runs {
namespace {

/// What the program says when it was interrupted (README, exit codes).
constexpr int kInterruptedExitCode = 2;

/// Between the thread that watches and the run that can stop. Never destroyed: the watcher may be the last to end.
struct Listener {
  std::mutex mutex;
  int watches = 0;
  std::stop_source* stop = nullptr;  ///< of the Interruption that lives
  std::function<void()> on_first{};
  std::string way_on{};
  bool is_served = false;  ///< another process, by this one: that one decides and speaks
};

Listener& listener() {
  static auto* const instance = new Listener;
  return *instance;
}

bool is_ignored(int signal) {
  struct sigaction action {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

sigset_t watched_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {
    if (!is_ignored(signal)) sigaddset(&signals, signal);
  }
  return signals;
}

[[noreturn]] void end_at_once() {
  // A progress line may stand on the terminal.
  const std::string said = (::isatty(STDERR_FILENO) != 0 ? "\ninterrupted" : "interrupted") + listener().way_on + "\n";
  static_cast<void>(!::write(STDERR_FILENO, said.data(), said.size()));
  text::remove_own_temporaries();
  ::_exit(kInterruptedExitCode);
}

void act_on_signal() {
  const std::scoped_lock lock(listener().mutex);
  const bool is_ending = listener().stop != nullptr && listener().stop->stop_requested();
  const bool can_stop = listener().stop != nullptr && !is_ending;
  // Whoever serves ends when the process that is served does, which the signal has reached as well: to go before it would end both.
  if (!can_stop && listener().is_served) return;
  if (!can_stop) end_at_once();
  if (listener().on_first) listener().on_first();
  listener().stop->request_stop();
}

}  // namespace

void set_way_on_after_interruption(std::string way_on) {
  const std::scoped_lock lock(listener().mutex);
  listener().way_on = way_on.empty() ? "" : " (" + std::move(way_on) + ")";
}

void serve_another_process() {
  const std::scoped_lock lock(listener().mutex);
  listener().is_served = true;
}

void interrupt() { act_on_signal(); }

SignalWatch::SignalWatch() {
  {
    const std::scoped_lock lock(listener().mutex);
    ++listener().watches;
  }
  const sigset_t signals = watched_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signals_ = ::signalfd(-1, &signals, SFD_CLOEXEC);
  end_ = ::eventfd(0, EFD_CLOEXEC);
  watcher_ = std::thread([this] { watch(); });
}

SignalWatch::~SignalWatch() {
  const std::uint64_t one = 1;
  static_cast<void>(!::write(end_, &one, sizeof one));
  watcher_.join();
  ::close(signals_);
  ::close(end_);
  const sigset_t signals = watched_signals();
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  const std::scoped_lock lock(listener().mutex);
  --listener().watches;
}

void SignalWatch::watch() {
  while (true) {
    std::array<pollfd, 2> watched{{{.fd = signals_, .events = POLLIN, .revents = 0}, {.fd = end_, .events = POLLIN, .revents = 0}}};
    if (::poll(watched.data(), watched.size(), -1) < 0) continue;
    if (watched[1].revents != 0) return;
    if (watched[0].revents == 0) continue;
    signalfd_siginfo received{};
    if (::read(signals_, &received, sizeof received) == sizeof received) act_on_signal();
  }
}

Interruption::Interruption(std::function<void()> on_first) {
  bool is_watched = false;
  {
    const std::scoped_lock lock(listener().mutex);
    listener().stop = &source_;
    listener().on_first = std::move(on_first);
    is_watched = listener().watches > 0;
  }
  if (!is_watched) own_watch_.emplace();
}

Interruption::~Interruption() {
  const std::scoped_lock lock(listener().mutex);
  listener().stop = nullptr;
  listener().on_first = {};
}

}  // namespace rooftune::runs
