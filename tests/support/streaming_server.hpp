#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace rooftune::testing_support {

/// A server on loopback that streams completions as vLLM does, from an engine that batches in steps of a known duration: step_us +
/// per_prefill_token_us x new prompt tokens + per_decode_us x decoding requests. One thread; it ends with the object.
class StreamingServer {
 public:
  struct Behaviour {
    double step_us = 1000.0;
    double per_prefill_token_us = 0.0;
    double per_decode_us = 0.0;
    int refuse_every = 0;       ///< every n-th request gets the status 503
    int break_off_every = 0;    ///< the connection of every n-th ends after its first token
    int silent_every = 0;       ///< every n-th is never answered
    bool counts_tokens = true;  ///< sends usage
  };

  explicit StreamingServer(Behaviour behaviour) : behaviour_(behaviour) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (listener_ < 0 || bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener_, 1024) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw std::runtime_error("cannot listen on loopback");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  StreamingServer(const StreamingServer&) = delete;
  StreamingServer& operator=(const StreamingServer&) = delete;
  ~StreamingServer() {
    stop_ = true;
    thread_.join();
    for (const auto& [descriptor, connection] : connections_) close(descriptor);
    close(listener_);
  }

  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  /// A step as it went: on a busy machine it lasts longer than it should.
  struct Step {
    double duration_us = 0.0;  ///< until its tokens were sent
    int prefill_tokens = 0;
    int decodes = 0;
  };
  /// Read it when the server is idle.
  [[nodiscard]] const std::vector<Step>& steps() const { return steps_; }
  /// Prompts in the order of their arrival; read it when the server is idle.
  [[nodiscard]] const std::vector<std::vector<int>>& prompts() const { return prompts_; }

 private:
  using Clock = std::chrono::steady_clock;

  struct Connection {
    std::string received;
    std::string unsent;
    bool closes = false;
  };
  struct Request {
    int descriptor = 0;
    int number = 0;
    int prompt_tokens = 0;
    int output_tokens = 0;
    int generated = 0;
  };

  void run() {
    while (!stop_) {
      serve_sockets();
      if (is_in_step_ && Clock::now() >= step_ends_) end_step();
      if (!is_in_step_ && !(waiting_.empty() && running_.empty())) begin_step();
    }
  }

  /// Waits for the sockets, at most until the step ends; its last millisecond is spent awake.
  void serve_sockets() {
    std::vector<pollfd> polled{{listener_, POLLIN, 0}};
    for (const auto& [descriptor, connection] : connections_) {
      polled.push_back({descriptor, static_cast<short>(POLLIN | (connection.unsent.empty() ? 0 : POLLOUT)), 0});
    }
    int wait_ms = 5;
    if (is_in_step_) {
      const double left_ms = std::chrono::duration<double, std::milli>(step_ends_ - Clock::now()).count();
      wait_ms = std::clamp(static_cast<int>(std::floor(left_ms)), 0, wait_ms);
    }
    poll(polled.data(), polled.size(), wait_ms);
    if ((polled[0].revents & POLLIN) != 0) accept_all();
    for (std::size_t i = 1; i < polled.size(); ++i) {
      if ((polled[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0) receive(polled[i].fd);
      if ((polled[i].revents & POLLOUT) != 0) flush(polled[i].fd);
    }
  }

  void accept_all() {
    for (int descriptor = 0; (descriptor = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
      const int on = 1;
      setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      connections_[descriptor];
    }
  }

  void receive(int descriptor) {
    const auto found = connections_.find(descriptor);
    if (found == connections_.end()) return;
    char bytes[65536];
    ssize_t count = 0;
    while ((count = recv(descriptor, bytes, sizeof(bytes), 0)) > 0)
      found->second.received.append(bytes, static_cast<std::size_t>(count));
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK)) return drop(descriptor);
    take_requests(descriptor);
  }

  void take_requests(int descriptor) {
    std::string& received = connections_[descriptor].received;
    for (std::size_t head = 0; (head = received.find("\r\n\r\n")) != std::string::npos;) {
      std::string lower = received.substr(0, head);
      std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      const std::size_t length_at = lower.find("content-length:");
      const std::size_t length = length_at == std::string::npos ? 0 : std::stoul(lower.substr(length_at + 15));
      if (received.size() < head + 4 + length) return;
      const auto body = nlohmann::json::parse(received.substr(head + 4, length), nullptr, false);
      received.erase(0, head + 4 + length);
      answer(descriptor, body);
    }
  }

  void answer(int descriptor, const nlohmann::json& body) {
    const int number = ++received_requests_;
    if (!body.is_object() || !body["prompt"].is_array() || body.value("stream", false) == false) {
      return refuse(descriptor, 400, "a streaming completion of token ids was expected");
    }
    if (behaviour_.refuse_every > 0 && number % behaviour_.refuse_every == 0) return refuse(descriptor, 503, "overloaded");
    if (behaviour_.silent_every > 0 && number % behaviour_.silent_every == 0) return;
    prompts_.push_back(body["prompt"].get<std::vector<int>>());
    write(descriptor, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    waiting_.push_back({.descriptor = descriptor,
                        .number = number,
                        .prompt_tokens = static_cast<int>(prompts_.back().size()),
                        .output_tokens = body.value("max_tokens", 16)});
  }

  void refuse(int descriptor, int status, const std::string& message) {
    const std::string body = nlohmann::json{{"error", {{"message", message}}}}.dump();
    write(descriptor, "HTTP/1.1 " + std::to_string(status) + " refused\r\nContent-Type: application/json\r\nContent-Length: " +
                          std::to_string(body.size()) + "\r\n\r\n" + body);
  }

  void begin_step() {
    Step step{.decodes = static_cast<int>(running_.size())};
    for (const Request& request : waiting_) step.prefill_tokens += request.prompt_tokens;
    const double duration_us =
        behaviour_.step_us + behaviour_.per_decode_us * step.decodes + behaviour_.per_prefill_token_us * step.prefill_tokens;
    steps_.push_back(step);
    running_.insert(running_.end(), waiting_.begin(), waiting_.end());
    waiting_.clear();
    step_began_ = Clock::now();
    step_ends_ = step_began_ + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double, std::micro>(duration_us));
    is_in_step_ = true;
  }

  void end_step() {
    is_in_step_ = false;
    for (Request& request : running_) emit_token(request);
    std::erase_if(running_, [](const Request& request) { return request.generated >= request.output_tokens; });
    steps_.back().duration_us = std::chrono::duration<double, std::micro>(Clock::now() - step_began_).count();
  }

  void emit_token(Request& request) {
    if (!connections_.contains(request.descriptor)) {
      request.generated = request.output_tokens;
      return;
    }
    ++request.generated;
    event(request.descriptor, R"({"choices":[{"index":0,"text":" t"}]})");
    if (behaviour_.break_off_every > 0 && request.number % behaviour_.break_off_every == 0) {
      request.generated = request.output_tokens;
      connections_[request.descriptor].closes = true;
      flush(request.descriptor);
      return;
    }
    if (request.generated < request.output_tokens) return;
    if (behaviour_.counts_tokens) {
      event(request.descriptor, R"({"choices":[],"usage":{"prompt_tokens":)" + std::to_string(request.prompt_tokens) +
                                    R"(,"completion_tokens":)" + std::to_string(request.generated) + "}}");
    }
    event(request.descriptor, "[DONE]");
    write(request.descriptor, "0\r\n\r\n");
  }

  void event(int descriptor, const std::string& data) {
    const std::string text = "data: " + data + "\n\n";
    char size[16];
    std::snprintf(size, sizeof(size), "%zx\r\n", text.size());
    write(descriptor, size + text + "\r\n");
  }

  void write(int descriptor, const std::string& bytes) {
    const auto found = connections_.find(descriptor);
    if (found == connections_.end()) return;
    found->second.unsent += bytes;
    flush(descriptor);
  }

  void flush(int descriptor) {
    const auto found = connections_.find(descriptor);
    if (found == connections_.end()) return;
    std::string& unsent = found->second.unsent;
    while (!unsent.empty()) {
      const ssize_t count = send(descriptor, unsent.data(), unsent.size(), MSG_NOSIGNAL);
      if (count <= 0) break;
      unsent.erase(0, static_cast<std::size_t>(count));
    }
    if (unsent.empty() && found->second.closes) drop(descriptor);
  }

  void drop(int descriptor) {
    connections_.erase(descriptor);
    close(descriptor);
  }

  Behaviour behaviour_;
  int listener_ = -1;
  int port_ = 0;
  std::map<int, Connection> connections_;
  std::vector<Request> waiting_;
  std::vector<Request> running_;
  std::vector<std::vector<int>> prompts_;
  std::vector<Step> steps_;
  Clock::time_point step_began_;
  Clock::time_point step_ends_;
  bool is_in_step_ = false;
  int received_requests_ = 0;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

}  // namespace rooftune::testing_support
