#pragma once

#include <cstddef>
#include <functional>

namespace rooftune::core {

/// How many workers a parallel loop may use; 0 means "as many as the machine has".
struct ThreadCount {
  int value = 0;
};

/// Calls body(0) ... body(count - 1), each exactly once, in any order and on up to `threads` workers.
/// Results must go to a slot of their own (indexed by the argument) and be summed in index order afterwards, so that they
/// do not depend on the number of workers. The first exception of a body is rethrown here.
/// Backend: oneTBB, or std::jthread with fixed strides where thread sanitizer must see every access (preset tsan).
void parallel_for(std::size_t count, ThreadCount threads, const std::function<void(std::size_t)>& body);

/// The number of workers that `threads` stands for on this machine.
[[nodiscard]] int resolve(ThreadCount threads);

}  // namespace rooftune::core
