#pragma once

#include <cstddef>
#include <span>

#include "rooftune/report/text_table.hpp"
#include "rooftune/study/next_run.hpp"

namespace rooftune::report {

/// The first of the recommended runs, so many of each deployment.
[[nodiscard]] TextTable table_of(std::span<const study::NextRun> runs, std::size_t most, std::size_t of_each_deployment);

}  // namespace rooftune::report
