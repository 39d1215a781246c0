#include "rooftune/core/random.hpp"

#include <cmath>

namespace rooftune::core {
namespace {

/// FNV-1a (Fowler, Noll, Vo), 64 bits.
std::uint64_t hash_text(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char character : text) hash = (hash ^ static_cast<unsigned char>(character)) * 0x100000001b3ULL;
  return hash;
}

}  // namespace

RandomEngine make_stream(const StreamKey& key) {
  std::uint64_t state = mixed(key.seed);
  state = mixed(state ^ hash_text(key.experiment_id));
  state = mixed(state ^ static_cast<std::uint64_t>(key.stage));
  state = mixed(state ^ (static_cast<std::uint64_t>(key.purpose) << 32));
  state = mixed(state ^ static_cast<std::uint64_t>(key.replicate));
  return RandomEngine(state);
}

double standard_normal(RandomEngine& engine) {
  while (true) {
    const double u = 2.0 * uniform01(engine) - 1.0;
    const double v = 2.0 * uniform01(engine) - 1.0;
    const double s = u * u + v * v;
    if (s > 0.0 && s < 1.0) return u * std::sqrt(-2.0 * std::log(s) / s);
  }
}

}  // namespace rooftune::core
