#pragma once

#include <pybind11/pybind11.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

namespace rooftune::python {

namespace py = pybind11;

/// Thrown inside a body by what cannot be asked to stop in another way.
struct Cancelled {};

/// What the first Ctrl-C means for a call.
enum class OnInterrupt {
  raise,  ///< it is to stop, and KeyboardInterrupt is raised then
  keep,   ///< it is to stop, and what it has so far is its result; the second Ctrl-C raises
};

/// A call that computes for long. The body runs on a thread of its own without Python; the calling thread has released the GIL and
/// looks twenty times a second for Ctrl-C and for progress, so that callbacks run where the call was made. Whatever ends the call,
/// the body has ended before.
class LongCall {
 public:
  /// `progress`: a callable or None.
  LongCall(py::object progress, OnInterrupt on_interrupt) : progress_(std::move(progress)), on_interrupt_(on_interrupt) {}

  /// Of the body: whether it is to stop.
  [[nodiscard]] std::stop_token token() const { return stop_.get_token(); }
  /// By the body, from any thread: what the callback gets next, made with the GIL. Of several only the last is delivered.
  void tell(std::function<py::object()> what);

  template <class Body>
  [[nodiscard]] auto run(const Body& body) {
    std::optional<decltype(body())> result;
    run_apart([&] { result.emplace(body()); });
    return *std::move(result);
  }

  /// Whether Ctrl-C ended the body early (OnInterrupt::keep).
  [[nodiscard]] bool is_interrupted() const { return is_interrupted_; }

 private:
  void run_apart(const std::function<void()>& body);
  void look_for_signals();
  void deliver();
  void stop_with_python_error();

  py::object progress_;
  OnInterrupt on_interrupt_;
  std::stop_source stop_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_done_ = false;
  std::function<py::object()> news_;
  std::optional<py::error_already_set> error_;
  bool is_interrupted_ = false;
};

}  // namespace rooftune::python
