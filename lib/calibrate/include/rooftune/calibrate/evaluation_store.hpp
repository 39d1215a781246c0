#pragma once

#include <atomic>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/opt/loss.hpp"

namespace rooftune::calibrate {

/// What one evaluation was of. Points are told apart by their bits.
struct EvaluationKey {
  std::string_view problem;  ///< a hash of everything that the answer depends on besides request and point
  std::string_view request;  ///< what was asked for: "residuals", "jacobian" ...
  std::span<const double> point;
};

/// What an evaluation answered: numbers to the last bit, or why there are none.
struct StoredEvaluation {
  std::vector<double> numbers{};
  std::optional<std::string> refusal{};
  friend bool operator==(const StoredEvaluation&, const StoredEvaluation&) = default;
};

/// What a search by least squares makes small at the point: the loss summed over residuals, or the scalar where only that was asked
/// for. Nothing of refusals, and of numbers that no search stores.
[[nodiscard]] std::optional<double> objective_of(const StoredEvaluation& evaluation, const opt::Loss& loss);

/// Remembers evaluations beyond the process that made them. Solvers are deterministic, so a search that was killed and is begun
/// again asks for the same points and goes on where the store ends, bit for bit as if it had never stopped. Called by many
/// threads at once. A store that fails in mid-search must not end it: it forgets, and says so in `problems`.
class EvaluationStore {
 public:
  EvaluationStore() = default;
  EvaluationStore(const EvaluationStore&) = delete;
  EvaluationStore& operator=(const EvaluationStore&) = delete;
  virtual ~EvaluationStore() = default;

  [[nodiscard]] virtual std::optional<StoredEvaluation> find(const EvaluationKey& key) = 0;
  /// Nothing is ever replaced: what another process has stored under the key meanwhile stays.
  virtual void append(const EvaluationKey& key, const StoredEvaluation& evaluation) = 0;
  /// Makes what was appended so far survive the process.
  virtual void flush() = 0;
  /// What kept evaluations from being stored or found.
  [[nodiscard]] virtual core::Diagnostics problems() const = 0;
};

/// What happens to a point that the store does not hold.
enum class OnMiss {
  evaluate,
  refuse,  ///< replay: it counts as a point that cannot be evaluated
};

/// A store in use by one command, or none.
struct StoreUse {
  EvaluationStore* store = nullptr;
  OnMiss on_miss = OnMiss::evaluate;
  struct Counts {
    std::atomic<long> found = 0;
    std::atomic<long> missed = 0;
  };
  Counts* counts = nullptr;  ///< where to count; may be null
  std::stop_token stop{};    ///< of the search: a refusal that comes after it is no answer, and not stored
};

/// The answer to `key` from the store, else from `evaluate`, whose answer is stored.
template <class Evaluate>
[[nodiscard]] StoredEvaluation look_up_or(const StoreUse& use, const EvaluationKey& key, const Evaluate& evaluate) {
  if (use.store == nullptr) return evaluate();
  std::optional<StoredEvaluation> known = use.store->find(key);
  if (use.counts != nullptr) ++(known ? use.counts->found : use.counts->missed);
  if (known) return *std::move(known);
  if (use.on_miss == OnMiss::refuse) return {.refusal = "the store does not hold this point"};
  StoredEvaluation answer = evaluate();
  if (!(answer.refusal && use.stop.stop_requested())) use.store->append(key, answer);
  return answer;
}

}  // namespace rooftune::calibrate
