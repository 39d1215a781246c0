#pragma once

#include <filesystem>
#include <memory>

#include "rooftune/calibrate/evaluation_store.hpp"
#include "rooftune/core/diagnostics.hpp"

namespace rooftune::runs {

/// Opens an evaluation store in an SQLite file (docs/file_formats.md), which several processes may use at once; creates it where
/// there is none. Evaluations are written in batches: at most the last fifth of a second of them is lost with the process.
[[nodiscard]] core::Result<std::unique_ptr<calibrate::EvaluationStore>> open_evaluation_store(const std::filesystem::path& file);

/// Opens a store that exists, to look evaluations up; what is appended to it is forgotten.
[[nodiscard]] core::Result<std::unique_ptr<calibrate::EvaluationStore>> read_evaluation_store(const std::filesystem::path& file);

}  // namespace rooftune::runs
