#include "rooftune/plan/transfer_widths.hpp"

#include <algorithm>
#include <array>

namespace rooftune::plan {
namespace {

// Kernels: on another GPU, how far a GPU's own tables are from what its servers do (the reference's fit moved its shares by 2 to
// 5 % from the tables; 10 % leaves room for hosts that throttle); between versions, how far H100 tables of 0.14, 0.19 and 0.24
// lie apart (GEMMs 0.837 and 0.801, context attention 0.517 and 0.559 of peak, decode attention 0.865 and 0.869; docs/kernel_data.md).
// The exponent is the form of the GEMM curve and no property of a host: the free fits of tables say so as much as their scatter.
// Hosts: schedulers, samplers and front ends are rewritten between versions and run on other CPUs beside other GPUs; the widths
// are wide enough for what the runs at hand needed (A100, L40S; 0.11, 0.23) and too narrow for one run to trade them freely.
constexpr std::array kWidths{
    TransferWidth{"frontend.constant_us", 0.3, 0.3},
    TransferWidth{"frontend.per_prompt_token_us", 0.3, 0.3},
    TransferWidth{"frontend.per_output_token_us", 0.3, 0.3},
    TransferWidth{"physics.t_step_us", 0.5, 0.5},
    TransferWidth{"physics.t_layer_us", 0.3, 0.2},
    TransferWidth{"physics.t_seq_us", 0.8, 0.8},
    TransferWidth{"physics.prefill_layer_us", 0.5, 0.5},
    TransferWidth{"physics.sampler_us_per_kilotoken", 0.4, 0.4},
    TransferWidth{"physics.sampler_seq_us_per_kilotoken", 0.5, 0.5},
    TransferWidth{"physics.gemm_fraction", 0.1, 0.04},
    TransferWidth{"physics.fp8_gemm_fraction", 0.2, 0.1},
    TransferWidth{"physics.fp8_call_us", 0.3, 0.2},
    TransferWidth{"physics.weight_bandwidth_fraction", 0.1, 0.02},
    TransferWidth{"physics.kv_bandwidth_fraction", 0.1, 0.03},
    TransferWidth{"physics.prefill_attention_fraction", 0.3, 0.1},
    TransferWidth{"physics.pnorm", 0.05, 0.02},
    TransferWidth{"physics.allreduce_us", 0.2, 0.1},
    TransferWidth{"physics.allreduce_skew_us", 0.5, 0.3},
    TransferWidth{"physics.allreduce_fraction", 0.3, 0.1},
    TransferWidth{"physics.moe_weight_bandwidth_fraction", 0.2, 0.1},
    TransferWidth{"physics.moe_fp8_weight_bandwidth_fraction", 0.2, 0.1},
    TransferWidth{"physics.moe_gemm_fraction", 0.3, 0.2},
    TransferWidth{"physics.moe_fp8_gemm_fraction", 0.3, 0.2},
    TransferWidth{"physics.moe_layer_us", 0.3, 0.3},
    TransferWidth{"physics.moe_routing_correlation", 0.1, 0.1},
};

}  // namespace

std::span<const TransferWidth> transfer_widths() { return kWidths; }

std::optional<TransferWidth> transfer_width(std::string_view id) {
  const auto* const found = std::ranges::find(kWidths, id, &TransferWidth::id);
  if (found == kWidths.end()) return std::nullopt;
  return *found;
}

}  // namespace rooftune::plan
