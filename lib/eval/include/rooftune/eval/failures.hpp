#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <stop_token>
#include <string>

#include "rooftune/core/word.hpp"

namespace rooftune::eval {

/// What becomes of a search when a simulator fails on an experiment: an external one that crashes, runs out of time or says
/// nothing that can be read, or the built-in one when it runs out of events. Whatever the choice, failures are counted, and no
/// result holds a number in the place of a failed experiment.
enum class OnFailure {
  abort,     ///< the run ends at the first one
  retry,     ///< tries again so often, then ends
  penalise,  ///< rows of the failed experiment get a stated residual, so that the search moves away
  skip,      ///< the point is turned down, as one that cannot be evaluated
};
inline constexpr std::array<core::Word<OnFailure>, 4> kOnFailures{{
    {"abort", OnFailure::abort},
    {"retry", OnFailure::retry},
    {"penalise", OnFailure::penalise},
    {"skip", OnFailure::skip},
}};

struct FailurePolicy {
  OnFailure on_failure = OnFailure::abort;
  int retries = 2;       ///< retry; external simulators only, ours would fail the same way
  double penalty = 3.0;  ///< penalise: residual of each row before its weight; 3 is a factor of 20 in a log ratio
  /// Of the built-in simulation: what one engine may need for one experiment. The shipped experiments need up to 50 thousand;
  /// this many take seconds.
  std::int64_t max_events = 10'000'000;
  friend bool operator==(const FailurePolicy&, const FailurePolicy&) = default;
};

/// The failures of a run so far, and what the policy makes of them. Used by many threads at once.
class Failures {
 public:
  Failures() = default;
  explicit Failures(const FailurePolicy& policy) : policy_(policy) {}

  /// Counts a failure. `is_last_try`: nothing will be tried again.
  void note(const std::string& failure, bool is_last_try = true);

  [[nodiscard]] const FailurePolicy& policy() const { return policy_; }
  /// Requested when the policy ends the run.
  [[nodiscard]] std::stop_token aborted() const { return abort_.get_token(); }
  [[nodiscard]] long count() const;
  /// The first failure in words, or empty.
  [[nodiscard]] std::string first() const;

 private:
  FailurePolicy policy_;
  std::stop_source abort_;
  mutable std::mutex mutex_;
  long count_ = 0;
  std::string first_;
};

}  // namespace rooftune::eval
