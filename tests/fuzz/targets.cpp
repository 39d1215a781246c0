#include <vector>

#include "target.hpp"

namespace rooftune::fuzz {

std::span<const Target> text_targets();
std::span<const Target> data_targets();
std::span<const Target> run_targets();

std::span<const Target> targets() {
  static const std::vector<Target> all = [] {
    std::vector<Target> joined;
    for (const auto part : {text_targets(), data_targets(), run_targets()}) joined.insert(joined.end(), part.begin(), part.end());
    return joined;
  }();
  return all;
}

}  // namespace rooftune::fuzz
