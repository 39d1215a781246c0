#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "rooftune/core/random.hpp"
#include "rooftune/domain/experiment.hpp"

namespace rooftune::sim {

/// A length in whole tokens, at least 1.
[[nodiscard]] std::int32_t draw_length(const domain::LengthDistribution& length, core::RandomEngine& engine);

/// The numbers of numpy.random.RandomState(seed).randint(low, high + 1): MT19937 seeded with one word, and of every 32-bit word
/// as many low bits as the range needs, until the number is in range.
class NumpyIntegers {
 public:
  explicit NumpyIntegers(std::uint32_t seed) : engine_(seed) {}
  [[nodiscard]] std::int32_t draw(std::int32_t low, std::int32_t high);

 private:
  std::mt19937 engine_;
};

/// Prompt and output lengths of `count` requests as `vllm bench serve` draws them: all prompts first, then all outputs.
struct DrawnLengths {
  std::vector<std::int32_t> prompt_tokens;
  std::vector<std::int32_t> output_tokens;
};
[[nodiscard]] DrawnLengths draw_numpy_lengths(const domain::Workload& workload, std::size_t count);

}  // namespace rooftune::sim
