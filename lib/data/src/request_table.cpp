#include "rooftune/data/request_table.hpp"

#include "rooftune/core/limits.hpp"
#include "rooftune/text/csv.hpp"
#include "rooftune/text/object_reader.hpp"

namespace rooftune::data {
namespace {

using domain::TracedRequest;

/// What a table may say beside the requests: how long the reply took.
struct Reply {
  double e2e_ms = 0.0;
};

std::map<int, domain::ClientCap> client_caps(const text::CsvTable& table, const std::vector<TracedRequest>& requests) {
  std::vector<Reply> replies(requests.size());
  text::Problems not_needed(table.file);  // a reply that nobody timed
  text::CsvColumns(table, not_needed).optional("e2e_ms", replies, &Reply::e2e_ms, text::above(0));
  std::map<int, std::vector<domain::InFlight>> stages;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if (requests[i].stage < 0 || replies[i].e2e_ms <= 0.0) continue;
    stages[requests[i].stage].push_back({requests[i].arrival_s, requests[i].arrival_s + replies[i].e2e_ms * 1e-3});
  }
  std::map<int, domain::ClientCap> caps;
  for (const auto& [stage, in_flight] : stages) {
    if (const auto cap = domain::find_client_cap(in_flight)) caps.emplace(stage, *cap);
  }
  return caps;
}

}  // namespace

core::Result<RequestTable> read_request_table(const std::filesystem::path& file) {
  const auto table = text::read_csv(file);
  if (!table) return tl::unexpected(table.error());
  text::Problems problems(table->file);
  RequestTable result;
  result.requests.resize(table->rows.size());
  text::CsvColumns columns(*table, problems);
  columns.required("stage", result.requests, &TracedRequest::stage, text::counted(-1, core::limits::kGroups));
  columns.required("arrival_s", result.requests, &TracedRequest::arrival_s, text::at_least(0));
  columns.required("input_tokens", result.requests, &TracedRequest::input_tokens, text::counted(1, core::limits::kTokens));
  columns.required("output_tokens", result.requests, &TracedRequest::output_tokens, text::counted(1, core::limits::kTokens));
  columns.optional("prefix_group", result.requests, &TracedRequest::prefix_group, text::counted(-1, core::limits::kGroups));
  columns.optional("shared_prefix_tokens", result.requests, &TracedRequest::shared_prefix_tokens,
                   text::counted(0, core::limits::kTokens));
  columns.optional("conversation", result.requests, &TracedRequest::conversation, text::counted(-1, core::limits::kGroups));
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  result.client_caps = client_caps(*table, result.requests);
  std::erase_if(result.requests, [](const TracedRequest& request) { return request.stage < 0; });
  return result;
}

}  // namespace rooftune::data
