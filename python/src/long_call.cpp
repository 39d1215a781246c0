#include "long_call.hpp"

#include <chrono>
#include <exception>
#include <thread>

namespace rooftune::python {

void LongCall::tell(std::function<py::object()> what) {
  const std::scoped_lock lock(mutex_);
  news_ = std::move(what);
}

void LongCall::run_apart(const std::function<void()>& body) {
  constexpr std::chrono::milliseconds kBetweenLooks{50};
  std::exception_ptr failure;
  std::jthread worker([&] {
    try {
      body();
    } catch (...) {
      failure = std::current_exception();
    }
    const std::scoped_lock lock(mutex_);
    is_done_ = true;
    changed_.notify_all();
  });
  for (bool is_done = false; !is_done;) {
    {
      const py::gil_scoped_release without_python;
      std::unique_lock lock(mutex_);
      is_done = changed_.wait_for(lock, kBetweenLooks, [this] { return is_done_; });
    }
    look_for_signals();
    deliver();
  }
  worker.join();
  if (error_) throw py::error_already_set(*error_);
  if (failure) std::rethrow_exception(failure);
}

void LongCall::look_for_signals() {
  if (PyErr_CheckSignals() == 0) return;
  const bool is_interrupt = PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) != 0;
  if (is_interrupt && on_interrupt_ == OnInterrupt::keep && !is_interrupted_) {
    PyErr_Clear();
    is_interrupted_ = true;
    stop_.request_stop();
    return;
  }
  stop_with_python_error();
}

void LongCall::deliver() {
  std::function<py::object()> news;
  {
    const std::scoped_lock lock(mutex_);
    news.swap(news_);
  }
  if (!news || progress_.is_none() || error_) return;
  try {
    progress_(news());
  } catch (py::error_already_set& error) {
    error.restore();
    stop_with_python_error();
  }
}

void LongCall::stop_with_python_error() {
  if (error_) {
    PyErr_Clear();
  } else {
    error_.emplace();
  }
  stop_.request_stop();
}

}  // namespace rooftune::python
