#include "rooftune/eval/external.hpp"

#include <fmt/format.h>

#include <utility>

#include "rooftune/eval/dataset.hpp"

namespace rooftune::eval {

ExternalOutcome ExternalRuns::predict(const Case& item, std::uint64_t seed, const params::Config& config, Failures& failures) {
  const FailurePolicy& policy = failures.policy();
  const int tries = 1 + (policy.on_failure == OnFailure::retry ? policy.retries : 0);
  for (int attempt = 1;; ++attempt) {
    if (failures.aborted().stop_requested()) return tl::unexpected(std::string("the run has been ended"));
    ExternalOutcome outcome = simulator_->predict(item, seed, config, cancel_);
    if (outcome || cancel_.stop_requested()) return outcome;
    const std::string failure = fmt::format("experiment '{}': {}", item.experiment.id, outcome.error());
    failures.note(failure, attempt >= tries);
    if (attempt >= tries) return tl::unexpected(failure);
  }
}

void ExternalRuns::cancel_with(std::stop_token token) { cancel_ = std::move(token); }

}  // namespace rooftune::eval
