// What a user of the library does first: resolve a config for a deployment, ask what a step takes, solve something small.
#include <cmath>
#include <cstdio>
#include <rooftune/domain/experiment.hpp>
#include <rooftune/domain/gpu.hpp>
#include <rooftune/domain/layers.hpp>
#include <rooftune/domain/model.hpp>
#include <rooftune/latency/catalogue.hpp>
#include <rooftune/opt/solve.hpp>
#include <rooftune/params/config.hpp>

using namespace rooftune;

namespace {

double microseconds_of_eight_decodes() {
  domain::GpuSpec gpu;
  gpu.name = "My-GPU";
  gpu.peak_bf16 = {500.0};
  gpu.hbm_bandwidth = {2.5};
  gpu.link_bandwidth = {300.0};
  gpu.memory = {64.0};
  domain::ModelSpec model;
  model.name = "My-Model";
  model.hidden = 4096;
  model.vocabulary = 32000;
  model.groups = domain::decoder_layers(
      {.layers = 32, .hidden = model.hidden, .attention = {.heads = 32, .kv_heads = 32, .head_dim = 128}, .ffn_width = 11008});
  domain::Deployment deployment;
  deployment.model = model.name;
  deployment.hardware = gpu.name;

  params::Config config;
  config.parameters[params::parameter("roofline_v1.TOverheadMicros")] = {.value = 250.0};
  const params::Resolved<double> parameters = params::resolve(config, deployment, gpu);
  const latency::Target target{model, gpu, deployment};
  const auto step_time = latency::make_step_time<double>("roofline_v1", target, parameters);
  latency::Batch batch;
  batch.decode_requests = 8;
  batch.decode_context_tokens = 8 * 600;
  batch.decode_max_context_tokens = 600;
  return step_time->piece(batch).duration_us;
}

double minimum_of_a_parabola() {
  const opt::Problem problem{.variables = {{.name = "x", .lower = -10.0, .initial = 0.0, .upper = 10.0}}};
  const auto objective = opt::make_residual_objective([](std::span<const double> x) { return std::vector<double>{x[0] - 3.0}; });
  return opt::solve(problem, *objective, opt::Algorithm::ceres_lm).point.at(0);
}

}  // namespace

int main() {
  const double step_us = microseconds_of_eight_decodes();
  const double minimum = minimum_of_a_parabola();
  std::printf("eight decodes take %.0f us; the parabola's minimum is at %.3f\n", step_us, minimum);
  // 13 GB of weights at 72 % of 2.5 TB/s and the overhead of a step.
  return step_us > 5000.0 && step_us < 12000.0 && std::abs(minimum - 3.0) < 1e-6 ? 0 : 1;
}
