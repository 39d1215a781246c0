#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "config_form.hpp"
#include "rooftune/data/config_file.hpp"
#include "rooftune/text/document.hpp"

namespace rooftune::data {
namespace {

/// Keys of our own form that a hardware-config file never has at its top.
constexpr std::array<std::string_view, 6> kOwnKeys{"step_time_model", "parameters", "hardware", "engine", "scoped", "provenance"};

params::Config read_family_form(const text::Node& root, const std::vector<domain::GpuSpec>& shipped, text::Problems& problems) {
  params::Config config;
  config.step_time_model = "roofline_v1";
  config.hardware = read_hardware(root, shipped, ConfigForm::hardware_config, problems);
  if (config.hardware.empty() && !problems.has_errors())
    problems.error(root.place, "the config names no GPU", R"(add one, e.g. "H100": {...})");
  return config;
}

core::Result<ConfigFile> read(const text::Document& document, const std::vector<domain::GpuSpec>& shipped) {
  text::Problems problems(document.file);
  ConfigFile result;
  const text::Node& root = document.root;
  if (root.kind != text::Node::Kind::object) {
    problems.error(root.place, fmt::format("a config must be an object, not {}", text::describe(root)), "see docs/file_formats.md");
  } else if (root.find("schema") != nullptr || std::ranges::any_of(kOwnKeys, [&](auto key) { return root.find(key) != nullptr; })) {
    result.form = ConfigForm::config;
    config_form(shipped).read(root, problems, result.config);
  } else {
    result.form = ConfigForm::hardware_config;
    result.config = read_family_form(root, shipped, problems);
  }
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  result.warnings = problems.take_warnings();
  return result;
}

}  // namespace

core::Result<ConfigFile> read_config(const std::filesystem::path& path, const std::vector<domain::GpuSpec>& shipped) {
  return text::read_document(path).and_then([&](const text::Document& document) { return read(document, shipped); });
}

core::Result<ConfigFile> parse_config(std::string_view text, const std::string& file, const std::vector<domain::GpuSpec>& shipped) {
  return text::parse_document(text, file, text::Syntax::json).and_then([&](const text::Document& document) {
    return read(document, shipped);
  });
}

}  // namespace rooftune::data
