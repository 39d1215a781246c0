#pragma once

#include <vector>

#include "rooftune/data/config_file.hpp"
#include "rooftune/params/config.hpp"
#include "rooftune/text/form.hpp"

/// A config in our own form, key by key.
namespace rooftune::data {

/// `shipped` are the GPUs whose facts a config may leave out.
[[nodiscard]] text::Form<params::Config> config_form(const std::vector<domain::GpuSpec>& shipped);

/// GPUs of either form by name.
[[nodiscard]] std::vector<params::HardwareEntry> read_hardware(const text::Node& object, const std::vector<domain::GpuSpec>& shipped,
                                                               ConfigForm form, text::Problems& problems);
[[nodiscard]] text::Json hardware_json(const params::HardwareEntry& entry);
[[nodiscard]] text::Json hardware_schema();

}  // namespace rooftune::data
