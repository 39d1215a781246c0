#include "rooftune/eval/external.hpp"

#include <fmt/format.h>

#include <utility>

#include "rooftune/eval/dataset.hpp"

namespace rooftune::eval {

ExternalOutcome ExternalRuns::predict(const Case& item, std::uint64_t seed, const params::Config& config) {
  const int tries = 1 + (policy_.on_failure == OnFailure::retry ? policy_.retries : 0);
  for (int attempt = 1;; ++attempt) {
    if (abort_.stop_requested()) return tl::unexpected(std::string("the run has been ended"));
    ExternalOutcome outcome = simulator_->predict(item, seed, config, cancel_);
    if (outcome || cancel_.stop_requested()) return outcome;
    const std::string failure = fmt::format("experiment '{}': {}", item.experiment.id, outcome.error());
    const bool ends = policy_.on_failure == OnFailure::abort || (policy_.on_failure == OnFailure::retry && attempt >= tries);
    {
      const std::scoped_lock lock(mutex_);
      ++failures_;
      if (first_failure_.empty()) first_failure_ = failure;
    }
    if (ends) abort_.request_stop();
    if (attempt >= tries) return tl::unexpected(failure);
  }
}

void ExternalRuns::cancel_with(std::stop_token token) { cancel_ = std::move(token); }

long ExternalRuns::failures() const {
  const std::scoped_lock lock(mutex_);
  return failures_;
}

std::string ExternalRuns::first_failure() const {
  const std::scoped_lock lock(mutex_);
  return first_failure_;
}

}  // namespace rooftune::eval
