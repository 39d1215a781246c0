#pragma once

#include <string>

#include "rooftune/eval/external.hpp"
#include "rooftune/io/object_reader.hpp"
#include "rooftune/study/external_spec.hpp"

namespace rooftune::io {

/// The keys `simulator` and `failures` of a study. Reading a simulator declares its parameters.
[[nodiscard]] study::ExternalSpec read_external(const Node& object, Problems& problems);
[[nodiscard]] eval::FailurePolicy read_failures(const Node& object, bool of_external_simulator, Problems& problems);

[[nodiscard]] std::string external_text(const study::ExternalSpec& spec);
[[nodiscard]] std::string failures_text(const eval::FailurePolicy& policy, bool of_external_simulator);

}  // namespace rooftune::io
