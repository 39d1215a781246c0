#pragma once

#include <vector>

#include "recorded_run.hpp"

namespace rooftune::importers {

/// What a GuideLLM report says about its synthetic data.
struct SyntheticData {
  std::vector<PrefixBucket> prefixes;  ///< empty: prompts share nothing
  int turns = 1;                       ///< of a conversation
};

/// Reads the data argument wherever a version keeps it, as an object (0.8), JSON or Python text in a list (0.5), or key=value pairs.
[[nodiscard]] SyntheticData guidellm_data(const text::Node& report, const text::Node& benchmark);

}  // namespace rooftune::importers
