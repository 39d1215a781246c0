#include "rooftune/eval/failures.hpp"

namespace rooftune::eval {

void Failures::note(const std::string& failure, bool is_last_try) {
  {
    const std::scoped_lock lock(mutex_);
    ++count_;
    if (first_.empty()) first_ = failure;
  }
  const bool ends = policy_.on_failure == OnFailure::abort || (policy_.on_failure == OnFailure::retry && is_last_try);
  if (ends) abort_.request_stop();
}

long Failures::count() const {
  const std::scoped_lock lock(mutex_);
  return count_;
}

std::string Failures::first() const {
  const std::scoped_lock lock(mutex_);
  return first_;
}

}  // namespace rooftune::eval
