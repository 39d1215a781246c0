#pragma once

#include <cstdint>
#include <limits>

#include "kv_cache.hpp"
#include "rooftune/sim/request_plan.hpp"

namespace rooftune::sim {

inline constexpr std::int64_t kNoStep = std::numeric_limits<std::int64_t>::max();

/// A request from its arrival to its last token. The scheduler decides steps before they run (one ahead, where two are in
/// flight): what it writes here holds when all steps decided so far are done.
struct Request {
  /// One that needs so many blocks of the pool.
  [[nodiscard]] static Request arriving(const PlannedRequest& planned, double arrival_us, std::int32_t most_blocks) {
    return {.planned = &planned,
            .arrival_us = arrival_us,
            .output_tokens = planned.output_tokens,
            .to_compute = planned.prompt_tokens,
            .most_blocks = most_blocks,
            .chain = planned.chain,
            .chain_tokens = planned.chain_tokens};
  }

  const PlannedRequest* planned = nullptr;
  double arrival_us = 0.0;
  double first_token_us = -1.0;        ///< negative: none yet
  std::int64_t context_offset = 0;     ///< decoding: step s begins with s + context_offset tokens in the cache
  std::int64_t finish_step = kNoStep;  ///< at whose end its last token comes; known when its last chunk has been decided
  std::int32_t output_tokens = 0;
  std::int32_t to_compute = 0;   ///< prompt tokens, and after a preemption the generated ones again
  std::int32_t computed = 0;     ///< of these
  std::int32_t generated = 0;    ///< tokens it had when it was admitted last
  std::int32_t most_blocks = 0;  ///< of the pool, with its last token
  KvLease lease{};
  std::int32_t chain = -1;
  std::int32_t chain_tokens = 0;
  std::int32_t cached = 0;
  std::int32_t preemptions = 0;
  std::uint32_t ticket = 0;  ///< of its last admission
  bool running = false;      ///< admitted, and not preempted since
  bool grows = false;        ///< it takes blocks in the steps to come: DecodeBlocks counts it
  bool decoding = false;     ///< it is among the decodes of the step that runs
  bool loaded = false;       ///< until it is admitted: it holds blocks that are, or will be, read back from the host's memory
};

/// Where it is kept, and its neighbours in the list that it is in.
struct alignas(128) Slot : Request {
  Slot* previous = nullptr;
  Slot* next = nullptr;
  std::uint32_t number = 0;  ///< among all slots
};
static_assert(sizeof(Slot) == 128);

/// A ring of slots through one that is no request: its `next` is the first of the list, its `previous` the last.
struct SlotList {
  SlotList() { ends.previous = ends.next = &ends; }
  Slot ends;
  std::int64_t size = 0;

  [[nodiscard]] Slot& first() { return *ends.next; }
  [[nodiscard]] Slot& last() { return *ends.previous; }
  /// The first of the last `count`.
  [[nodiscard]] Slot& from_last(int count) {
    Slot* slot = &ends;
    for (int i = 0; i < count; ++i) slot = slot->previous;
    return *slot;
  }
  void append(Slot& slot) { insert_before(ends, slot); }
  void prepend(Slot& slot) { insert_before(first(), slot); }
  void insert_before(Slot& next, Slot& slot) {
    slot.previous = next.previous;
    slot.next = &next;
    slot.previous->next = &slot;
    next.previous = &slot;
    ++size;
  }
  void remove(Slot& slot) {
    slot.previous->next = slot.next;
    slot.next->previous = slot.previous;
    --size;
  }
};

}  // namespace rooftune::sim
