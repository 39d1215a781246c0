#pragma once

#include <map>
#include <mutex>
#include <tuple>

#include "rooftune/calibrate/evaluation_store.hpp"

namespace rooftune::examples {

/// An evaluation store without a file. Forgets what is appended after the first `capacity` evaluations, as a process that was
/// killed then.
class MemoryStore final : public calibrate::EvaluationStore {
 public:
  explicit MemoryStore(std::size_t capacity = 1'000'000) : capacity_(capacity) {}

  std::optional<calibrate::StoredEvaluation> find(const calibrate::EvaluationKey& key) override {
    const std::scoped_lock lock(mutex_);
    const auto found = evaluations_.find(owned(key));
    return found == evaluations_.end() ? std::nullopt : std::optional(found->second);
  }
  void append(const calibrate::EvaluationKey& key, const calibrate::StoredEvaluation& evaluation) override {
    const std::scoped_lock lock(mutex_);
    if (evaluations_.size() < capacity_) evaluations_.try_emplace(owned(key), evaluation);
  }
  void flush() override {}
  core::Diagnostics problems() const override { return {}; }

  [[nodiscard]] std::size_t size() const { return evaluations_.size(); }
  void grow() { capacity_ = 1'000'000; }

 private:
  using Owned = std::tuple<std::string, std::string, std::vector<double>>;
  static Owned owned(const calibrate::EvaluationKey& key) {
    return {std::string(key.problem), std::string(key.request), {key.point.begin(), key.point.end()}};
  }

  std::size_t capacity_;
  std::map<Owned, calibrate::StoredEvaluation> evaluations_;
  std::mutex mutex_;
};

}  // namespace rooftune::examples
