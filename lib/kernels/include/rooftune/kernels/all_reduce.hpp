#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "rooftune/domain/gpu.hpp"
#include "rooftune/domain/release.hpp"
#include "rooftune/kernels/price_curve.hpp"
#include "rooftune/kernels/tables.hpp"

namespace rooftune::kernels {

/// Which implementation a vLLM release takes for an all-reduce of one size, in bytes: its own kernel below `own_below`, NCCL from
/// there; where `symmetric` is set, PyTorch's symmetric memory from `own_below` up to a limit of its own, which tables of such
/// releases contain.
struct AllReduceChoice {
  double own_below = 0.0;
  bool symmetric = false;
  double two_stages_from = 0.0;  ///< inside vLLM's own kernel; 0: always one stage
  double fused_up_to = 0.0;      ///< FlashInfer's kernel, which does the norm that follows too, up to here and included; 0: not taken
};
/// `release` empty: the newest. `fused`: what the deployment says of that kernel; empty: the release's default.
[[nodiscard]] AllReduceChoice all_reduce_choice(const domain::GpuSpec& gpu, std::int64_t ranks, std::optional<domain::Release> release,
                                                std::optional<bool> fused = {});

/// Time over bytes of the message as that release runs it: rows of its own kernel where it takes that one, of NCCL elsewhere, with
/// jumps where it changes. Empty when there is no row for so many ranks.
[[nodiscard]] PriceCurve all_reduce_curve(const std::vector<AllReduceRow>& rows, const domain::GpuSpec& gpu, std::int64_t ranks,
                                          std::optional<domain::Release> release, std::optional<bool> fused = {});

}  // namespace rooftune::kernels
