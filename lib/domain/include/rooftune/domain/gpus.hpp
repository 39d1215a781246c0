#pragma once

#include "rooftune/domain/experiment.hpp"

namespace rooftune::domain {

/// GPUs of a whole deployment.
[[nodiscard]] inline int gpus(const Deployment& deployment) {
  if (const auto& apart = deployment.prefill_decode) {
    const auto of_pool = [&](const EnginePool& pool) { return pool.engines * (pool.tp > 0 ? pool.tp : deployment.tp); };
    return of_pool(apart->prefill) + of_pool(apart->decode);
  }
  return deployment.dp * gpus_of_engine(deployment);
}

}  // namespace rooftune::domain
