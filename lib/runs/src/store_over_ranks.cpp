#include "rooftune/runs/store_over_ranks.hpp"

#include <deque>
#include <mutex>
#include <tuple>
#include <utility>

#include "rooftune/core/packing.hpp"

namespace rooftune::calibrate {

template <class Archive, core::ValueOf<StoredEvaluation> Value>
static void fields(Archive& archive, Value& evaluation) {
  auto& [numbers, refusal] = evaluation;
  archive(numbers, refusal);
}

}  // namespace rooftune::calibrate

namespace rooftune::runs {
namespace {

using calibrate::EvaluationKey;
using calibrate::StoredEvaluation;

enum class Wish : unsigned char { knows_anything, find, append };

/// An EvaluationKey that owns what it names.
struct Key {
  std::string problem;
  std::string request;
  std::vector<double> point;
  friend bool operator==(const Key&, const Key&) = default;
};

template <class Archive, core::ValueOf<Key> Value>
void fields(Archive& archive, Value& key) {
  auto& [problem, request, point] = key;
  archive(problem, request, point);
}

class RemoteStore final : public calibrate::EvaluationStore {
 public:
  explicit RemoteStore(core::Ranks& ranks) : ranks_(ranks) {}

  std::optional<StoredEvaluation> find(const EvaluationKey& key) override {
    const Key owned = owned_by(key);
    {
      const std::scoped_lock lock(mutex_);
      for (const auto& [known, evaluation] : recent_) {
        if (known == owned) return evaluation;
      }
      if (!knows_anything_) knows_anything_ = core::unpacked<bool>(ranks_.ask(core::packed(Wish::knows_anything)));
      if (!*knows_anything_) return std::nullopt;
    }
    const std::string answer = ranks_.ask(core::packed(Wish::find, owned));
    return answer.empty() ? std::nullopt : core::unpacked<std::optional<StoredEvaluation>>(answer);
  }

  void append(const EvaluationKey& key, const StoredEvaluation& evaluation) override {
    Key owned = owned_by(key);
    ranks_.tell(core::packed(Wish::append, owned, evaluation));
    const std::scoped_lock lock(mutex_);
    recent_.emplace_back(std::move(owned), evaluation);
    if (recent_.size() > kRecent) recent_.pop_front();
  }

  void flush() override {}
  [[nodiscard]] core::Diagnostics problems() const override { return {}; }

 private:
  /// A search that asks for a point again does so soon.
  static constexpr std::size_t kRecent = 32;

  static Key owned_by(const EvaluationKey& key) {
    return {.problem = std::string(key.problem), .request = std::string(key.request), .point = {key.point.begin(), key.point.end()}};
  }

  core::Ranks& ranks_;
  std::mutex mutex_;
  std::deque<std::pair<Key, StoredEvaluation>> recent_;
  std::optional<bool> knows_anything_;
};

}  // namespace

std::unique_ptr<calibrate::EvaluationStore> make_remote_store(core::Ranks& ranks) { return std::make_unique<RemoteStore>(ranks); }

std::string answer_remote_store(std::string_view message, const calibrate::StoreUse& use, bool may_know) {
  core::Unpacker unpacker(message);
  Wish wish{};
  unpacker(wish);
  if (wish == Wish::knows_anything) return core::packed(may_know);
  Key owned;
  unpacker(owned);
  const EvaluationKey key{.problem = owned.problem, .request = owned.request, .point = owned.point};
  if (wish == Wish::append) {
    StoredEvaluation evaluation;
    unpacker(evaluation);
    use.store->append(key, evaluation);
    return {};
  }
  const std::optional<StoredEvaluation> found = use.store->find(key);
  if (use.counts != nullptr) ++(found ? use.counts->found : use.counts->missed);
  return core::packed(found);
}

}  // namespace rooftune::runs
