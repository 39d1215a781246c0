#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/eval/failures.hpp"
#include "rooftune/params/config.hpp"

namespace rooftune::eval {

struct Case;

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

/// An external simulator in use: applies the failure policy.
class ExternalRuns {
 public:
  explicit ExternalRuns(std::unique_ptr<const ExternalSimulator> simulator) : simulator_(std::move(simulator)) {}

  [[nodiscard]] ExternalOutcome predict(const Case& item, std::uint64_t seed, const params::Config& config, Failures& failures);

  [[nodiscard]] std::string identity() const { return simulator_->identity(); }

  /// Ends running simulations when the token says so; from then on there are no answers, until it is given another.
  void cancel_with(std::stop_token token);
  [[nodiscard]] bool is_cancelled() const { return cancel_.stop_requested(); }

 private:
  std::unique_ptr<const ExternalSimulator> simulator_;
  std::stop_token cancel_;
};

}  // namespace rooftune::eval
