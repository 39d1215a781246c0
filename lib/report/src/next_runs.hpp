#pragma once

#include <cstddef>
#include <span>

#include "rooftune/plan/next_run.hpp"
#include "rooftune/report/text_table.hpp"

namespace rooftune::report {

/// The first of the recommended runs, so many of each deployment.
[[nodiscard]] TextTable table_of(std::span<const plan::NextRun> runs, std::size_t most, std::size_t of_each_deployment);

}  // namespace rooftune::report
