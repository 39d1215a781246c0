#pragma once

namespace rooftune::core {

/// Reports a broken contract (a bug of ours, never a user's mistake) and aborts.
[[noreturn]] void contract_violation(const char* condition, const char* file, int line);

}  // namespace rooftune::core

/// A precondition that only a bug can break.
#define ROOFTUNE_EXPECTS(condition) \
  (static_cast<bool>(condition) ? void(0) : ::rooftune::core::contract_violation(#condition, __FILE__, __LINE__))
