#include "rooftune/sim/engine.hpp"

#include "engine_impl.hpp"

namespace rooftune::sim {

std::string_view rejection_text(RejectionReason reason) {
  switch (reason) {
    case RejectionReason::model_length: return "longer than max_model_len";
    case RejectionReason::kv_pool: return "larger than the KV pool";
  }
  return "";
}

template class Engine<double>;

}  // namespace rooftune::sim
