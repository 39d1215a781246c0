#pragma once

#include <functional>
#include <string>

#include "rooftune/core/diagnostics.hpp"

namespace rooftune::app {

/// What a browser may ask for. Called by one thread at a time.
struct ServedPages {
  std::function<std::string()> page;        ///< HTML
  std::function<std::string()> state_json;  ///< what the page asks for again and again
};

struct ServerOptions {
  std::string address = "127.0.0.1";
  int port = 0;  ///< 0: any that is free
};

/// Serves two documents, to be read only, behind a path that nobody can guess, until the program is told to end (Ctrl-C, SIGTERM).
/// `announce` gets the address once it can be opened.
[[nodiscard]] core::Result<void> serve_pages(const ServedPages& pages, const ServerOptions& options,
                                             const std::function<void(const std::string& url)>& announce);

}  // namespace rooftune::app
