#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "rooftune/core/diagnostics.hpp"

namespace rooftune::text {

/// What a file is that no text reader can read, by its first bytes: Parquet, an archive, a Git LFS pointer, the HTML page of a failed
/// download ... One diagnostic says what it is and what to do, in place of hundreds about its bytes. Nothing for what may be text.
[[nodiscard]] std::optional<core::Diagnostic> foreign_file(std::string_view bytes, const std::string& file);

}  // namespace rooftune::text
