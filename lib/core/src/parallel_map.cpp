#include "rooftune/core/parallel_map.hpp"

#include <algorithm>
#include <thread>

#if defined(ROOFTUNE_PARALLEL_JTHREAD)
#include <atomic>
#include <exception>
#else
#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/info.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task.h>
#include <oneapi/tbb/task_arena.h>
#endif

namespace rooftune::core {

int resolve(ThreadCount threads) {
  if (threads.value > 0) return threads.value;
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

namespace detail {

#if defined(ROOFTUNE_PARALLEL_JTHREAD)

void run_indices(std::size_t count, ThreadCount threads, const std::function<Watch(std::size_t)>& body) {
  const std::size_t workers = std::min(count, static_cast<std::size_t>(resolve(threads)));
  std::atomic<bool> is_stopped = false;
  std::exception_ptr failure;
  std::mutex failure_mutex;
  const auto stride = [&](std::size_t first) {
    try {
      for (std::size_t i = first; i < count && !is_stopped; i += workers) {
        if (body(i) == Watch::stop) is_stopped = true;
      }
    } catch (...) {
      const std::scoped_lock lock(failure_mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> pool;
    for (std::size_t worker = 1; worker < workers; ++worker) pool.emplace_back(stride, worker);
    if (workers > 0) stride(0);
  }
  if (failure) std::rethrow_exception(failure);
}

#else

void run_indices(std::size_t count, ThreadCount threads, const std::function<Watch(std::size_t)>& body) {
  // More workers than cores gain nothing, and oneTBB warns about them on the terminal.
  const int workers = std::min(resolve(threads), oneapi::tbb::info::default_concurrency());
  if (workers == 1 || count <= 1) {
    for (std::size_t i = 0; i < count; ++i) {
      if (body(i) == Watch::stop) return;
    }
    return;
  }
  oneapi::tbb::task_arena arena(workers);
  arena.execute([&] {
    // Not those of an enclosing loop: who stops here ends this one alone.
    oneapi::tbb::task_group_context context(oneapi::tbb::task_group_context::isolated);
    // Grain 1: one index is a whole simulated experiment, so balance matters more than dispatch cost.
    oneapi::tbb::parallel_for(
        oneapi::tbb::blocked_range<std::size_t>(0, count, 1),
        [&](const auto& range) {
          for (std::size_t i = range.begin(); i != range.end() && !context.is_group_execution_cancelled(); ++i) {
            if (body(i) == Watch::stop) context.cancel_group_execution();
          }
        },
        context);
  });
}

#endif

}  // namespace detail
}  // namespace rooftune::core
