#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/kernels/release.hpp"

namespace rooftune::latency {

/// Which steps of a deployment replay a CUDA graph, and to which size a batch is padded for it.
class GraphPlan {
 public:
  enum class Mode {
    whole,      ///< one graph for everything
    piecewise,  ///< graphs between the attention layers, whose kernels the host launches
    eager,      ///< the host launches every kernel
  };

  explicit GraphPlan(const domain::Deployment& deployment) {
    const domain::EngineSettings& settings = deployment.settings;
    const auto release = kernels::find_release(settings.version);
    // cudagraph_mode is PIECEWISE up to 0.10 and FULL_AND_PIECEWISE from 0.11 on (vllm/config/compilation.py).
    constexpr kernels::Release kWholeSince{0, 11, 0};
    std::string_view mode = settings.cudagraph_mode;
    if (mode.empty()) mode = release && *release < kWholeSince ? "PIECEWISE" : "FULL_AND_PIECEWISE";
    decode_ = mode.starts_with("FULL") ? Mode::whole : (mode == "NONE" ? Mode::eager : Mode::piecewise);
    mixed_ = mode == "FULL" ? Mode::whole : (mode == "NONE" || mode == "FULL_DECODE_ONLY" ? Mode::eager : Mode::piecewise);
    sizes_.assign(settings.cudagraph_capture_sizes.begin(), settings.cudagraph_capture_sizes.end());
    std::ranges::sort(sizes_);
    if (!sizes_.empty()) return;
    // Captured by default: 1, 2, 4, then multiples of 8 up to 256, then of 16 up to 512 (vllm/config/vllm.py).
    sizes_ = {1, 2, 4};
    for (std::int64_t size = 8; size <= 256; size += 8) sizes_.push_back(size);
    for (std::int64_t size = 272; size <= 512; size += 16) sizes_.push_back(size);
  }

  [[nodiscard]] Mode decode_mode(std::int64_t tokens) const { return fits(tokens) ? decode_ : Mode::eager; }
  [[nodiscard]] Mode mixed_mode(std::int64_t tokens) const { return fits(tokens) ? mixed_ : Mode::eager; }
  /// The smallest captured size that holds so many tokens; the number itself where no graph does.
  [[nodiscard]] std::int64_t padded(std::int64_t tokens) const {
    return fits(tokens) ? *std::ranges::lower_bound(sizes_, tokens) : tokens;
  }

 private:
  [[nodiscard]] bool fits(std::int64_t tokens) const { return !sizes_.empty() && tokens <= sizes_.back(); }

  Mode decode_ = Mode::whole;
  Mode mixed_ = Mode::piecewise;
  std::vector<std::int64_t> sizes_;  ///< ascending
};

}  // namespace rooftune::latency
