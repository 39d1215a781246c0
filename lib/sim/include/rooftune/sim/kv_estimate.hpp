#pragma once

#include <cstdint>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/domain/gpu.hpp"
#include "rooftune/domain/model.hpp"

namespace rooftune::sim {

/// Bytes that one GPU keeps of a KV block: its layers, and its heads or, with tp above the number of KV heads, one copy.
[[nodiscard]] double kv_block_bytes(const domain::ModelSpec& model, const domain::Deployment& deployment);

/// KV blocks that vLLM would find room for: memory x gpu_mem_util, less weights, less activations and CUDA context.
/// Within 4 % of the block counts recorded on H100, A100 and L40S (tests/sim/kv_estimate_test.cpp). 0 when the weights alone do not fit.
[[nodiscard]] std::int64_t estimate_kv_blocks(const domain::ModelSpec& model, const domain::GpuSpec& gpu,
                                              const domain::Deployment& deployment);

}  // namespace rooftune::sim
