#include "rooftune/kernels/kernel_summary.hpp"

#include <algorithm>

namespace rooftune::kernels {

const KernelSummary* find_summary(const std::vector<KernelSummary>& summaries, std::string_view gpu) {
  const auto found = std::ranges::find(summaries, gpu, &KernelSummary::gpu);
  return found == summaries.end() ? nullptr : &*found;
}

}  // namespace rooftune::kernels
