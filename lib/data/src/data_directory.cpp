#include "rooftune/data/data_directory.hpp"

#include <cstdlib>
#include <string>
#include <system_error>
#include <vector>

namespace rooftune::data {
namespace {

namespace fs = std::filesystem;

bool holds_shipped_data(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_directory(folder / "configs", ignored);
}

}  // namespace

core::Result<fs::path> data_directory() {
  if (const char* given = std::getenv("ROOFTUNE_DATA_DIR"); given != nullptr && *given != '\0') {
    if (holds_shipped_data(given)) return fs::path(given);
    return core::fail({.file = given}, "ROOFTUNE_DATA_DIR names this folder, but it has no folder 'configs'", "correct or unset it");
  }
  std::error_code no_proc;
  const fs::path program = fs::read_symlink("/proc/self/exe", no_proc);
  std::vector<fs::path> candidates{ROOFTUNE_SOURCE_DATA_DIR, ROOFTUNE_INSTALLED_DATA_DIR};
  if (!no_proc) candidates.insert(candidates.begin(), program.parent_path().parent_path() / "share" / "rooftune");
  for (const fs::path& candidate : candidates) {
    if (holds_shipped_data(candidate)) return candidate;
  }
  return core::fail({}, "the models and GPUs that ship with rooftune were not found",
                    "set ROOFTUNE_DATA_DIR to the folder that holds 'configs'");
}

}  // namespace rooftune::data
