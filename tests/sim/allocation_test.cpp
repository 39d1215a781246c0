#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "rooftune/core/derivative.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "support/example_targets.hpp"
#include "workloads.hpp"

namespace {
std::atomic<std::int64_t> allocations{0};
}

// Counts what this program allocates. The unaligned forms are what the engine's containers of numbers use; Eigen's go
// through malloc only when they are dynamic, which the engine's are not. Not inlined, because compilers take new and free for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  const auto step = static_cast<std::size_t>(alignment);
  if (void* memory = std::aligned_alloc(step, (size + step - 1) / step * step)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace rooftune::sim {
namespace {

/// A steady load of prompts that repeat.
StagePlan steady(int requests) {
  StagePlan stage;
  for (int i = 0; i < requests; ++i) {
    stage.requests.push_back({.arrival_us = 1e5 * i,
                              .prompt_tokens = 500 + i % 100,
                              .output_tokens = 150 + 7 * (i % 13),
                              .chain = i % 100,
                              .chain_tokens = 500 + i % 100});
  }
  stage.requests_per_us = 1e-5;
  return stage;
}

template <class Scalar>
std::int64_t allocations_of(int requests) {
  const domain::ModelSpec model = examples::llama_2_7b();
  const domain::GpuSpec gpu = examples::h100();
  const domain::Deployment deployment = examples::deployment(model, gpu, 1);
  const params::Resolved<Scalar> parameters;
  const auto times = latency::make_step_time<Scalar>("physics", {.model = model, .gpu = gpu, .deployment = deployment}, parameters);
  const std::vector<PrefixChain> chains(100);
  const StagePlan stage = steady(requests);
  EngineSetup setup;
  setup.kv_blocks = 5000;
  Engine<Scalar> engine(setup, chains, *times);
  const std::int64_t before = allocations.load();
  const StageRecord<Scalar> record = engine.run_stage(stage, 0, 0.0);
  EXPECT_EQ(record.finished, requests);
  return allocations.load() - before;
}

TEST(Engine, AllocatesNothingPerEvent) {
  EXPECT_EQ(allocations_of<double>(20000), allocations_of<double>(500));
  EXPECT_EQ(allocations_of<core::Dual<core::kMediumWidth>>(5000), allocations_of<core::Dual<core::kMediumWidth>>(500));
  EXPECT_LE(allocations_of<double>(20000), 4);
}

}  // namespace
}  // namespace rooftune::sim
