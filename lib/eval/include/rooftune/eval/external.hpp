#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "rooftune/core/word.hpp"
#include "rooftune/domain/experiment.hpp"
#include "rooftune/params/config.hpp"

namespace rooftune::eval {

struct Case;

/// What becomes of a search when a simulator fails on an experiment: crashes, runs out of time or says nothing that can be read.
/// Whatever the choice, failures are counted, and no result holds a number in the place of a failed experiment.
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
  int retries = 2;       ///< retry
  double penalty = 3.0;  ///< penalise: residual of each row before its weight; 3 is a factor of 20 in a log ratio
  friend bool operator==(const FailurePolicy&, const FailurePolicy&) = default;
};

/// Latencies of the summary, then of every stage; or what went wrong, in words.
using ExternalOutcome = tl::expected<std::vector<domain::Latencies>, std::string>;

/// A simulator that is not ours. Called by many threads at once; the same arguments must give the same bits.
class ExternalSimulator {
 public:
  ExternalSimulator() = default;
  ExternalSimulator(const ExternalSimulator&) = delete;
  ExternalSimulator& operator=(const ExternalSimulator&) = delete;
  virtual ~ExternalSimulator() = default;

  /// Tells this simulator from others, for the keys of stored evaluations.
  [[nodiscard]] virtual std::string identity() const = 0;
  [[nodiscard]] virtual ExternalOutcome predict(const Case& item, std::uint64_t seed, const params::Config& config,
                                                const std::stop_token& cancel) const = 0;
};

/// An external simulator in use: applies the failure policy and keeps count.
class ExternalRuns {
 public:
  ExternalRuns(std::unique_ptr<const ExternalSimulator> simulator, const FailurePolicy& policy)
      : simulator_(std::move(simulator)), policy_(policy) {}

  [[nodiscard]] ExternalOutcome predict(const Case& item, std::uint64_t seed, const params::Config& config);

  [[nodiscard]] std::string identity() const { return simulator_->identity(); }
  [[nodiscard]] const FailurePolicy& policy() const { return policy_; }

  /// Ends running simulations when the token says so.
  void cancel_with(std::stop_token token);
  /// Requested when the policy ends the run.
  [[nodiscard]] std::stop_token aborted() const { return abort_.get_token(); }
  [[nodiscard]] long failures() const;
  /// The first failure in words, or empty.
  [[nodiscard]] std::string first_failure() const;

 private:
  std::unique_ptr<const ExternalSimulator> simulator_;
  FailurePolicy policy_;
  std::stop_token cancel_;
  std::stop_source abort_;
  mutable std::mutex mutex_;
  long failures_ = 0;
  std::string first_failure_;
};

}  // namespace rooftune::eval
