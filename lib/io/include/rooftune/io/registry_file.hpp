#pragma once

#include <string>

namespace rooftune::io {

/// Every parameter and switch of the registry as "rooftune/parameters/1".
[[nodiscard]] std::string registry_json();

}  // namespace rooftune::io
