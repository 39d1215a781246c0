#pragma once

#include <string>

#include "rooftune/domain/gpu.hpp"
#include "rooftune/text/object_reader.hpp"

namespace rooftune::data {

/// Warns about facts of a GPU that contradict each other, with the likely cause: GB/s where TB/s are expected, peaks with sparsity
/// where dense ones are. `shipped` is the same GPU as it ships, or null.
void warn_about_implausible_facts(const domain::GpuSpec& gpu, const domain::GpuSpec* shipped, text::Place place,
                                  text::Problems& problems);

}  // namespace rooftune::data
