#pragma once

namespace rooftune::app {

/// Of --wide: tables are as wide as they are, on a terminal as well.
[[nodiscard]] bool& wide_tables();

}  // namespace rooftune::app
