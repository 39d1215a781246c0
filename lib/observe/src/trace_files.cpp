#include "rooftune/observe/trace_files.hpp"

#include <fmt/format.h>

#include <cmath>

#include "rooftune/core/printable.hpp"
#include "rooftune/text/csv_text.hpp"
#include "rooftune/text/yaml_text.hpp"

namespace rooftune::observe {
namespace {

std::string_view status_name(RequestStatus status) {
  switch (status) {
    case RequestStatus::ok: return "ok";
    case RequestStatus::error: return "error";
    case RequestStatus::timeout: return "timeout";
  }
  return "";
}

long long microseconds(double seconds) { return std::llround(seconds * 1e6); }

}  // namespace

std::string trace_header(const Observation& observation, const ObserveOptions& options) {
  const SelfCheck& self = observation.self;
  std::string result =
      fmt::format("trace_version: 2\ntime_unit: microseconds\nmode: real\nwarm_up_requests: {}\nserver:\n  type: vllm\n  model: {}\n",
                  options.warm_up_requests, text::yaml_text::scalar(options.model));
  result += "load:\n";
  result += observation.concurrency > 0 ? fmt::format("  process: closed_loop\n  concurrency: {}\n", observation.concurrency)
                                        : std::string("  process: open_loop\n");
  result += "client:\n  program: rooftune observe\n";
  if (observation.concurrency == 0) {
    result += fmt::format("  lateness_p50_ms: {:.3f}\n  lateness_p99_ms: {:.3f}\n  lateness_max_ms: {:.3f}\n", self.lateness_p50_ms,
                          self.lateness_p99_ms, self.lateness_max_ms);
  }
  result += fmt::format("  most_in_flight: {}\n  clock_drift_ms: {:.3f}\n", self.most_in_flight, self.clock_drift_ms);
  return result;
}

std::string trace_table(const Observation& observation) {
  std::string result =
      "request_id,client_id,tenant_id,slo_class,session_id,round_index,prefix_group,prefix_length,streaming,input_tokens,output_"
      "tokens,"
      "text_tokens,image_tokens,audio_tokens,video_tokens,reason_ratio,model,deadline_us,server_input_tokens,arrival_time_us,"
      "send_time_us,first_chunk_time_us,last_chunk_time_us,num_chunks,status,error_message,finish_reason,stage\n";
  for (std::size_t i = 0; i < observation.requests.size(); ++i) {
    const ObservedRequest& request = observation.requests[i];
    const bool is_shared = request.chain >= 0 && request.shared_tokens > 0;
    const int own_tokens = request.prompt_tokens - (is_shared ? request.shared_tokens : 0);
    result += fmt::format("{},,,,,0,{},{},true,{},{},{},0,0,0,0.0,,0,{},{},{},{},{},{},{},{},{},{}\n", i,
                          is_shared ? fmt::format("chain{}", request.chain) : "", is_shared ? request.shared_tokens : 0, own_tokens,
                          request.output_tokens, own_tokens, request.server_prompt_tokens, microseconds(request.planned_s),
                          microseconds(request.sent_s), microseconds(request.first_token_s), microseconds(request.last_token_s),
                          request.chunks, status_name(request.status), text::csv_cell(core::printable(request.problem)),
                          request.status == RequestStatus::ok ? "length" : "", request.stage);
  }
  return result;
}

}  // namespace rooftune::observe
