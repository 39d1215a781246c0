#include "report_server.hpp"

#include <fmt/format.h>
#include <httplib.h>

#include <chrono>
#include <mutex>
#include <random>
#include <thread>

#include "rooftune/runs/interruption.hpp"

namespace rooftune::app {
namespace {

/// 128 bits from the system's source of random numbers.
std::string random_token() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

std::string in_url(const std::string& address) { return address.find(':') == std::string::npos ? address : "[" + address + "]"; }

}  // namespace

core::Result<void> serve_pages(const ServedPages& pages, const ServerOptions& options,
                               const std::function<void(const std::string& url)>& announce) {
  httplib::Server server;
  constexpr std::size_t kThreads = 2;
  server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server.set_payload_max_length(0);    // nothing is taken
  server.set_keep_alive_max_count(1);  // the library looks at an open connection a hundred times a second
  // The library's own options let another process share the port.
  server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  server.set_default_headers({{"Cache-Control", "no-store"},
                              {"Referrer-Policy", "no-referrer"},
                              {"X-Content-Type-Options", "nosniff"},
                              {"X-Frame-Options", "DENY"}});
  std::mutex mutex;
  const auto answer = [&mutex](const std::function<std::string()>& text, const char* type) {
    return [&mutex, text, type](const httplib::Request&, httplib::Response& response) {
      const std::scoped_lock lock(mutex);
      response.set_content(text(), type);
    };
  };
  const std::string root = "/" + random_token() + "/";
  server.Get(root, answer(pages.page, "text/html; charset=utf-8"));
  server.Get(root + "state.json", answer(pages.state_json, "application/json"));
  const int port = options.port == 0                                            ? server.bind_to_any_port(options.address.c_str())
                   : server.bind_to_port(options.address.c_str(), options.port) ? options.port
                                                                                : -1;
  if (port < 0) {
    return core::fail({.file = fmt::format("{}:{}", in_url(options.address), options.port)}, "cannot be listened on",
                      "give an address of this machine and a port that is free");
  }
  const runs::Interruption interruption([&server] {
    // Before it runs, the library takes no notice of stop().
    for (int tries = 0; !server.is_running() && tries < 1000; ++tries) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    server.stop();
  });
  announce(fmt::format("http://{}:{}{}", in_url(options.address), port, root));
  server.listen_after_bind();
  return {};
}

}  // namespace rooftune::app
