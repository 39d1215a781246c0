#pragma once

#include <string_view>

namespace rooftune::improve {

/// The move that frees what a first fit of the structure's model frees, as far as runs tell about it.
inline constexpr std::string_view kFirstFit = "first_fit";

}  // namespace rooftune::improve
