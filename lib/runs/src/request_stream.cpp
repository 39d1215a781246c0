#include "rooftune/runs/request_stream.hpp"

#include <vector>

#include "rooftune/core/limits.hpp"
#include "rooftune/text/csv.hpp"
#include "rooftune/text/object_reader.hpp"

namespace rooftune::runs {
namespace {

using plan::FinishedRequest;

core::Result<FinishedRequest> from_json(std::string_view text, const std::string& name) {
  const auto document = text::parse_document(text, name, text::Syntax::json);
  if (!document) return tl::unexpected(document.error());
  text::Problems problems(name);
  FinishedRequest request;
  {
    text::ObjectReader reader(document->root, problems, "a request", text::OtherKeys::tolerate);
    reader.required("arrival_s", request.arrival_s, text::at_least(0));
    reader.required("input_tokens", request.input_tokens, text::counted(1, core::limits::kTokens));
    reader.required("output_tokens", request.output_tokens, text::counted(1, core::limits::kTokens));
    reader.required("ttft_ms", request.ttft_ms, text::above(0));
    reader.required("e2e_ms", request.e2e_ms, text::above(0));
  }
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  return request;
}

core::Result<FinishedRequest> from_csv(const std::string& header, std::string_view text, const std::string& name) {
  const auto table = text::parse_csv(header + "\n" + std::string(text) + "\n", name);
  if (!table) return tl::unexpected(table.error());
  text::Problems problems(name);
  std::vector<FinishedRequest> rows(table->rows.size());
  text::CsvColumns columns(*table, problems);
  columns.required("arrival_s", rows, &FinishedRequest::arrival_s, text::at_least(0));
  columns.required("input_tokens", rows, &FinishedRequest::input_tokens, text::counted(1, core::limits::kTokens));
  columns.required("output_tokens", rows, &FinishedRequest::output_tokens, text::counted(1, core::limits::kTokens));
  columns.required("ttft_ms", rows, &FinishedRequest::ttft_ms, text::above(0));
  columns.required("e2e_ms", rows, &FinishedRequest::e2e_ms, text::above(0));
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  return rows.front();
}

/// A line was read by itself: its problems are those of the stream's line.
core::Diagnostics on_line(core::Diagnostics problems, int line) {
  for (core::Diagnostic& problem : problems) problem.position.line = line;
  return problems;
}

}  // namespace

core::Result<std::optional<FinishedRequest>> RequestStream::line(std::string_view text) {
  ++line_;
  while (!text.empty() && (text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
  if (text.empty()) return std::nullopt;
  if (!header_ && !is_json_) {
    is_json_ = text.front() == '{';
    if (!is_json_) {
      header_ = std::string(text);
      return std::nullopt;
    }
  }
  auto request = is_json_ ? from_json(text, name_) : from_csv(*header_, text, name_);
  if (!request) return tl::unexpected(on_line(std::move(request.error()), line_));
  return *request;
}

}  // namespace rooftune::runs
