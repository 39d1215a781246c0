#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "rooftune/domain/experiment.hpp"

namespace rooftune::app {

/// A deployment and a load given by flags instead of a file.
struct AdHocLoad {
  std::string model;
  std::string gpu = "H100-SXM";
  int tp = 1;
  int replicas = 1;
  double rate_per_s = 1.0;
  double duration_s = 60.0;
  double prompt_tokens = 512.0;
  double output_tokens = 128.0;
  int shared_prefix_tokens = 0;
  int distinct_prompts = 0;
  int concurrency = 0;
  domain::EngineSettings settings;
};

[[nodiscard]] domain::Experiment make_experiment(const AdHocLoad& load);

/// --model, --gpu, lengths of requests and what they share, engine settings.
void add_shape_options(CLI::App& command, AdHocLoad& load, const std::string& group);
/// Those, and --tp, --replicas, --rate, --duration, --concurrency.
void add_load_options(CLI::App& command, AdHocLoad& load);

}  // namespace rooftune::app
