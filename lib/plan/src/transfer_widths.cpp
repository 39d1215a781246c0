#include "rooftune/plan/transfer_widths.hpp"

#include <algorithm>
#include <array>

namespace rooftune::plan {
namespace {

// The spreads of the hierarchical fit of all shipped runs (experiments/hierarchical.yaml, docs/adr/0035). Where runs tell nothing, its
// general expectation: between GPUs 0.1 for what kernel tables know (how far a GPU's own tables are from what its servers do) and 0.3
// for hosts, front ends and kernels without tables; between versions 0.05 and 0.3; for the exponent, the form of a curve, 0.05.
constexpr std::array kWidths{
    // widths: begin (written by scripts/learn_widths.py)
    TransferWidth{"frontend.constant_us", 0.26, 0.3},
    TransferWidth{"frontend.per_prompt_token_us", 0.27, 0.3},
    TransferWidth{"frontend.per_output_token_us", 0.3, 0.3},
    TransferWidth{"physics.t_step_us", 0.3, 0.3},
    TransferWidth{"physics.t_layer_us", 0.29, 0.31},
    TransferWidth{"physics.t_seq_us", 0.3, 0.3},
    TransferWidth{"physics.prefill_layer_us", 0.3, 0.3},
    TransferWidth{"physics.sampler_us_per_kilotoken", 0.3, 0.3},
    TransferWidth{"physics.sampler_seq_us_per_kilotoken", 0.3, 0.3},
    TransferWidth{"physics.gemm_fraction", 0.1, 0.046},
    TransferWidth{"physics.fp8_gemm_fraction", 0.3, 0.3},
    TransferWidth{"physics.weight_bandwidth_fraction", 0.066, 0.048},  // told between GPUs and versions
    TransferWidth{"physics.kv_bandwidth_fraction", 0.1, 0.05},
    TransferWidth{"physics.prefill_attention_fraction", 0.094, 0.05},
    TransferWidth{"physics.pnorm", 0.05, 0.049},
    TransferWidth{"physics.allreduce_us", 0.1, 0.05},
    TransferWidth{"physics.allreduce_skew_us", 0.3, 0.3},
    TransferWidth{"physics.allreduce_fraction", 0.1, 0.05},
    TransferWidth{"physics.moe_fp8_weight_bandwidth_fraction", 0.3, 0.3},
    TransferWidth{"physics.moe_fp8_gemm_fraction", 0.3, 0.3},
    TransferWidth{"physics.moe_layer_us", 0.3, 0.3},
    TransferWidth{"physics.moe_routing_correlation", 0.3, 0.3},
    // widths: end
    // What the fit of those runs does not free, as kernel tables know it.
    TransferWidth{"physics.moe_weight_bandwidth_fraction", 0.1, 0.05},
};

}  // namespace

std::span<const TransferWidth> transfer_widths() { return kWidths; }

std::optional<TransferWidth> transfer_width(std::string_view id) {
  const auto* const found = std::ranges::find(kWidths, id, &TransferWidth::id);
  if (found == kWidths.end()) return std::nullopt;
  return *found;
}

}  // namespace rooftune::plan
