#include "rooftune/core/random.hpp"

#include <array>
#include <cmath>

namespace rooftune::core {
namespace {

/// Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators": the SplitMix64 finaliser.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

/// FNV-1a (Fowler, Noll, Vo), 64 bits.
std::uint64_t hash_text(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char character : text) hash = (hash ^ static_cast<unsigned char>(character)) * 0x100000001b3ULL;
  return hash;
}

}  // namespace

RandomEngine make_stream(const StreamKey& key) {
  std::uint64_t state = mix(key.seed);
  state = mix(state ^ hash_text(key.experiment_id));
  state = mix(state ^ static_cast<std::uint64_t>(key.stage));
  state = mix(state ^ (static_cast<std::uint64_t>(key.purpose) << 32));
  state = mix(state ^ static_cast<std::uint64_t>(key.replicate));
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
