#include "rooftune/data/gpus.hpp"

#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>

#include "gpu_form.hpp"
#include "gpu_plausibility.hpp"
#include "rooftune/data/data_directory.hpp"
#include "rooftune/text/json_text.hpp"

namespace rooftune::data {
namespace {

constexpr std::array<text::Choice<int>, 1> kGpuSchemas{{{"rooftune/gpus/1", 1}}};

/// The first name or alias of `gpu` that one of `others` answers to, or an empty text.
std::string shared_name(const domain::GpuSpec& gpu, const std::vector<domain::GpuSpec>& others) {
  if (domain::find_gpu(others, gpu.name) != nullptr) return gpu.name;
  for (const std::string& alias : gpu.aliases) {
    if (domain::find_gpu(others, alias) != nullptr) return alias;
  }
  return "";
}

}  // namespace

text::Form<domain::GpuSpec> gpu_form() {
  using domain::GpuSpec;
  text::Form<GpuSpec> form("a GPU");
  form.text("name", &GpuSpec::name, "the name that results use; matches in any case, with '-', '_' and spaces alike")
      .required()
      .example("H100-SXM");
  form.texts("aliases", &GpuSpec::aliases, "other names in use");
  form.number("peak_bf16_tflops", &GpuSpec::peak_bf16, text::above(0), "dense bf16 peak in TFLOP/s: half of what sheets call sparse")
      .required();
  form.number("peak_fp8_tflops", &GpuSpec::peak_fp8, text::above(0),
              "dense FP8 peak in TFLOP/s; left out where there are no such units");
  form.number("peak_fp4_tflops", &GpuSpec::peak_fp4, text::above(0),
              "dense FP4 peak in TFLOP/s; left out where there are no such units");
  form.number("peak_int8_tops", &GpuSpec::peak_int8, text::above(0),
              "dense INT8 peak in 1e12 operations per second; left out where there are no such units");
  form.number("hbm_bandwidth_tbs", &GpuSpec::hbm_bandwidth, text::above(0), "memory bandwidth in TB/s").required();
  form.word("interconnect", &GpuSpec::interconnect, kInterconnects, "what connects the GPUs of a node").required();
  form.number("link_bandwidth_gbs", &GpuSpec::link_bandwidth, text::above(0), "its bandwidth in GB/s, one direction").required();
  form.number("memory_gib", &GpuSpec::memory, text::above(0), "nominal memory in GiB").required();
  form.number("reported_memory_gib", &GpuSpec::reported_memory, text::above(0),
              "what CUDA reports as total in GiB: less than the nominal memory where error-correcting codes lie in it");
  form.text("source", &GpuSpec::source, "data sheet that the facts come from").required();
  return form;
}

std::string gpus_text(std::span<const domain::GpuSpec> gpus) {
  const text::Form<domain::GpuSpec> form = gpu_form();
  text::Json list = text::Json::array();
  for (const domain::GpuSpec& gpu : gpus) list.push_back(form.write(gpu));
  return text::yaml_block({{"schema", kGpuSchemas.front().first}, {"gpus", std::move(list)}});
}

std::string gpus_schema() {
  const text::Json keys = text::object_schema(
      {{.name = "schema", .says = "format and version", .schema = text::words_schema(words_of(kGpuSchemas)), .is_required = true},
       {.name = "gpus", .says = "the GPUs", .schema = text::list_schema(gpu_form().schema()), .is_required = true}},
      {{"schema", nullptr}, {"gpus", nullptr}});
  return text::json_text(text::root_schema("GPUs of rooftune", "GPUs as their data sheets describe them; peaks are dense.", keys, {}));
}

core::Result<std::vector<domain::GpuSpec>> read_gpus(const std::filesystem::path& file, core::Diagnostics* warnings) {
  const auto document = text::read_document(file);
  if (!document) return tl::unexpected(document.error());
  text::Problems problems(document->file);
  std::vector<domain::GpuSpec> gpus;
  {
    int schema = 1;
    text::ObjectReader reader(document->root, problems, "a file of GPUs");
    reader.required_choice<int>("schema", schema, kGpuSchemas);
    const text::Form<domain::GpuSpec> form = gpu_form();
    for (const text::Node& node : reader.required_list("gpus")) {
      domain::GpuSpec gpu;
      form.read(node, problems, gpu);
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
