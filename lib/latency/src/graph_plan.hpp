#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "rooftune/core/contract.hpp"
#include "rooftune/domain/experiment.hpp"

namespace rooftune::latency {

/// Which steps of a deployment replay a CUDA graph, and to which size a batch is padded for it.
class GraphPlan {
 public:
  enum class Mode {
    whole,      ///< one graph for everything
    piecewise,  ///< graphs between the attention layers, whose kernels the host launches
    eager,      ///< the host launches every kernel
  };

  /// The deployment is settled: sim/engine_releases.cpp is where versions have their modes and sizes.
  explicit GraphPlan(const domain::Deployment& deployment) {
    const domain::EngineSettings& settings = deployment.settings;
    const std::string_view mode = settings.cudagraph_mode;
    ROOFTUNE_EXPECTS(!mode.empty());
    decode_ = mode.starts_with("FULL") ? Mode::whole : (mode == "NONE" ? Mode::eager : Mode::piecewise);
    mixed_ = mode == "FULL" ? Mode::whole : (mode == "NONE" || mode == "FULL_DECODE_ONLY" ? Mode::eager : Mode::piecewise);
    sizes_.assign(settings.cudagraph_capture_sizes.begin(), settings.cudagraph_capture_sizes.end());
    std::ranges::sort(sizes_);
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
