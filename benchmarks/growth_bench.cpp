#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <cstdint>

#include "rooftune/sim/simulate.hpp"
#include "support/example_targets.hpp"

/// How the cost of a simulation grows. Llama-2-7B on one H100, physics with the registry's parameters.
namespace rooftune {
namespace {

/// An open loop that keeps a few dozen requests running.
domain::Experiment steady_load(std::int64_t requests, double rate_per_s, double output_tokens) {
  domain::Experiment experiment;
  experiment.id = "growth";
  experiment.deployment = examples::deployment(examples::llama_2_7b(), examples::h100(), 1);
  experiment.deployment.settings.total_kv_blocks = 40000;
  experiment.deployment.settings.max_model_len = 16384;
  experiment.deployment.settings.max_num_seqs = 1024;
  domain::Workload& workload = experiment.workload;
  workload.pattern = domain::PromptPattern::cycled;
  workload.distinct_prompts = 100;
  workload.prompt = {.mean_tokens = 575};
  workload.prompt_spread_fraction = 0.03;
  workload.output = {.mean_tokens = output_tokens};
  workload.arrival.process = domain::ArrivalProcess::poisson;
  workload.stages = {
      {.rate = {rate_per_s}, .duration = {static_cast<double>(requests) / rate_per_s}, .num_requests = static_cast<int>(requests)}};
  return experiment;
}

double peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024.0;
}

void simulate(benchmark::State& state, const domain::Experiment& experiment) {
  const domain::ModelSpec model = examples::llama_2_7b();
  const domain::GpuSpec gpu = examples::h100();
  const sim::RequestPlan plan = sim::make_request_plan(experiment, 1, 0);
  const params::Resolved<double> parameters;
  sim::EngineCounters counters;
  for (auto _ : state) {
    const auto prediction = sim::simulate<double>("physics", {.experiment = experiment, .model = model, .gpu = gpu, .plan = plan},
                                                  parameters, {.percentiles = sim::Percentiles::compute});
    counters = prediction.counters;
    benchmark::DoNotOptimize(prediction.summary.latencies);
  }
  const auto runs = static_cast<double>(state.iterations());
  state.counters["steps_per_second"] = benchmark::Counter(static_cast<double>(counters.steps) * runs, benchmark::Counter::kIsRate);
  state.counters["events_per_second"] = benchmark::Counter(static_cast<double>(counters.advances) * runs, benchmark::Counter::kIsRate);
  state.counters["mean_batch"] = counters.batch_time_us / counters.busy_us;
}

/// Percentiles included: 16 bytes for each finished request beside the 32 of its plan.
void requests(benchmark::State& state) {
  simulate(state, steady_load(state.range(0), 6.0, 248.0));
  state.counters["peak_MiB"] = peak_mib();
}
BENCHMARK(requests)->Name("growth_requests")->RangeMultiplier(10)->Range(10'000, 10'000'000)->Unit(benchmark::kMillisecond);

/// A closed loop with so many clients.
void batch(benchmark::State& state) {
  domain::Experiment experiment = steady_load(20'000, 1.0, 248.0);
  experiment.workload.arrival = {.process = domain::ArrivalProcess::closed_loop, .concurrency = static_cast<int>(state.range(0))};
  simulate(state, experiment);
}
BENCHMARK(batch)->Name("growth_batch")->RangeMultiplier(4)->Range(4, 1024)->Unit(benchmark::kMillisecond);

/// The same requests as turns of conversations, so many each, from 64 clients: every turn's prompt holds those before it.
void turns(benchmark::State& state) {
  domain::Experiment experiment = steady_load(20'000, 1.0, 248.0);
  experiment.workload.pattern = domain::PromptPattern::conversations;
  experiment.workload.turns_per_conversation = static_cast<int>(state.range(0));
  experiment.workload.arrival = {.process = domain::ArrivalProcess::closed_loop, .concurrency = 64};
  simulate(state, experiment);
}
BENCHMARK(turns)->Name("growth_turns")->RangeMultiplier(4)->Range(1, 16)->Unit(benchmark::kMillisecond);

/// The same tokens per second in fewer, longer answers.
void output(benchmark::State& state) {
  const auto tokens = static_cast<double>(state.range(0));
  simulate(state, steady_load(10'000, 1500.0 / tokens, tokens));
}
BENCHMARK(output)->Name("growth_output")->RangeMultiplier(4)->Range(16, 4096)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace rooftune

BENCHMARK_MAIN();
