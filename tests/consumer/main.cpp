// What users of the library do first: resolve a config for a deployment and ask what a step takes, the same by names, solve something
// small, open a study, fit it and read what the run kept.
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <rooftune/calibrate/fit.hpp>
#include <rooftune/data/config_file.hpp>
#include <rooftune/domain/experiment.hpp>
#include <rooftune/domain/gpu.hpp>
#include <rooftune/domain/layers.hpp>
#include <rooftune/domain/model.hpp>
#include <rooftune/latency/catalogue.hpp>
#include <rooftune/opt/solve.hpp>
#include <rooftune/params/config.hpp>
#include <rooftune/runs/evaluation_file.hpp>
#include <rooftune/runs/open_study.hpp>
#include <rooftune/runs/outcome.hpp>
#include <rooftune/runs/run.hpp>
#include <rooftune/runs/step_time_predictor.hpp>

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

/// The same of a config and a model that ship, by their names.
double microseconds_by_name() {
  runs::AdHocLoad deployment;
  deployment.model = "Llama-2-7b-hf";
  auto predictor = runs::open_step_time(deployment, {.config = "h100"});
  if (!predictor) return 0.0;
  latency::Batch batch;
  batch.decode_requests = 8;
  batch.decode_context_tokens = 8 * 600;
  return predictor->microseconds(batch);
}

double minimum_of_a_parabola() {
  const opt::Problem problem{.variables = {{.name = "x", .lower = -10.0, .initial = 0.0, .upper = 10.0}}};
  const auto objective = opt::make_residual_objective([](std::span<const double> x) { return std::vector<double>{x[0] - 3.0}; });
  return opt::solve(problem, *objective, opt::Algorithm::ceres_lm).point.at(0);
}

/// How many rows a run kept of a fit that it wrote, or nothing where something is wrong.
core::Result<std::size_t> rows_of_a_fit(const std::filesystem::path& folder) {
  const auto study = runs::open_study(DATA_FOLDER "/experiments/quickstart.yaml", {.select = {"id=64", "id=62"}});
  if (!study) return tl::unexpected(study.error());
  const auto run = runs::begin(*study, "fit", runs::Keeps::evaluations, {.folder = folder});
  if (!run) return tl::unexpected(run.error());
  calibrate::FitHooks hooks;
  hooks.store = (*run)->store();
  const calibrate::FitResult result = calibrate::fit(study->prepared, hooks);
  if (const auto lost = (*run)->close_store(); !lost.empty()) return tl::unexpected(lost);
  if (const auto kept = (*run)->finish(runs::outcome_of(result)); !kept) return tl::unexpected(kept.error());

  const auto tuned = data::read_config(folder / runs::kTunedConfigName, study->inputs.gpus);
  if (!tuned) return tl::unexpected(tuned.error());
  if (tuned->config.provenance.at("study") != "quickstart") return core::fail({}, "no provenance", "");
  const auto rows = runs::read_evaluation_rows(folder / runs::kEvaluationName);
  if (!rows) return tl::unexpected(rows.error());
  return rows->size();
}

}  // namespace

int main(int, char** arguments) {
  const double step_us = microseconds_of_eight_decodes();
  const double minimum = minimum_of_a_parabola();
  std::printf("eight decodes take %.0f us; the parabola's minimum is at %.3f\n", step_us, minimum);
  const std::filesystem::path folder = std::filesystem::path(arguments[0]).parent_path() / "run";
  std::filesystem::remove_all(folder);
  const auto rows = rows_of_a_fit(folder);
  if (!rows) std::fprintf(stderr, "%s\n", core::format(rows.error()).c_str());
  // 13 GB of weights at 72 % of 2.5 TB/s and the overhead of a step.
  const double by_name_us = microseconds_by_name();
  return step_us > 5000.0 && step_us < 12000.0 && by_name_us > 3000.0 && by_name_us < 12000.0 && std::abs(minimum - 3.0) < 1e-6 &&
                 rows && *rows > 10
             ? 0
             : 1;
}
