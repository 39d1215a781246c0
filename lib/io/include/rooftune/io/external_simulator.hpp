#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/eval/external.hpp"
#include "rooftune/study/external_spec.hpp"

namespace rooftune::io {

/// The program of a study as a simulator. `spec.folder` counts from the working directory.
[[nodiscard]] std::unique_ptr<const eval::ExternalSimulator> make_external_simulator(const study::ExternalSpec& spec);

/// The files that its command names, for manifests: the program's own where it has some.
[[nodiscard]] std::vector<std::filesystem::path> program_files(const study::ExternalSpec& spec);

}  // namespace rooftune::io
