#include "report_server.hpp"

namespace rooftune::app {

core::Result<void> serve_pages(const ServedPages&, const ServerOptions&, const std::function<void(const std::string&)>&) {
  return core::fail({}, "this rooftune was built without cpp-httplib and serves no pages",
                    "build it where libcpp-httplib-dev and pkgconf are installed");
}

}  // namespace rooftune::app
