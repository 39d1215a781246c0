#pragma once

#include <string_view>

namespace rooftune::opt {

/// How the detail of a search begins that stalled where next to nothing is left.
inline constexpr std::string_view kAsGoodAsConverged = "as good as converged; ";

}  // namespace rooftune::opt
