#include "rooftune/observe/observe.hpp"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "completion_stream.hpp"
#include "prompt_tokens.hpp"
#include "rooftune/core/statistics.hpp"

namespace rooftune::observe {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kMillisecondsPerSecond = 1e3;
/// Waiting for the network never lasts longer, so that limits are noticed.
constexpr int kLongestWaitMs = 100;

struct MultiCloser {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct EasyCloser {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct HeadersCloser {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Multi = std::unique_ptr<CURLM, MultiCloser>;
using Easy = std::unique_ptr<CURL, EasyCloser>;
using Headers = std::unique_ptr<curl_slist, HeadersCloser>;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// A request on its way: what was sent and what has come back.
struct Exchange {
  ObservedRequest observed;
  std::string body;
  CompletionStream answer;
  Easy easy;
  Clock::time_point clock_start;
  std::size_t index = 0;  ///< in the stage
};

std::size_t on_bytes(char* bytes, std::size_t size, std::size_t count, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  const double now_s = seconds_since(exchange.clock_start);
  const int chunks = exchange.answer.feed({bytes, size * count});
  if (chunks > 0) {
    if (exchange.observed.chunks == 0) exchange.observed.first_token_s = now_s;
    exchange.observed.last_token_s = now_s;
    exchange.observed.chunks += chunks;
  }
  return size * count;
}

/// Sends requests and collects what comes back; one thread, one multi handle.
class Sender {
 public:
  Sender(const sim::RequestPlan& plan, const ObserveOptions& options, const ObserveProgress& progress)
      : plan_(plan), options_(options), progress_(progress), url_(options.url) {
    while (url_.ends_with('/')) url_.pop_back();
    if (!url_.ends_with("/v1/completions")) url_ += url_.ends_with("/v1") ? "/completions" : "/v1/completions";
    multi_.reset(curl_multi_init());
    curl_slist* list = curl_slist_append(nullptr, "Content-Type: application/json");
    list = curl_slist_append(list, "Accept: text/event-stream");
    list = curl_slist_append(list, "Expect:");  // bodies go at once
    if (options.api_key) list = curl_slist_append(list, fmt::format("Authorization: Bearer {}", *options.api_key).c_str());
    headers_.reset(list);
    for (const sim::StagePlan& stage : plan.stages) planned_ += stage.requests.size();
  }

  core::Result<Observation> run() {
    if (auto warm = warm_up(); !warm) return tl::unexpected(warm.error());
    start_ = Clock::now();
    const auto system_start = std::chrono::system_clock::now();
    Observation observation{.requests = {}, .self = {}, .concurrency = plan_.concurrency};
    for (std::size_t stage = 0; stage < plan_.stages.size(); ++stage) {
      std::vector<ObservedRequest> requests = send_stage(plan_.stages[stage].requests, static_cast<int>(stage),
                                                         plan_.clients(plan_.stages[stage]), plan_.stages[stage].send_until_us * 1e-6);
      std::ranges::move(requests, std::back_inserter(observation.requests));
    }
    const double steady_ms = seconds_since(start_) * kMillisecondsPerSecond;
    const double system_ms = std::chrono::duration<double, std::milli>(std::chrono::system_clock::now() - system_start).count();
    observation.self = self_check(observation.requests, system_ms - steady_ms);
    const bool has_answers =
        std::ranges::any_of(observation.requests, [](const ObservedRequest& request) { return request.status == RequestStatus::ok; });
    if (!has_answers) {
      return core::fail({},
                        fmt::format("none of {} requests was answered: {}", observation.requests.size(),
                                    observation.requests.empty() ? "there are none" : observation.requests.front().problem),
                        fmt::format("check that {} serves the model '{}'", url_, options_.model));
    }
    return observation;
  }

 private:
  /// Requests of the plan's shape whose answers are thrown away; they share nothing with the measured ones.
  core::Result<void> warm_up() {
    if (options_.warm_up_requests <= 0 || plan_.stages.empty() || plan_.stages.front().requests.empty()) return {};
    constexpr int kAtATime = 8;
    std::vector<sim::PlannedRequest> requests;
    for (int i = 0; i < options_.warm_up_requests; ++i) {
      sim::PlannedRequest request = plan_.stages.front().requests[static_cast<std::size_t>(i) % plan_.stages.front().requests.size()];
      request.chain = -1;
      request.chain_tokens = 0;
      request.arrival_us = 0.0;
      requests.push_back(request);
    }
    start_ = Clock::now();
    is_warming_up_ = true;
    const std::vector<ObservedRequest> answers = send_stage(requests, 0, kAtATime);
    is_warming_up_ = false;
    most_in_flight_ = 0;
    const auto failed =
        std::ranges::find_if(answers, [](const ObservedRequest& answer) { return answer.status != RequestStatus::ok; });
    if (failed == answers.end()) return {};
    return core::fail({}, fmt::format("a request of the warm-up failed: {}", failed->problem),
                      fmt::format("check that {} serves the model '{}'", url_, options_.model));
  }

  /// Open loop at the planned times, or a closed loop of `clients`.
  /// A closed loop sends nothing after `send_until_s`.
  std::vector<ObservedRequest> send_stage(std::vector<sim::PlannedRequest> requests, int stage, int clients,
                                          double send_until_s = std::numeric_limits<double>::infinity()) {
    const double stage_start_s = seconds_since(start_);
    std::vector<ObservedRequest> done(requests.size());
    std::deque<double> free_since_s(static_cast<std::size_t>(std::max(0, clients)), stage_start_s);
    const double turnaround_s = plan_.turnaround_us.value_or(0.0) * 1e-6;
    std::size_t next = 0;
    std::size_t finished = 0;
    while (finished < requests.size()) {
      const double now_s = seconds_since(start_);
      if (now_s - stage_start_s > options_.stage_limit_s) {
        give_up(done, requests, next, stage);
        break;
      }
      if (clients > 0 && now_s - stage_start_s > send_until_s && next < requests.size()) {
        requests.resize(next);
        done.resize(next);
        continue;
      }
      while (next < requests.size() && is_due(requests[next], stage_start_s, free_since_s, clients)) {
        const sim::PlannedRequest& request = requests[next];
        double planned_s = stage_start_s + request.arrival_us * 1e-6;
        if (clients > 0) {
          planned_s = free_since_s.front() + request.arrival_us * 1e-6;
          free_since_s.pop_front();
        }
        send(request, next, stage, planned_s);
        ++next;
      }
      int running = 0;
      curl_multi_perform(multi_.get(), &running);
      for (std::size_t ended : take_ended(done)) {
        ++finished;
        // A failed request ends when its failure is known, whatever it sent before.
        const double ended_s = done[ended].status == RequestStatus::ok ? done[ended].last_token_s : seconds_since(start_);
        if (clients > 0) free_since_s.push_back(ended_s + turnaround_s);
        if (progress_ && !is_warming_up_) progress_(++told_, planned_);
      }
      // Writing a long prompt takes milliseconds: while there is time, not when the request is due.
      if (next < requests.size()) prepare(requests[next], next, stage);
      if (finished < requests.size()) wait(requests, next, stage_start_s, free_since_s, clients);
    }
    return done;
  }

  [[nodiscard]] bool is_due(const sim::PlannedRequest& request, double stage_start_s, const std::deque<double>& free_since_s,
                            int clients) const {
    const double now_s = seconds_since(start_);
    if (clients > 0) return !free_since_s.empty() && now_s >= free_since_s.front() + request.arrival_us * 1e-6;
    return now_s >= stage_start_s + request.arrival_us * 1e-6;
  }

  /// Until something comes or the next request is due; the last millisecond is spent awake, because waits end late.
  void wait(const std::vector<sim::PlannedRequest>& requests, std::size_t next, double stage_start_s,
            const std::deque<double>& free_since_s, int clients) {
    int wait_ms = kLongestWaitMs;
    if (next < requests.size() && (clients == 0 || !free_since_s.empty())) {
      const double due_s = (clients > 0 ? free_since_s.front() : stage_start_s) + requests[next].arrival_us * 1e-6;
      wait_ms = std::clamp(static_cast<int>(std::floor((due_s - seconds_since(start_)) * kMillisecondsPerSecond)), 0, kLongestWaitMs);
    }
    curl_multi_poll(multi_.get(), nullptr, 0, wait_ms, nullptr);
  }

  /// The body of the request that is sent next, unless it is there already.
  void prepare(const sim::PlannedRequest& request, std::size_t index, int stage) {
    const std::uint64_t own_stream =
        (is_warming_up_ ? 0x4000'0000'0000'0000ULL : 0) | (static_cast<std::uint64_t>(stage) << 32) | index;
    if (prepared_ && prepared_->own_stream == own_stream) return;
    prepared_ = Prepared{
        .own_stream = own_stream,
        .body = fmt::format(
            R"({{"model":{},"prompt":{},"max_tokens":{},"min_tokens":{},"ignore_eos":true,"temperature":0,"stream":true,"stream_options":{{"include_usage":true}}}})",
            nlohmann::json(options_.model).dump(), prompt_json(plan_, request, own_stream, options_.seed), request.output_tokens,
            request.output_tokens)};
  }

  void send(const sim::PlannedRequest& request, std::size_t index, int stage, double planned_s) {
    auto exchange = std::make_unique<Exchange>();
    exchange->index = index;
    exchange->clock_start = start_;
    prepare(request, index, stage);
    exchange->body = std::exchange(prepared_, std::nullopt)->body;
    exchange->observed = {.stage = stage,
                          .planned_s = planned_s,
                          .prompt_tokens = request.prompt_tokens,
                          .output_tokens = request.output_tokens,
                          .chain = request.chain,
                          .shared_tokens = request.chain >= 0 ? request.chain_tokens : 0};
    exchange->easy = take_easy();
    CURL* easy = exchange->easy.get();
    curl_easy_setopt(easy, CURLOPT_URL, url_.c_str());
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers_.get());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, exchange->body.c_str());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(exchange->body.size()));
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange.get());
    curl_easy_setopt(easy, CURLOPT_PRIVATE, exchange.get());
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(options_.request_timeout_s * kMillisecondsPerSecond));
    exchange->observed.sent_s = seconds_since(start_);
    curl_multi_add_handle(multi_.get(), easy);
    running_.push_back(std::move(exchange));
    most_in_flight_ = std::max(most_in_flight_, static_cast<int>(running_.size()));
    int running = 0;
    curl_multi_perform(multi_.get(), &running);  // so that the next request does not delay this one
  }

  /// Ended requests into their places; gives their indices.
  std::vector<std::size_t> take_ended(std::vector<ObservedRequest>& done) {
    std::vector<std::size_t> ended;
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode outcome = message->data.result;
      CURL* easy = message->easy_handle;
      Exchange* exchange = nullptr;
      curl_easy_getinfo(easy, CURLINFO_PRIVATE, &exchange);
      curl_multi_remove_handle(multi_.get(), easy);
      conclude(*exchange, outcome);
      ended.push_back(exchange->index);
      done[exchange->index] = std::move(exchange->observed);
      const auto place = std::ranges::find(running_, exchange, &std::unique_ptr<Exchange>::get);
      curl_easy_reset(easy);
      idle_.push_back(std::move((*place)->easy));
      running_.erase(place);
    }
    return ended;
  }

  static void conclude(Exchange& exchange, CURLcode outcome) {
    ObservedRequest& observed = exchange.observed;
    long status = 0;
    curl_easy_getinfo(exchange.easy.get(), CURLINFO_RESPONSE_CODE, &status);
    const auto fail = [&](RequestStatus kind, std::string problem) {
      observed.status = kind;
      observed.problem = std::move(problem);
    };
    observed.server_prompt_tokens = exchange.answer.prompt_tokens().value_or(0);
    const int counted = exchange.answer.completion_tokens().value_or(observed.chunks);
    if (outcome == CURLE_OPERATION_TIMEDOUT) {
      fail(RequestStatus::timeout, "no end within the time limit");
    } else if (outcome != CURLE_OK) {
      fail(RequestStatus::error, curl_easy_strerror(outcome));
    } else if (status != 200) {
      fail(RequestStatus::error, fmt::format("HTTP status {}: {}", status, exchange.answer.complaint()));
    } else if (!exchange.answer.ended() || observed.chunks == 0) {
      fail(RequestStatus::error, exchange.answer.complaint().empty() ? "the answer broke off" : exchange.answer.complaint());
    }
    observed.output_tokens = counted;
  }

  /// What has not ended when the time is over.
  void give_up(std::vector<ObservedRequest>& done, const std::vector<sim::PlannedRequest>& requests, std::size_t next, int stage) {
    for (const auto& exchange : running_) {
      curl_multi_remove_handle(multi_.get(), exchange->easy.get());
      exchange->observed.status = RequestStatus::timeout;
      exchange->observed.problem = "the stage's time limit";
      done[exchange->index] = std::move(exchange->observed);
    }
    running_.clear();
    for (std::size_t i = next; i < requests.size(); ++i) {
      done[i] = {.stage = stage,
                 .prompt_tokens = requests[i].prompt_tokens,
                 .status = RequestStatus::timeout,
                 .problem = "not sent within the stage's time limit"};
    }
  }

  Easy take_easy() {
    if (idle_.empty()) return Easy(curl_easy_init());
    Easy easy = std::move(idle_.back());
    idle_.pop_back();
    return easy;
  }

  [[nodiscard]] SelfCheck self_check(const std::vector<ObservedRequest>& requests, double drift_ms) const {
    SelfCheck check{.most_in_flight = most_in_flight_, .clock_drift_ms = drift_ms};
    if (plan_.concurrency > 0) return check;  // its clients send when they are free
    std::vector<double> late_ms;
    for (const ObservedRequest& request : requests) {
      if (request.sent_s > 0.0) late_ms.push_back((request.sent_s - request.planned_s) * kMillisecondsPerSecond);
    }
    if (late_ms.empty()) return check;
    check.lateness_max_ms = *std::ranges::max_element(late_ms);
    check.lateness_p50_ms = core::quantile_in_place(late_ms, 0.50);
    check.lateness_p99_ms = core::quantile_in_place(late_ms, 0.99);
    return check;
  }

  const sim::RequestPlan& plan_;
  const ObserveOptions& options_;
  const ObserveProgress& progress_;
  std::string url_;
  Headers headers_;
  std::vector<Easy> idle_;
  Multi multi_;  // before the requests under way: they are removed from it first
  std::vector<std::unique_ptr<Exchange>> running_;
  Clock::time_point start_;
  std::size_t planned_ = 0;
  std::size_t told_ = 0;
  int most_in_flight_ = 0;
  struct Prepared {
    std::uint64_t own_stream = 0;  ///< names the request
    std::string body;
  };
  std::optional<Prepared> prepared_;
  bool is_warming_up_ = false;
};

}  // namespace

core::Result<Observation> observe(const sim::RequestPlan& plan, const ObserveOptions& options, const ObserveProgress& progress) {
  for (const sim::StagePlan& stage : plan.stages) {
    if (std::ranges::any_of(stage.requests,
                            [](const sim::PlannedRequest& request) { return request.extends_chain || request.follows; })) {
      return core::fail({}, "conversations cannot be sent: their later prompts hold what the server answers",
                        "plan prompts that are known beforehand");
    }
  }
  curl_global_init(CURL_GLOBAL_DEFAULT);
  auto observation = Sender(plan, options, progress).run();
  curl_global_cleanup();
  return observation;
}

}  // namespace rooftune::observe
