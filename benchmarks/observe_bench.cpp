// How punctual the load generator is: 500 requests a second against a server of our own on loopback, both on the same cores.
#include <benchmark/benchmark.h>

#include <stdexcept>

#include "rooftune/observe/observe.hpp"
#include "support/streaming_server.hpp"

namespace rooftune {
namespace {

void observe_rate(benchmark::State& state) {
  const auto rate_per_s = static_cast<double>(state.range(0));
  constexpr double kSeconds = 4.0;
  domain::Experiment experiment;
  experiment.id = "bench";
  experiment.workload.prompt.mean_tokens = 128;
  experiment.workload.output.mean_tokens = 8;
  experiment.workload.arrival.process = domain::ArrivalProcess::poisson;
  experiment.workload.stages = {
      {.rate = {rate_per_s}, .duration = {kSeconds}, .num_requests = static_cast<int>(rate_per_s * kSeconds)}};
  const sim::RequestPlan plan = sim::make_request_plan(experiment, 1, 0);
  const testing_support::StreamingServer server({.step_us = 5'000.0});
  observe::ObserveOptions options;
  options.url = server.url();
  options.model = "bench";
  options.warm_up_requests = 64;  // opens connections
  observe::SelfCheck self;
  for (auto _ : state) {
    const auto observation = observe::observe(plan, options);
    if (!observation) throw std::runtime_error(core::format(observation.error()));
    self = observation->self;
  }
  state.counters["lateness_p50_ms"] = self.lateness_p50_ms;
  state.counters["lateness_p99_ms"] = self.lateness_p99_ms;
  state.counters["lateness_max_ms"] = self.lateness_max_ms;
  state.counters["most_in_flight"] = self.most_in_flight;
}
BENCHMARK(observe_rate)->Name("observe_rate")->Arg(500)->Iterations(1)->Unit(benchmark::kSecond)->UseRealTime();

}  // namespace
}  // namespace rooftune

BENCHMARK_MAIN();
