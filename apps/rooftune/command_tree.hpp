#pragma once

#include <string>

namespace CLI {
class App;
}

namespace rooftune::app {

// Texts made from the commands and options as CLI11 knows them, so that they never lag behind.

/// A completion script: `source <(rooftune completion bash)`.
[[nodiscard]] std::string bash_completion(const CLI::App& program);

/// A completion function for a folder of zsh's fpath, as the file _rooftune.
[[nodiscard]] std::string zsh_completion(const CLI::App& program);

/// The manual page in troff's man macros (man-pages(7)).
[[nodiscard]] std::string manual_page(const CLI::App& program, const std::string& version);

}  // namespace rooftune::app
