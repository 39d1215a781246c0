// Reads a parameter's facts and resolves a config for a deployment: public headers, all layers linked.
#include <cstdio>
#include <rooftune/core/diagnostics.hpp>
#include <rooftune/domain/experiment.hpp>
#include <rooftune/domain/gpu.hpp>
#include <rooftune/params/config.hpp>

int main() {
  using namespace rooftune;
  domain::GpuSpec gpu;
  gpu.name = "My-GPU";
  gpu.peak_bf16 = {500.0};
  gpu.hbm_bandwidth = {2.5};
  gpu.link_bandwidth = {300.0};
  gpu.memory = {64.0};
  params::Config config;
  config.parameters[params::parameter("roofline_v1.mfuPrefill")] = {.value = 0.5};
  const params::Resolved<double> resolved = params::resolve(config, domain::Deployment{.hardware = "My-GPU"}, gpu);
  std::printf("%zu parameters, mfuPrefill %.2f\n", params::parameter_registry().size(), resolved["roofline_v1.mfuPrefill"]);
  return resolved["roofline_v1.mfuPrefill"] == 0.5 ? 0 : 1;
}
