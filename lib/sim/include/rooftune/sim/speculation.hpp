#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/domain/gpu.hpp"
#include "rooftune/domain/model.hpp"
#include "rooftune/latency/speculative.hpp"
#include "rooftune/sim/engine.hpp"

namespace rooftune::sim {

/// What drafts tokens.
enum class DraftKind {
  layers,  ///< layers beside the target's, with its vocabulary: EAGLE, MTP
  model,   ///< a model of its own
  host,    ///< matches n-grams of what is there: no GPU time
};
/// By vLLM's name of the method: "eagle3", "mtp", "qwen3_next_mtp", "draft_model", "ngram" ...; empty: none that is simulated.
[[nodiscard]] std::optional<DraftKind> draft_kind(std::string_view method);

/// Share of the steps that accept at least 1, 2, ... drafted tokens. From a mean accepted length: every position is accepted with one
/// probability, given that those before it were.
[[nodiscard]] std::vector<double> acceptance_shares(const domain::Speculation& speculation);

/// What of a record of speculative decoding is missing or contradicts itself, or nothing.
[[nodiscard]] std::optional<std::string> problem_of(const domain::Speculation& speculation);

/// What the engine does, of a record without problems.
[[nodiscard]] SpeculationSetup speculation_setup(const domain::Speculation& speculation);

/// A deployment's drafter, and the model that it stands for.
class DeployedDrafter {
 public:
  /// `draft`: the model that drafts, where it is one of its own.
  DeployedDrafter(const domain::Speculation& speculation, const domain::ModelSpec& target, const domain::ModelSpec* draft);

  [[nodiscard]] latency::Drafter drafter() const { return {.tokens = tokens_, .model = model_ ? &*model_ : nullptr}; }
  /// KV blocks that are left of an estimate without it: it has weights, and a cache of its own in every block.
  [[nodiscard]] std::int64_t kv_blocks(const domain::ModelSpec& target, const domain::GpuSpec& gpu, domain::Deployment deployment,
                                       std::int64_t request_tokens) const;

 private:
  int tokens_;
  std::optional<domain::ModelSpec> model_;
  bool has_head_;  ///< an embedding and an LM head of its own
};

}  // namespace rooftune::sim
