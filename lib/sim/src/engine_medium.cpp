#include "engine_impl.hpp"

namespace rooftune::sim {

template class Engine<core::Dual<core::kMediumWidth>>;

}  // namespace rooftune::sim
