#pragma once

#include <string>

namespace rooftune::data {

/// Every parameter and switch of the registry as "rooftune/parameters/1".
[[nodiscard]] std::string registry_json();
/// The same as a table: `kind` (parameter, switch), `id`, `unit`, bounds or choices, default, transform, scope, meaning, source.
[[nodiscard]] std::string registry_csv();

}  // namespace rooftune::data
