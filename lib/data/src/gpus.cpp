#include "rooftune/data/gpus.hpp"

#include <fmt/format.h>

#include <array>
#include <string>

#include "gpu_plausibility.hpp"
#include "rooftune/data/data_directory.hpp"
#include "rooftune/text/object_reader.hpp"

namespace rooftune::data {
namespace {

constexpr std::array<text::Choice<int>, 1> kSchemas{{{"rooftune/gpus/1", 1}}};
constexpr std::array<text::Choice<domain::Interconnect>, 2> kInterconnects{
    {{"nvlink", domain::Interconnect::nvlink}, {"pcie", domain::Interconnect::pcie}}};

domain::GpuSpec read_gpu(const text::Node& node, text::Problems& problems) {
  domain::GpuSpec gpu;
  text::ObjectReader reader(node, problems, "a GPU");
  reader.required("name", gpu.name);
  reader.optional("aliases", gpu.aliases);
  reader.required("peak_bf16_tflops", gpu.peak_bf16, text::above(0));
  reader.optional("peak_fp8_tflops", gpu.peak_fp8, text::above(0));
  reader.optional("peak_fp4_tflops", gpu.peak_fp4, text::above(0));
  reader.optional("peak_int8_tops", gpu.peak_int8, text::above(0));
  reader.required("hbm_bandwidth_tbs", gpu.hbm_bandwidth, text::above(0));
  reader.required_choice<domain::Interconnect>("interconnect", gpu.interconnect, kInterconnects);
  reader.required("link_bandwidth_gbs", gpu.link_bandwidth, text::above(0));
  reader.required("memory_gib", gpu.memory, text::above(0));
  reader.optional("reported_memory_gib", gpu.reported_memory, text::above(0));
  reader.required("source", gpu.source);
  return gpu;
}

/// The first name or alias of `gpu` that one of `others` answers to, or an empty text.
std::string shared_name(const domain::GpuSpec& gpu, const std::vector<domain::GpuSpec>& others) {
  if (domain::find_gpu(others, gpu.name) != nullptr) return gpu.name;
  for (const std::string& alias : gpu.aliases) {
    if (domain::find_gpu(others, alias) != nullptr) return alias;
  }
  return "";
}

}  // namespace

core::Result<std::vector<domain::GpuSpec>> read_gpus(const std::filesystem::path& file, core::Diagnostics* warnings) {
  const auto document = text::read_document(file);
  if (!document) return tl::unexpected(document.error());
  text::Problems problems(document->file);
  std::vector<domain::GpuSpec> gpus;
  {
    int schema = 1;
    text::ObjectReader reader(document->root, problems, "a file of GPUs");
    reader.required_choice<int>("schema", schema, kSchemas);
    for (const text::Node& node : reader.required_list("gpus")) {
      domain::GpuSpec gpu = read_gpu(node, problems);
      if (const std::string name = shared_name(gpu, gpus); !name.empty()) {
        problems.error(node.place, fmt::format("'{}' is the name or alias of another GPU already", name),
                       "make names and aliases unique");
      }
      if (warnings != nullptr && !problems.has_errors()) warn_about_implausible_facts(gpu, nullptr, node.place, problems);
      gpus.push_back(std::move(gpu));
    }
  }
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  if (warnings != nullptr) {
    const core::Diagnostics found = problems.take_warnings();
    warnings->insert(warnings->end(), found.begin(), found.end());
  }
  return gpus;
}

core::Result<std::vector<domain::GpuSpec>> default_gpus() {
  return data_directory().and_then([](const std::filesystem::path& folder) { return read_gpus(folder / "configs" / "gpus.yaml"); });
}

}  // namespace rooftune::data
