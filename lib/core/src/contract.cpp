#include "rooftune/core/contract.hpp"

#include <cstdio>
#include <cstdlib>

namespace rooftune::core {

void contract_violation(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: rooftune bug: '%s' does not hold (please report it)\n", file, line, condition);
  std::abort();
}

}  // namespace rooftune::core
