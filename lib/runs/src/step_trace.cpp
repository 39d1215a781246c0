#include "rooftune/runs/step_trace.hpp"

#include <fmt/format.h>

#include <iterator>

namespace rooftune::runs {
namespace {

struct PrefillSums {
  std::int64_t new_tokens = 0;
  std::int64_t context_tokens = 0;
};

PrefillSums sum(std::span<const latency::PrefillChunk> prefills) {
  PrefillSums sums;
  for (const latency::PrefillChunk& chunk : prefills) {
    sums.new_tokens += chunk.new_tokens;
    sums.context_tokens += chunk.context_tokens;
  }
  return sums;
}

}  // namespace

void StepTraceCsv::on_step(const sim::StepEvent& event, const latency::StepBreakdown& breakdown) {
  auto out = std::back_inserter(text_);
  if (text_.empty()) {
    fmt::format_to(out,
                   "step,start_us,duration_us,prefill_requests,prefill_tokens,prefill_context_tokens,decode_requests,"
                   "decode_context_tokens,waiting_requests,kv_blocks_in_use,bound");
    for (const latency::StepTerm& term : breakdown.terms) fmt::format_to(out, ",{}_us", term.name);
    text_ += '\n';
  }
  const PrefillSums prefill = sum(event.batch.prefills);
  fmt::format_to(out, "{},{:.3f},{:.3f},{},{},{},{},{},{},{},{}", step_++, event.start_us, event.duration_us,
                 event.batch.prefills.size(), prefill.new_tokens, prefill.context_tokens, event.batch.decode_requests,
                 event.batch.decode_context_tokens, event.waiting, event.kv_blocks_in_use, breakdown.bound);
  for (const latency::StepTerm& term : breakdown.terms) fmt::format_to(out, ",{:.3f}", term.duration_us);
  text_ += '\n';
}

void ChromeTrace::on_step(const sim::StepEvent& event, const latency::StepBreakdown& breakdown) {
  auto out = std::back_inserter(events_);
  const PrefillSums prefill = sum(event.batch.prefills);
  const std::string_view kind = event.batch.prefills.empty() ? "decode" : (event.batch.decode_requests == 0 ? "prefill" : "mixed");
  if (!events_.empty()) events_ += ",\n";
  fmt::format_to(
      out,
      R"({{"name":"{}","ph":"X","pid":1,"tid":1,"ts":{:.3f},"dur":{:.3f},"args":{{"prefill_requests":{},"prefill_tokens":{},)"
      R"("decode_requests":{},"decode_context_tokens":{},"bound":"{}")",
      kind, event.start_us, event.duration_us, event.batch.prefills.size(), prefill.new_tokens, event.batch.decode_requests,
      event.batch.decode_context_tokens, breakdown.bound);
  for (const latency::StepTerm& term : breakdown.terms) fmt::format_to(out, R"(,"{}_us":{:.3f})", term.name, term.duration_us);
  fmt::format_to(out, "}}}},\n");
  fmt::format_to(out,
                 R"({{"name":"requests","ph":"C","pid":1,"ts":{:.3f},"args":{{"running":{},"waiting":{}}}}},)"
                 "\n"
                 R"({{"name":"KV blocks","ph":"C","pid":1,"ts":{:.3f},"args":{{"in use":{}}}}})",
                 event.start_us, static_cast<std::int64_t>(event.batch.prefills.size()) + event.batch.decode_requests, event.waiting,
                 event.start_us, event.kv_blocks_in_use);
}

std::string ChromeTrace::text() const {
  return R"({"displayTimeUnit":"ms","traceEvents":[)"
         "\n" +
         events_ + "\n]}\n";
}

void RequestTable::on_finished(const sim::RequestEvent& event) {
  fmt::format_to(std::back_inserter(text_), "{},{},{:.3f},{:.3f},{:.3f},{:.3f},{:.3f},{},{},{},{},finished\n", event.stage,
                 event.index, event.arrival_us, event.first_token_us, event.finished_us, event.first_token_us - event.arrival_us,
                 event.finished_us - event.arrival_us, event.prompt_tokens, event.cached_tokens, event.output_tokens,
                 event.preemptions);
}

void RequestTable::on_rejected(const sim::RejectionEvent& event) {
  fmt::format_to(std::back_inserter(text_), "{},{},{:.3f},,,,,{},,{},,rejected: {}\n", event.stage, event.index, event.arrival_us,
                 event.prompt_tokens, event.output_tokens, sim::rejection_text(event.reason));
}

}  // namespace rooftune::runs
