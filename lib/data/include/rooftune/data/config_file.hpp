#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/domain/gpu.hpp"
#include "rooftune/params/config.hpp"

namespace rooftune::data {

/// Which of the two forms a config was read from or is written in (docs/file_formats.md).
enum class ConfigForm {
  config,           ///< our own, schema "rooftune/config/1": loads by itself, says where every value comes from
  hardware_config,  ///< the Go simulator family's `{ "H100": {...}, "A100-SXM": {...} }`: roofline_v1 values by GPU
};

/// A config as a file said it, and what its reader noticed.
struct ConfigFile {
  params::Config config;
  ConfigForm form = ConfigForm::config;
  core::Diagnostics warnings;  ///< keys without effect, values outside their usual range
};

/// Reads a config of either form. `shipped` are the GPUs whose facts a file may leave out and whose aliases it may use.
[[nodiscard]] core::Result<ConfigFile> read_config(const std::filesystem::path& path, const std::vector<domain::GpuSpec>& shipped);

/// The same from text; `file` is the name that messages use.
[[nodiscard]] core::Result<ConfigFile> parse_config(std::string_view text, const std::string& file,
                                                    const std::vector<domain::GpuSpec>& shipped);

/// The config in our own form. Reads back equal.
[[nodiscard]] std::string config_text(const params::Config& config);

/// JSON Schema of our own form: share/rooftune/schema/config.schema.json.
[[nodiscard]] std::string config_schema();

/// Text in the family's form, and what it could not carry over.
struct HardwareConfigText {
  std::string text;
  core::Diagnostics warnings;
};

/// The values that roofline_v1 has on each GPU of the config (on each of `shipped` when the config lists none), defaults
/// included, so that they do not depend on the reader's. Fails for other step-time models and for values that hold for one
/// model or TP degree only: the family's form has no place for them.
[[nodiscard]] core::Result<HardwareConfigText> hardware_config_text(const params::Config& config,
                                                                    const std::vector<domain::GpuSpec>& shipped);

}  // namespace rooftune::data
