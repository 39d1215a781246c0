#include "rooftune/core/memory.hpp"

#if __has_include(<malloc.h>)
#include <malloc.h>
#endif

namespace rooftune::core {

void keep_freed_memory() {
#ifdef M_TRIM_THRESHOLD
  constexpr int kKept = 64 << 20;
  constexpr int kLargest = 32 << 20;  // glibc takes no more; larger pieces come from the system one by one
  mallopt(M_TRIM_THRESHOLD, kKept);
  mallopt(M_MMAP_THRESHOLD, kLargest);
#endif
}

}  // namespace rooftune::core
