#include "prompt_tokens.hpp"

#include <fmt/format.h>

#include <iterator>

#include "rooftune/core/random.hpp"

namespace rooftune::observe {
namespace {

constexpr std::uint64_t kFirstId = 1000;
constexpr std::uint64_t kIds = 16'384;
/// Streams of chains and of requests never meet.
constexpr std::uint64_t kChainStream = 0x8000'0000'0000'0000ULL;

std::uint64_t token(std::uint64_t seed, std::uint64_t stream, std::int32_t position) {
  using core::mixed;
  return kFirstId + mixed(mixed(mixed(seed) ^ stream) + static_cast<std::uint64_t>(position)) % kIds;
}

/// A chain continues its parent.
std::uint64_t chain_token(const sim::RequestPlan& plan, std::int32_t chain, std::int32_t position, std::uint64_t seed) {
  while (plan.chains[static_cast<std::size_t>(chain)].parent >= 0 &&
         position < plan.chains[static_cast<std::size_t>(chain)].parent_tokens) {
    chain = plan.chains[static_cast<std::size_t>(chain)].parent;
  }
  return token(seed, kChainStream | static_cast<std::uint64_t>(chain), position);
}

}  // namespace

std::string prompt_json(const sim::RequestPlan& plan, const sim::PlannedRequest& request, std::uint64_t own_stream,
                        std::uint64_t seed) {
  std::string json = "[";
  for (std::int32_t i = 0; i < request.prompt_tokens; ++i) {
    const bool is_shared = request.chain >= 0 && i < request.chain_tokens;
    const std::uint64_t id = is_shared ? chain_token(plan, request.chain, i, seed) : token(seed, own_stream, i);
    fmt::format_to(std::back_inserter(json), "{}{}", i == 0 ? "" : ",", id);
  }
  return json + "]";
}

}  // namespace rooftune::observe
