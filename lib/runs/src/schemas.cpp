#include "rooftune/runs/schemas.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <system_error>
#include <utility>

#include "rooftune/data/config_file.hpp"
#include "rooftune/data/data_directory.hpp"
#include "rooftune/data/gpus.hpp"
#include "rooftune/runs/study_file.hpp"
#include "rooftune/text/document.hpp"

namespace rooftune::runs {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEnding = ".schema.json";

using Made = std::pair<std::string_view, std::string (*)()>;
constexpr std::array<Made, 3> kMade{{{"config", data::config_schema}, {"gpus", data::gpus_schema}, {"study", study_schema}}};

}  // namespace

core::Result<std::vector<std::string>> schema_names() {
  return data::data_directory().transform([](const fs::path& folder) {
    std::vector<std::string> names;
    std::error_code missing;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder / "schema", missing)) {
      const std::string file = entry.path().filename().string();
      if (file.ends_with(kEnding)) names.push_back(file.substr(0, file.size() - kEnding.size()));
    }
    std::ranges::sort(names);
    return names;
  });
}

core::Result<std::string> schema(std::string_view name) {
  for (const auto& [made, text] : kMade) {
    if (made == name) return text();
  }
  const auto names = schema_names();
  if (!names) return tl::unexpected(names.error());
  if (std::ranges::find(*names, name) == names->end()) {
    return core::fail({}, fmt::format("there is no schema '{}'", name), core::suggest(name, {names->begin(), names->end()}));
  }
  return text::read_text(*data::data_directory() / "schema" / fmt::format("{}{}", name, kEnding));
}

}  // namespace rooftune::runs
