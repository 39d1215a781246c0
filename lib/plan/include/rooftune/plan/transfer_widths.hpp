#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace rooftune::plan {

/// How far a parameter may move when one thing changes and all else stays: standard deviations of its logarithm.
struct TransferWidth {
  std::string_view id;
  double gpu;      ///< another GPU and its host, beside what kernel tables say of it
  double version;  ///< another version of the engine on the same GPU
};

[[nodiscard]] std::span<const TransferWidth> transfer_widths();

/// Empty for parameters that neither the runs nor kernel tables tell of.
[[nodiscard]] std::optional<TransferWidth> transfer_width(std::string_view id);

}  // namespace rooftune::plan
