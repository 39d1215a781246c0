#pragma once

#include <array>
#include <string>

#include "rooftune/eval/dataset.hpp"
#include "rooftune/params/config.hpp"

namespace rooftune::calibrate {

/// What blackbox simulators calculate with: step = b0 + b1 P + b2 D for P prefill tokens and D decoding requests; before the
/// queue a0 + a1 x prompt tokens, and a2 for every output token. Microseconds.
struct LinearForm {
  std::array<double, 3> delay_us{};  ///< a0, a1, a2: exact
  std::array<double, 3> step_us{};   ///< b0, b1, b2: fitted to the config's own step times
  int batches = 0;                   ///< that it was fitted to
  double mean_error_percent = 0.0;   ///< absolute, over those batches
  double worst_error_percent = 0.0;  ///< signed
  std::string worst_batch{};         ///< "64 decodes of 2545 tokens, 0 prefill tokens"
};

/// Least squares of relative errors over batches that span the config's calibrated domain: concurrency, prompt and output lengths,
/// steps with and without prefill up to the deployment's token budget. Where the config has no domain, over 1 to 64 requests of 128
/// to 2048 prompt tokens.
[[nodiscard]] LinearForm fit_linear_form(const eval::Case& item, const params::Config& config);

}  // namespace rooftune::calibrate
