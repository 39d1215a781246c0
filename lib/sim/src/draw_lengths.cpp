#include "draw_lengths.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace rooftune::sim {
std::int32_t draw_length(const domain::LengthDistribution& length, core::RandomEngine& engine) {
  const double shortest = std::max(1.0, length.min_tokens);
  if (length.shape == domain::LengthShape::uniform) {
    const double first = std::ceil(shortest);
    const double numbers = std::max(1.0, std::floor(length.max_tokens) - first + 1.0);
    return static_cast<std::int32_t>(first + std::floor(numbers * core::uniform01(engine)));
  }
  double tokens = length.mean_tokens;
  if (length.standard_deviation_tokens > 0.0) tokens += length.standard_deviation_tokens * core::standard_normal(engine);
  return static_cast<std::int32_t>(std::lround(std::clamp(tokens, shortest, length.max_tokens)));
}

std::int32_t NumpyIntegers::draw(std::int32_t low, std::int32_t high) {
  const auto range = static_cast<std::uint32_t>(high - low);
  if (range == 0) return low;
  const std::uint32_t mask = std::bit_ceil(range + 1) - 1;
  while (true) {
    const auto word = static_cast<std::uint32_t>(engine_()) & mask;
    if (word <= range) return low + static_cast<std::int32_t>(word);
  }
}

DrawnLengths draw_numpy_lengths(const domain::Workload& workload, std::size_t count) {
  NumpyIntegers integers(*workload.numpy_seed);
  const auto draw = [&](const domain::LengthDistribution& length) {
    const auto low = static_cast<std::int32_t>(length.min_tokens);
    const auto high = static_cast<std::int32_t>(length.max_tokens);
    std::vector<std::int32_t> tokens(count);
    for (std::int32_t& one : tokens) one = integers.draw(low, high);
    return tokens;
  };
  DrawnLengths lengths;
  lengths.prompt_tokens = draw(workload.prompt);
  lengths.output_tokens = draw(workload.output);
  return lengths;
}

}  // namespace rooftune::sim
