#include <benchmark/benchmark.h>

#include <array>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "latency/batches.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/runs/step_time_predictor.hpp"

/// How often a second another simulator can ask what a step takes: the configs that ship, on batches in turn, none like the one before.
namespace rooftune {
namespace {

constexpr std::size_t kQueries = 1024;

struct Subject {
  const char* config;
  const char* model;
  int tp;
};
constexpr std::array<Subject, 4> kSubjects{{{"h100.physics", "Llama-3.1-70B-Instruct", 4},
                                            {"h100.physics", "Llama-2-7b-hf", 1},
                                            {"h100.roofline_v1", "Llama-2-7b-hf", 1},
                                            {"h100.serving", "Llama-3.3-70B-Instruct-FP8", 4}}};

void predict(benchmark::State& state, const Subject& subject, bool mixed) {
  runs::AdHocLoad deployment;
  deployment.model = subject.model;
  deployment.tp = subject.tp;
  auto predictor = runs::open_step_time(deployment, {.config = subject.config});
  if (!predictor) {
    std::cerr << core::format(predictor.error());
    std::exit(EXIT_FAILURE);
  }
  latency::RandomBatches random(3);
  std::vector<latency::OwnedBatch> batches;
  for (std::size_t i = 0; i < kQueries; ++i) batches.push_back(mixed ? random.mixed() : random.decode_only());
  std::size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(predictor->microseconds(batches[++i % kQueries].view()));
  state.SetItemsProcessed(state.iterations());
}

}  // namespace
}  // namespace rooftune

int main(int argc, char** argv) {
  for (const rooftune::Subject& subject : rooftune::kSubjects) {
    for (const bool mixed : {false, true}) {
      const std::string name = std::string("predict/") + subject.config + "/" + subject.model + (mixed ? "/mixed" : "/decode");
      benchmark::RegisterBenchmark(name.c_str(),
                                   [subject, mixed](benchmark::State& state) { rooftune::predict(state, subject, mixed); });
    }
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return EXIT_FAILURE;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return EXIT_SUCCESS;
}
