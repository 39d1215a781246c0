#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "recorded_run.hpp"
#include "units.hpp"

namespace rooftune::importers {
namespace {

// vLLM (--otlp-traces-endpoint) sends one span "llm_request" for every request, with gen_ai.* attributes: prompt and completion
// tokens, seconds to the first token and to the end. Read is OTLP's JSON as the OpenTelemetry Collector's file exporter writes it:
// {"resourceSpans": [{"scopeSpans": [{"spans": [...]}]}]}, one document or one a line; the same as Tempo's query API wraps it
// ({"batches": [...]}, {"trace": {"resourceSpans": ...}}) and as Jaeger's does ({"result": ...}); and Jaeger's own JSON,
// {"data": [{"spans": [{"operationName", "startTime" in us, "tags": [{"key", "value"}]}]}]}.

constexpr std::string_view kSpanName = "llm_request";

/// The value of an attribute, whatever its type; OTLP writes whole numbers as texts. Jaeger calls attributes tags.
const text::Node* attribute(const text::Node& span, std::string_view key) {
  const text::Node* attributes = find_any(span, {"attributes", "tags"});
  if (attributes == nullptr) return nullptr;
  for (const text::Node& item : attributes->items) {
    const text::Node* name = item.find("key");
    if (name == nullptr || name->text != key) continue;
    const text::Node* value = find_any(item, {"value.doubleValue", "value.intValue", "value.stringValue", "value.boolValue"});
    if (value != nullptr) return value;
    value = item.find("value");
    return value != nullptr && value->kind == text::Node::Kind::scalar ? value : nullptr;
  }
  return nullptr;
}

std::optional<double> number_of(const text::Node* node) {
  if (node == nullptr) return std::nullopt;
  double value = 0.0;
  const char* const end = node->text.data() + node->text.size();
  const auto parsed = std::from_chars(node->text.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

/// Collects the spans of all files.
class SpanReader {
 public:
  void read(const text::Document& document, text::Problems& problems) {
    if (const text::Node* traces = find_any(document.root, {"data"}); traces != nullptr && traces->kind == text::Node::Kind::list) {
      for (const text::Node& trace : traces->items) read_spans(trace, problems);
      return;
    }
    const text::Node* resources =
        find_any(document.root, {"resourceSpans", "batches", "trace.resourceSpans", "trace.batches", "result.resourceSpans"});
    if (resources == nullptr) {
      problems.error(document.root.place, "no 'resourceSpans'",
                     "name files in OTLP's JSON, as the OpenTelemetry Collector writes them, or exports of Tempo or Jaeger");
      return;
    }
    for (const text::Node& resource : resources->items) {
      const text::Node* scopes = find_any(resource, {"scopeSpans", "instrumentationLibrarySpans"});
      if (scopes == nullptr) continue;
      for (const text::Node& scope : scopes->items) read_spans(scope, problems);
    }
  }

  [[nodiscard]] std::vector<RecordedRequest>& requests() { return requests_; }
  [[nodiscard]] const std::optional<std::string>& model() const { return model_; }
  [[nodiscard]] std::size_t unfinished() const { return unfinished_; }

 private:
  void read_spans(const text::Node& holder, text::Problems& problems) {
    const text::Node* spans = find_any(holder, {"spans"});
    if (spans == nullptr) return;
    for (const text::Node& span : spans->items) add(span, problems);
  }

  void add(const text::Node& span, text::Problems& problems) {
    const text::Node* name = find_any(span, {"name", "operationName"});
    if (name == nullptr || name->text != kSpanName) return;
    const auto ttft = number_of(attribute(span, "gen_ai.latency.time_to_first_token"));
    const auto e2e = number_of(attribute(span, "gen_ai.latency.e2e"));
    const auto input = number_of(attribute(span, "gen_ai.usage.prompt_tokens"));
    const auto output = number_of(attribute(span, "gen_ai.usage.completion_tokens"));
    auto start_s = number_of(find_any(span, {"startTimeUnixNano"}));
    if (start_s) *start_s /= kNanosecondsPerSecond;
    if (const auto start_us = number_of(find_any(span, {"startTime"}))) start_s = *start_us / kMicrosecondsPerSecond;
    if (!ttft || *ttft <= 0.0 || (output && *output < 1.0)) {
      ++unfinished_;  // aborted before its first token
      return;
    }
    if (!e2e || !input || !output || !start_s) {
      problems.error(
          span.place,
          "a span llm_request lacks gen_ai.latency.e2e, gen_ai.usage.prompt_tokens, gen_ai.usage.completion_tokens or its start",
          "the server must be vLLM with --otlp-traces-endpoint");
      return;
    }
    if (const text::Node* model = attribute(span, "gen_ai.response.model"); model != nullptr && !model->text.empty())
      model_ = model->text;
    const RecordedRequest request{.start_s = *start_s,
                                  .ttft_ms = *ttft * kMillisecondsPerSecond,
                                  .e2e_ms = *e2e * kMillisecondsPerSecond,
                                  .input_tokens = static_cast<int>(*input),
                                  .output_tokens = static_cast<int>(*output)};
    if (check_request(request, span.place, problems)) requests_.push_back(request);
  }

  std::vector<RecordedRequest> requests_;
  std::optional<std::string> model_;
  std::size_t unfinished_ = 0;
};

/// Cuts where no request is under way for the gap.
std::vector<RecordedStage> split(std::vector<RecordedRequest> requests, std::optional<double> stage_gap_s) {
  std::ranges::stable_sort(requests, {}, &RecordedRequest::start_s);
  std::vector<RecordedStage> stages(1);
  double idle_since_s = requests.front().start_s;
  for (const RecordedRequest& request : requests) {
    if (stage_gap_s && request.start_s > idle_since_s + *stage_gap_s) stages.emplace_back();
    stages.back().requests.push_back(request);
    idle_since_s = std::max(idle_since_s, request.start_s + request.e2e_ms / kMillisecondsPerSecond);
  }
  for (RecordedStage& stage : stages) stage.duration_s = sending_s(stage.requests);
  return stages;
}

}  // namespace

core::Result<std::vector<RecordedRun>> read_otel(std::span<const std::filesystem::path> files, std::optional<double> stage_gap_s) {
  SpanReader spans;
  core::Diagnostics errors;
  for (const std::filesystem::path& file : files) {
    const auto documents = read_json_lines(file);
    if (!documents) {
      errors.insert(errors.end(), documents.error().begin(), documents.error().end());
      continue;
    }
    text::Problems problems(file.string());
    for (const text::Document& document : *documents) spans.read(document, problems);
    const core::Diagnostics found = problems.take_errors();
    errors.insert(errors.end(), found.begin(), found.end());
  }
  if (errors.empty() && spans.requests().empty()) {
    return core::fail({.file = files.front().string()}, "no span llm_request of a finished request",
                      "the server must be vLLM with --otlp-traces-endpoint");
  }
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  RecordedRun run;
  run.file = files.front().string();
  run.id = id_of(files.front());
  run.model = spans.model();
  run.measured_at = domain::MeasuredAt::server;
  run.workload.name = "otel";
  run.workload.type = "otel_spans";
  run.workload.arrival.process = domain::ArrivalProcess::trace;
  run.stages = split(std::move(spans.requests()), stage_gap_s);
  if (!stage_gap_s) run.assumptions.emplace_back("all requests are one stage (else give --stage-gap SECONDS)");
  if (spans.unfinished() > 0) {
    run.assumptions.push_back(fmt::format("{} without a first token left out", counted(spans.unfinished(), "request")));
  }
  return std::vector{std::move(run)};
}

}  // namespace rooftune::importers
