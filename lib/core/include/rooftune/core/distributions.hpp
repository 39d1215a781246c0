#pragma once

namespace rooftune::core {

/// The value below which a share of `probability` of a standard normal distribution lies; `probability` between 0 and 1.
[[nodiscard]] double normal_quantile(double probability);
/// The same of Student's t distribution, with one degree of freedom or more.
[[nodiscard]] double student_t_quantile(double probability, long degrees_of_freedom);

}  // namespace rooftune::core
