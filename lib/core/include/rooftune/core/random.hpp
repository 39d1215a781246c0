#pragma once

#include <cstdint>
#include <random>
#include <string_view>

namespace rooftune::core {

/// What a random stream is for. Streams of different purposes never share numbers.
enum class StreamPurpose : std::uint32_t {
  arrivals = 1,
  prompt_lengths = 2,
  output_lengths = 3,
  prompt_order = 4,
  optimiser_start = 5,
  bootstrap = 6,
  noise = 7,
  splits = 8,
  turns = 9,
  acceptance = 10,
};

/// Names one random stream. The same key gives the same numbers whatever else is drawn, selected or folded.
struct StreamKey {
  std::uint64_t seed = 0;
  std::string_view experiment_id;
  int stage = 0;
  StreamPurpose purpose = StreamPurpose::arrivals;
  int replicate = 0;
};

/// Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators": the SplitMix64 finaliser. Also the n-th number of a
/// stream without the ones before.
[[nodiscard]] constexpr std::uint64_t mixed(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15ULL;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

using RandomEngine = std::mt19937_64;

[[nodiscard]] RandomEngine make_stream(const StreamKey& key);

/// Uniform in [0, 1) from the top 53 bits; spelled out because std::uniform_real_distribution differs between libraries.
[[nodiscard]] inline double uniform01(RandomEngine& engine) { return static_cast<double>(engine() >> 11) * 0x1.0p-53; }

/// Standard normal, by Marsaglia's polar method; spelled out because std::normal_distribution differs between libraries.
[[nodiscard]] double standard_normal(RandomEngine& engine);

}  // namespace rooftune::core
