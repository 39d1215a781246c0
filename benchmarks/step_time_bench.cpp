#include <benchmark/benchmark.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string>

#include "latency/batches.hpp"
#include "latency/synthetic_tables.hpp"
#include "rooftune/core/derivative.hpp"
#include "rooftune/kernels/kernel_tables.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "support/example_targets.hpp"

/// What one kernel lookup and one call of piece() cost. Llama-3.1-70B at TP 4 on H100, registry parameters, synthetic tables.
namespace rooftune {
namespace {

/// Queries in turn, so that no branch predictor learns one.
constexpr std::size_t kQueries = 1024;

struct Fixture {
  domain::ModelSpec model = examples::llama_3_1_70b();
  domain::GpuSpec gpu = examples::h100();
  domain::Deployment deployment = examples::deployment(model, gpu, 4);
  kernels::KernelTables tables{examples::synthetic_kernels(model)};
};

void look_up_gemm(benchmark::State& state) {
  const Fixture fixture;
  const kernels::CurveLookup gemm = *fixture.tables.gemm(kernels::NumberFormat::bf16, 2560, 8192);
  const auto mode = static_cast<kernels::LookupMode>(state.range(0));
  latency::RandomBatches random(1);
  std::array<double, kQueries> rows{};
  for (double& m : rows) m = static_cast<double>(random.between(1, 8192));
  kernels::LookupReport report;
  std::size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(gemm.latency_us(mode, report, rows[++i % kQueries]));
}

void look_up_attention(benchmark::State& state) {
  const Fixture fixture;
  const kernels::GridLookup attention =
      *fixture.tables.generation_attention(kernels::NumberFormat::bf16, {.heads = 16, .kv_heads = 2, .head_dim = 128});
  latency::RandomBatches random(2);
  std::array<double, kQueries> sequences{};
  std::array<double, kQueries> tokens{};
  for (double& n : sequences) n = static_cast<double>(random.between(1, 256));
  for (double& t : tokens) t = static_cast<double>(random.between(16, 8192));
  kernels::LookupReport report;
  std::size_t i = 0;
  for (auto _ : state) {
    ++i;
    benchmark::DoNotOptimize(
        attention.latency_us(kernels::LookupMode::interpolate, report, sequences[i % kQueries], tokens[i % kQueries]));
  }
}

/// Finding a shape that was not measured scans for the nearest one; done once per layer and deployment.
void find_nearest_gemm(benchmark::State& state) {
  const Fixture fixture;
  for (auto _ : state) benchmark::DoNotOptimize(fixture.tables.gemm(kernels::NumberFormat::bf16, 5000, 5000));
}

/// `mixed`: every batch has one to four prefills beside its decodes.
template <class Scalar>
void piece(benchmark::State& state, const std::string& name, bool mixed) {
  const Fixture fixture;
  const auto step_time = latency::make_step_time<Scalar>(
      name, {.model = fixture.model, .gpu = fixture.gpu, .deployment = fixture.deployment, .tables = &fixture.tables},
      params::Resolved<Scalar>{});
  latency::RandomBatches random(3);
  std::vector<latency::OwnedBatch> batches;
  for (std::size_t i = 0; i < kQueries; ++i) batches.push_back(mixed ? random.mixed() : random.decode_only());
  std::size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(step_time->piece(batches[++i % kQueries].view()));
}

void register_pieces() {
  for (const latency::ModelEntry& entry : latency::step_time_models()) {
    const std::string name(entry.name);
    for (const bool mixed : {false, true}) {
      const std::string batch = mixed ? "mixed" : "decode";
      benchmark::RegisterBenchmark(("piece/" + name + "/" + batch).c_str(),
                                   [name, mixed](benchmark::State& state) { piece<double>(state, name, mixed); });
      benchmark::RegisterBenchmark(("piece/" + name + "/" + batch + "/derivatives").c_str(), [name, mixed](benchmark::State& state) {
        piece<core::Dual<core::kMediumWidth>>(state, name, mixed);
      });
    }
  }
}

BENCHMARK(look_up_gemm)
    ->Arg(static_cast<int>(kernels::LookupMode::floor))
    ->Arg(static_cast<int>(kernels::LookupMode::nearest))
    ->Arg(static_cast<int>(kernels::LookupMode::interpolate));
BENCHMARK(look_up_attention);
BENCHMARK(find_nearest_gemm);

}  // namespace
}  // namespace rooftune

int main(int argc, char** argv) {
  rooftune::register_pieces();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return EXIT_FAILURE;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return EXIT_SUCCESS;
}
