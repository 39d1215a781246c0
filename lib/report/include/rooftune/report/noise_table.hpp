#pragma once

#include <string>

#include "rooftune/eval/evaluate.hpp"
#include "rooftune/eval/noise.hpp"
#include "rooftune/report/text_table.hpp"

namespace rooftune::report {

/// Every metric's error beside what two runs of one server differ by and what other arrivals would change: errors below say nothing.
[[nodiscard]] std::string noise_table(const eval::Evaluation& evaluation, const eval::Noise& noise, Colour colour);

}  // namespace rooftune::report
