#include "gpu_plausibility.hpp"

#include <fmt/format.h>

#include <cmath>

namespace rooftune::data {
namespace {

// Bounds that no GPU sold so far comes near (data sheets of 2017 to 2025: 0.3 to 8 TB/s, 31 to 2500 dense bf16 TFLOP/s, 8 to 288 GiB,
// 37 to 420 FLOP a byte).
constexpr double kMaxBandwidthTbs = 50.0;
constexpr double kMaxBf16Tflops = 20'000.0;
constexpr double kMinBf16Tflops = 5.0;
constexpr double kMaxMemoryGib = 2'000.0;
constexpr double kMaxLinkGbs = 4'000.0;
constexpr double kMaxFlopsPerByte = 520.0;
/// FP8 units do twice the bf16 work; a sheet's sparse figure doubles that.
constexpr double kSparseFp8Ratio = 3.5;
/// How near a ratio must be to the one that a mistake makes.
constexpr double kNearRatio = 0.05;

bool is_near(double value, double expected) { return std::abs(value / expected - 1.0) <= kNearRatio; }

}  // namespace

void warn_about_implausible_facts(const domain::GpuSpec& gpu, const domain::GpuSpec* shipped, text::Place place,
                                  text::Problems& problems) {
  const auto warn = [&](std::string problem, std::string remedy) {
    problems.warning(place, fmt::format("the GPU '{}': {}", gpu.name, problem), std::move(remedy));
  };
  const double bandwidth = gpu.hbm_bandwidth.value;
  const double bf16 = gpu.peak_bf16.value;
  if (bandwidth > kMaxBandwidthTbs) {
    warn(fmt::format("a memory bandwidth of {:g} TB/s", bandwidth), fmt::format("it looks like GB/s: write {:g}", bandwidth / 1e3));
  }
  if (bf16 > kMaxBf16Tflops) {
    warn(fmt::format("a bf16 peak of {:g} TFLOP/s", bf16), fmt::format("it looks like GFLOP/s: write {:g}", bf16 / 1e3));
  } else if (bf16 < kMinBf16Tflops) {
    warn(fmt::format("a bf16 peak of {:g} TFLOP/s", bf16), fmt::format("it looks like PFLOP/s: write {:g}", bf16 * 1e3));
  } else if (shipped != nullptr && is_near(bf16, 2.0 * shipped->peak_bf16.value)) {
    warn(fmt::format("a bf16 peak of {:g} TFLOP/s is twice that of the shipped {}, {:g}", bf16, shipped->name,
                     shipped->peak_bf16.value),
         "it looks like the figure with sparsity: give the dense one, half of it");
  } else if (bandwidth <= kMaxBandwidthTbs && bf16 / bandwidth > kMaxFlopsPerByte) {
    warn(fmt::format("{:.0f} bf16 FLOP for every byte of memory bandwidth", bf16 / bandwidth),
         "more than any GPU has: a figure with sparsity? give the dense one, half of it");
  }
  if (gpu.peak_fp8 && gpu.peak_fp8->value / bf16 > kSparseFp8Ratio) {
    warn(fmt::format("an FP8 peak of {:.1f} times the bf16 peak", gpu.peak_fp8->value / bf16),
         "twice is usual: it looks like the figure with sparsity, give half of it");
  } else if (gpu.peak_fp8 && is_near(gpu.peak_fp8->value, bf16)) {
    warn("the FP8 peak is the bf16 peak", "twice is usual: is the bf16 figure the one with sparsity?");
  }
  if (gpu.memory.value > kMaxMemoryGib) {
    warn(fmt::format("{:g} GiB of memory", gpu.memory.value), fmt::format("it looks like MiB: write {:g}", gpu.memory.value / 1024.0));
  }
  if (gpu.link_bandwidth.value > kMaxLinkGbs) {
    warn(fmt::format("a link of {:g} GB/s", gpu.link_bandwidth.value), "give GB/s of one direction between the GPUs of a node");
  }
}

}  // namespace rooftune::data
