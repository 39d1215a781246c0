#pragma once

#include <string>
#include <utility>

#include "rooftune/core/diagnostics.hpp"

namespace rooftune::plan {

/// An error about no place in a file.
inline core::Diagnostic problem(std::string text, std::string remedy) {
  return {.position = {}, .problem = std::move(text), .remedy = std::move(remedy), .severity = core::Severity::error};
}

}  // namespace rooftune::plan
