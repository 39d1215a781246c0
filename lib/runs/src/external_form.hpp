#pragma once

#include <string>

#include "rooftune/calibrate/external_spec.hpp"
#include "rooftune/eval/external.hpp"
#include "rooftune/text/object_reader.hpp"

namespace rooftune::runs {

/// The keys `simulator` and `failures` of a study. Reading a simulator declares its parameters.
[[nodiscard]] calibrate::ExternalSpec read_external(const text::Node& object, text::Problems& problems);
[[nodiscard]] eval::FailurePolicy read_failures(const text::Node& object, bool of_external_simulator, text::Problems& problems);

[[nodiscard]] std::string external_text(const calibrate::ExternalSpec& spec);
[[nodiscard]] std::string failures_text(const eval::FailurePolicy& policy, bool of_external_simulator);

}  // namespace rooftune::runs
