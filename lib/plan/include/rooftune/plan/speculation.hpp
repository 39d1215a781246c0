#pragma once

#include <optional>

#include "rooftune/eval/dataset.hpp"
#include "rooftune/params/config.hpp"

namespace rooftune::plan {

/// What drafting gains in steps that only decode, by the number of requests in flight: all with one context.
struct SpeculationGain {
  double context_tokens = 0.0;   ///< of each request
  double tokens_per_step = 1.0;  ///< of each request: 1 + the mean number of accepted tokens
  double gain_alone = 1.0;       ///< time per token without drafts over that with them, of one request
  double gain_crowded = 1.0;     ///< and of `most_requests`
  int most_requests = 0;         ///< max_num_seqs
  /// From so many requests in flight on, up to most_requests, drafting costs more than it brings: 1: it never pays. Empty: it pays
  /// up to most_requests.
  std::optional<int> break_even_requests{};
};

/// Of a case that drafts (engine.speculation on); empty where it does not.
[[nodiscard]] std::optional<SpeculationGain> speculation_gain(const eval::Case& item, const params::Config& config);

}  // namespace rooftune::plan
