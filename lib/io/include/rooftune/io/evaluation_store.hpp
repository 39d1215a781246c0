#pragma once

#include <filesystem>
#include <memory>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/study/evaluation_store.hpp"

namespace rooftune::io {

/// Opens an evaluation store in an SQLite file (docs/file_formats.md), which several processes may use at once; creates it where
/// there is none. Evaluations are written in batches: at most the last fifth of a second of them is lost with the process.
[[nodiscard]] core::Result<std::unique_ptr<study::EvaluationStore>> open_evaluation_store(const std::filesystem::path& file);

/// Opens a store that exists, to look evaluations up; what is appended to it is forgotten.
[[nodiscard]] core::Result<std::unique_ptr<study::EvaluationStore>> read_evaluation_store(const std::filesystem::path& file);

}  // namespace rooftune::io
