#pragma once

#include <filesystem>
#include <optional>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/importers/import.hpp"

namespace rooftune::importers {

/// What a file or folder turned out to be.
struct Recognised {
  std::optional<ImportFormat> format{};  ///< of measurements; empty for a server's log
  bool is_server_log = false;            ///< the start of a vLLM server
};

/// Looks at the contents: the keys that one format alone has, the files that a report folder holds. What is none of them is an error
/// that lists the formats.
[[nodiscard]] core::Result<Recognised> recognise(const std::filesystem::path& path);

}  // namespace rooftune::importers
