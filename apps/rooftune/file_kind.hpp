#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "rooftune/core/diagnostics.hpp"

namespace rooftune::app {

/// What an input file is for, by its content.
enum class FileKind { study, config, ground_truth, model, gpus, manifest };

/// "a study", "a config" ...
[[nodiscard]] std::string_view title(FileKind kind);

/// Looks into the file (or the folder of a model); an error where it is none of them or cannot be parsed.
[[nodiscard]] core::Result<FileKind> recognise(const std::filesystem::path& path);

}  // namespace rooftune::app
