#include "rooftune/sim/speculation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "rooftune/core/units.hpp"
#include "rooftune/latency/operators.hpp"
#include "rooftune/sim/kv_estimate.hpp"

namespace rooftune::sim {
namespace {

/// The mean accepted length of k tokens that are each accepted with probability p, given those before: 1 + p + ... + p^k.
double mean_length(double p, int k) {
  double sum = 1.0;
  double share = 1.0;
  for (int i = 0; i < k; ++i) sum += share *= p;
  return sum;
}

double probability_of(double length, int k) {
  double low = 0.0;
  double high = 1.0;
  for (int i = 0; i < 60; ++i) {
    const double middle = 0.5 * (low + high);
    (mean_length(middle, k) < length ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

}  // namespace

std::optional<DraftKind> draft_kind(std::string_view method) {
  if (method == "eagle" || method == "eagle3" || method == "mtp" || method.ends_with("_mtp")) return DraftKind::layers;
  if (method == "draft_model") return DraftKind::model;
  if (method == "ngram" || method == "ngram_gpu") return DraftKind::host;
  return std::nullopt;
}

std::vector<double> acceptance_shares(const domain::Speculation& speculation) {
  if (!speculation.acceptance_per_position.empty()) return speculation.acceptance_per_position;
  const double p = probability_of(*speculation.mean_accepted_length, speculation.num_speculative_tokens);
  std::vector<double> shares;
  double share = 1.0;
  for (int i = 0; i < speculation.num_speculative_tokens; ++i) shares.push_back(share *= p);
  return shares;
}

std::optional<std::string> problem_of(const domain::Speculation& speculation) {
  const int k = speculation.num_speculative_tokens;
  const std::vector<double>& shares = speculation.acceptance_per_position;
  if (!draft_kind(speculation.method)) {
    return fmt::format(
        "speculative decoding by '{}' is not simulated (eagle, eagle3, mtp, draft_model and ngram are; "
        "engine.speculation: off leaves it out)",
        speculation.method);
  }
  if (k <= 0) {
    return fmt::format("speculative decoding ({}) without the number of drafted tokens (add num_speculative_tokens)",
                       speculation.method);
  }
  if (shares.empty() && !speculation.mean_accepted_length) {
    return fmt::format(
        "speculative decoding ({}, {} tokens) without what is accepted of them (add mean_accepted_length or "
        "acceptance_per_position; engine.speculation: off leaves it out)",
        speculation.method, k);
  }
  if (!shares.empty() && std::ssize(shares) != k) {
    return fmt::format("acceptance_per_position has {} shares for {} drafted tokens (give one for each)", shares.size(), k);
  }
  if (!std::ranges::is_sorted(shares, std::greater{})) {
    return "acceptance_per_position grows from one position to the next (give the share of the steps that accept at least so many "
           "tokens, as vLLM logs it)";
  }
  if (shares.empty() && *speculation.mean_accepted_length > k + 1) {
    return fmt::format("a mean accepted length of {:g} with {} drafted tokens (at most {})", *speculation.mean_accepted_length, k,
                       k + 1);
  }
  if (draft_kind(speculation.method) == DraftKind::model && speculation.draft_model.empty()) {
    return "speculative decoding by a draft model without its name (add draft_model)";
  }
  return std::nullopt;
}

SpeculationSetup speculation_setup(const domain::Speculation& speculation) {
  const DraftKind kind = *draft_kind(speculation.method);
  return {.draft_tokens = speculation.num_speculative_tokens,
          .lookahead_tokens = kind == DraftKind::host ? 0 : speculation.num_speculative_tokens,
          .recomputes_last_hit = kind == DraftKind::layers,
          .acceptance = acceptance_shares(speculation)};
}

DeployedDrafter::DeployedDrafter(const domain::Speculation& speculation, const domain::ModelSpec& target,
                                 const domain::ModelSpec* draft)
    : tokens_(speculation.num_speculative_tokens), has_head_(draft != nullptr) {
  if (draft != nullptr) {
    model_ = *draft;
    model_->sampling.reset();  // drafts are greedy
  } else if (draft_kind(speculation.method) == DraftKind::layers) {
    model_ = latency::draft_layers_of(target, speculation.draft_layers);
  }
}

std::int64_t DeployedDrafter::kv_blocks(const domain::ModelSpec& target, const domain::GpuSpec& gpu, domain::Deployment deployment,
                                        std::int64_t request_tokens) const {
  if (!model_) return estimate_kv_blocks(target, gpu, deployment, request_tokens);
  domain::ModelSpec weights = *model_;
  if (!has_head_) weights.vocabulary = 0;
  const double memory_bytes = core::to_bytes(gpu.memory).value;
  deployment.settings.gpu_mem_util -= latency::weight_bytes_of_one_gpu(weights, deployment) / memory_bytes;
  const auto blocks = static_cast<double>(estimate_kv_blocks(target, gpu, deployment, request_tokens));
  const double own = kv_block_bytes(target, deployment, request_tokens);
  return static_cast<std::int64_t>(blocks * own / (own + kv_block_bytes(*model_, deployment, request_tokens)));
}

}  // namespace rooftune::sim
