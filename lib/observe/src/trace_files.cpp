#include "rooftune/observe/trace_files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

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

/// A cell that may hold commas and quotes.
std::string quoted(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  std::string cell = "\"";
  for (const char c : text) cell += c == '"' ? std::string("\"\"") : std::string(1, c);
  return cell + "\"";
}

/// YAML reads a JSON string.
std::string yaml_text(const std::string& text) {
  std::string quoted_text = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted_text += '\\';
    quoted_text += c;
  }
  return quoted_text + "\"";
}

}  // namespace

std::string trace_header(const Observation& observation, const ObserveOptions& options) {
  const SelfCheck& self = observation.self;
  std::string text =
      fmt::format("trace_version: 2\ntime_unit: microseconds\nmode: real\nwarm_up_requests: {}\nserver:\n  type: vllm\n  model: {}\n",
                  options.warm_up_requests, yaml_text(options.model));
  text += "load:\n";
  text += observation.concurrency > 0 ? fmt::format("  process: closed_loop\n  concurrency: {}\n", observation.concurrency)
                                      : std::string("  process: open_loop\n");
  text += fmt::format(
      "client:\n  program: rooftune observe\n  lateness_p50_ms: {:.3f}\n  lateness_p99_ms: {:.3f}\n  lateness_max_ms: {:.3f}\n"
      "  most_in_flight: {}\n  clock_drift_ms: {:.3f}\n",
      self.lateness_p50_ms, self.lateness_p99_ms, self.lateness_max_ms, self.most_in_flight, self.clock_drift_ms);
  return text;
}

std::string trace_table(const Observation& observation) {
  std::string text =
      "request_id,client_id,tenant_id,slo_class,session_id,round_index,prefix_group,prefix_length,streaming,input_tokens,output_"
      "tokens,"
      "text_tokens,image_tokens,audio_tokens,video_tokens,reason_ratio,model,deadline_us,server_input_tokens,arrival_time_us,"
      "send_time_us,first_chunk_time_us,last_chunk_time_us,num_chunks,status,error_message,finish_reason,stage\n";
  for (std::size_t i = 0; i < observation.requests.size(); ++i) {
    const ObservedRequest& request = observation.requests[i];
    const bool is_shared = request.chain >= 0 && request.shared_tokens > 0;
    const int own_tokens = request.prompt_tokens - (is_shared ? request.shared_tokens : 0);
    text += fmt::format("{},,,,,0,{},{},true,{},{},{},0,0,0,0.0,,0,{},{},{},{},{},{},{},{},{},{}\n", i,
                        is_shared ? fmt::format("chain{}", request.chain) : "", is_shared ? request.shared_tokens : 0, own_tokens,
                        request.output_tokens, own_tokens, request.server_prompt_tokens, microseconds(request.planned_s),
                        microseconds(request.sent_s), microseconds(request.first_token_s), microseconds(request.last_token_s),
                        request.chunks, status_name(request.status), request.problem.empty() ? "" : quoted(request.problem),
                        request.status == RequestStatus::ok ? "length" : "", request.stage);
  }
  return text;
}

}  // namespace rooftune::observe
