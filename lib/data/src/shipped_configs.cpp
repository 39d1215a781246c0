#include "rooftune/data/shipped_configs.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "rooftune/data/config_file.hpp"
#include "rooftune/data/data_directory.hpp"

namespace rooftune::data {
namespace {

namespace fs = std::filesystem;

core::Result<fs::path> folder() {
  auto data = data_directory();
  if (!data) return tl::unexpected(data.error());
  return *data / "configs" / "tuned";
}

/// The names of all, in their order.
std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  }
  std::ranges::sort(names);
  return names;
}

/// Whether the config bears the GPU's name (it may have been carried there from others), or was calibrated for it and no other.
bool is_for(const params::Config& config, const std::string& name, const domain::GpuSpec& gpu,
            const std::vector<domain::GpuSpec>& gpus) {
  if (const domain::GpuSpec* named = domain::find_gpu(gpus, name)) return named->name == gpu.name;
  const auto calibrated = config.domain.sets.find("gpu");
  return calibrated != config.domain.sets.end() && calibrated->second == std::vector<std::string>{gpu.name};
}

}  // namespace

bool is_config_name(std::string_view text) {
  constexpr std::array<std::string_view, 3> kSuffixes{".json", ".yaml", ".yml"};
  return !text.empty() && text.find('/') == std::string_view::npos &&
         std::ranges::none_of(kSuffixes, [&](std::string_view suffix) { return text.ends_with(suffix); });
}

core::Result<fs::path> find_config(const std::string& name_or_path) {
  if (!is_config_name(name_or_path)) return name_or_path;
  const auto shipped = folder();
  if (!shipped) return tl::unexpected(shipped.error());
  const std::vector<std::string> names = names_in(*shipped);
  if (std::ranges::find(names, name_or_path) != names.end()) return *shipped / (name_or_path + ".json");
  return core::fail({}, fmt::format("no config of the name '{}' ships", name_or_path),
                    fmt::format("choose one of: {}; a file is given with a '/' or its suffix", fmt::join(names, ", ")));
}

std::optional<std::string> shipped_config_of(const domain::GpuSpec& gpu, const std::optional<std::string>& step_time_model,
                                             const std::vector<domain::GpuSpec>& gpus) {
  const auto shipped = folder();
  if (!shipped) return std::nullopt;
  const std::vector<std::string> names = names_in(*shipped);
  for (const std::string& name : names) {
    if (name.find('.') != std::string::npos) continue;
    const auto file = read_config(*shipped / (name + ".json"), gpus);
    if (!file || !is_for(file->config, name, gpu, gpus)) continue;
    if (!step_time_model || file->config.step_time_model == *step_time_model) return name;
    std::string of_model = fmt::format("{}.{}", name, *step_time_model);
    if (std::ranges::find(names, of_model) != names.end()) return of_model;
  }
  return std::nullopt;
}

}  // namespace rooftune::data
