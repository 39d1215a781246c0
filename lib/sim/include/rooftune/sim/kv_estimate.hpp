#pragma once

#include <cstdint>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/domain/gpu.hpp"
#include "rooftune/domain/model.hpp"

namespace rooftune::sim {

/// Bytes that one GPU keeps for a request of so many tokens: keys and values of its layers and heads (or, with tp above the
/// number of KV heads, one copy), no more than a window's where a layer has one, and the states of linear attention. Layers of
/// several kinds are laid out as vLLM's hybrid manager does: in groups of equal numbers of layers, the last one filled up, all
/// with blocks of the same bytes; blocks of attention grow until a state of linear attention fits into one.
[[nodiscard]] double kv_request_bytes(const domain::ModelSpec& model, const domain::Deployment& deployment, std::int64_t tokens);

/// Bytes of one block of the engine's pool on one GPU. Where layers keep less than all tokens, it is an average over a request of
/// `request_tokens`; 0: of max_model_len.
[[nodiscard]] double kv_block_bytes(const domain::ModelSpec& model, const domain::Deployment& deployment,
                                    std::int64_t request_tokens = 0);

/// The engine's blocks of a pool of which vLLM logged `logged` (tokens over block_size). Of a hybrid model vLLM counts its blocks
/// over the number of groups, as if each kept every token; for requests of `request_tokens` there is more room than that.
[[nodiscard]] std::int64_t logged_pool_blocks(const domain::ModelSpec& model, const domain::Deployment& deployment,
                                              std::int64_t logged, std::int64_t request_tokens);

/// KV blocks that vLLM would find room for: memory x gpu_mem_util, less weights, activations and what the engine and CUDA take. A
/// hybrid model's are those that hold as many requests of `request_tokens` (0: of max_model_len) as its groups of blocks do.
struct KvEstimate {
  std::int64_t blocks = 0;  ///< 0 when the weights alone do not fit
  std::int64_t low = 0;     ///< of what is not known about the board or the model
  std::int64_t high = 0;

  /// How far off the estimate may be, as a share of it.
  [[nodiscard]] double uncertainty() const;
};

/// Within 3 % of the pools recorded on H100, A100 and L40S, of one of a 24 GiB card, and of Llama-3.3-70B in NVFP4 with an FP8
/// cache on B200 (tests/sim/kv_estimate_test.cpp).
[[nodiscard]] KvEstimate estimate_kv(const domain::ModelSpec& model, const domain::GpuSpec& gpu, const domain::Deployment& deployment,
                                     std::int64_t request_tokens = 0);

/// The same without its range.
[[nodiscard]] std::int64_t estimate_kv_blocks(const domain::ModelSpec& model, const domain::GpuSpec& gpu,
                                              const domain::Deployment& deployment, std::int64_t request_tokens = 0);

}  // namespace rooftune::sim
