#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "rooftune/core/diagnostics.hpp"

namespace rooftune::opt {

enum class Algorithm {
  ceres_lm,
  ceres_dogleg,
  direct_l,
  crs2,
  isres,
  esch,
  mlsl,
  cobyla,
  bobyqa,
  sbplx,
  lbfgs,
};

enum class Scope { local, global };
enum class DerivativeUse { none, gradient, jacobian };
enum class Randomness { none, seeded };

/// One row of the table of algorithms: the only place where their names and properties are written down.
struct AlgorithmInfo {
  Algorithm algorithm;
  std::string_view name;
  Scope scope;
  DerivativeUse derivatives;
  Randomness randomness;
  /// What it is good for, in a sentence.
  std::string_view summary;
  std::string_view source;
};

/// Every algorithm, in the order of the enumeration. Global ones need finite bounds; those that use a Jacobian need residuals.
[[nodiscard]] std::span<const AlgorithmInfo> algorithms();
[[nodiscard]] const AlgorithmInfo& describe(Algorithm algorithm);
[[nodiscard]] std::string_view name(Algorithm algorithm);
[[nodiscard]] std::vector<std::string_view> algorithm_names();

/// The algorithm of that name, or an error at `position` that says which names exist.
[[nodiscard]] core::Result<Algorithm> parse_algorithm(std::string_view word, core::SourcePosition position = {});

}  // namespace rooftune::opt
