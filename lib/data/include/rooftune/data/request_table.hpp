#pragma once

#include <filesystem>
#include <map>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/domain/client_cap.hpp"
#include "rooftune/domain/experiment.hpp"

namespace rooftune::data {

/// A table of requests to replay, and what it tells about the client that sent them.
struct RequestTable {
  std::vector<domain::TracedRequest> requests;  ///< stage -1, load levels outside the experiment, left out
  /// By stage, where replies were timed (`e2e_ms`) and the client was the limit.
  std::map<int, domain::ClientCap> client_caps;
};

/// CSV with columns stage, arrival_s, input_tokens, output_tokens and, optionally, prefix_group, shared_prefix_tokens,
/// conversation, e2e_ms (ground_truth/ground_truth.schema.json, arrival.table).
[[nodiscard]] core::Result<RequestTable> read_request_table(const std::filesystem::path& file);

}  // namespace rooftune::data
