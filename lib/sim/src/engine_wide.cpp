#include "engine_impl.hpp"

namespace rooftune::sim {

template class Engine<core::Dual<core::kWideWidth>>;

}  // namespace rooftune::sim
