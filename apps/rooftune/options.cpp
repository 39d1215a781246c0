#include "options.hpp"

#include <fmt/format.h>

#include <cstdio>

#include "command_line.hpp"
#include "ranks.hpp"
#include "rooftune/data/peers.hpp"
#include "rooftune/text/atomic_file.hpp"
#include "terminal.hpp"
#include "wide_tables.hpp"

namespace rooftune::app {

core::Result<runs::OpenedStudy> open_data(const DataOptions& options, runs::Simulators simulators) {
  DataOptions data = options;
  // Ranks share a machine's cores by themselves.
  if (ranks() != nullptr && !data.threads) data.threads = 1;
  return data.study ? runs::open_study(*data.study, data, simulators) : runs::open_ground_truth(data);
}

Option add_repeatable(const Command& command, const std::string& name, std::vector<std::string>& values, const std::string& help) {
  return command.add_option(name, values, help).repeatable();
}

void add_study_argument(const Command& command, DataOptions& options, StudyArgument argument) {
  const Option study =
      command.add_option("STUDY", options.study, "study file (YAML); rooftune fit --dump-default prints a complete one");
  if (argument == StudyArgument::required) study.required();
}

void add_data_options(const Command& command, DataOptions& options) {
  constexpr auto kGroup = "Data";
  add_repeatable(command, "--ground-truth", options.ground_truth, "measured experiments (JSON); repeatable; replaces the study's list")
      .group(kGroup);
  add_repeatable(
      command, "--select", options.select,
      "field=value: only such experiments (id, model, hardware, tp, workload, role, sweep); repeatable, values of one field are "
      "alternatives; replaces what the study says about the field")
      .group(kGroup);
  add_model_options(command, options);
}

void add_model_options(const Command& command, DataOptions& options) {
  constexpr auto kGroup = "Data";
  add_repeatable(command, "--models", options.models, "folder or file of models beside the shipped ones; repeatable").group(kGroup);
  add_repeatable(command, "--hardware", options.hardware, "file of GPUs beside the shipped ones; repeatable").group(kGroup);
  command
      .add_option("--threads", options.threads,
                  "threads; 0: all cores; under mpirun 1 a rank unless given; results do not depend on it")
      .check(not_negative(core::limits::kThreads));
  command.add_option("--seed", options.seed, "seed of every random stream").check(seed());
  command.add_option("--replicates", options.replicates, "simulations that a prediction is the mean of")
      .check(positive(core::limits::kRepeats));
}

void add_config_options(const Command& command, DataOptions& options) {
  command.add_option("--config", options.config,
                     "config to predict with instead of the study's start: the name of a shipped one (h100), or a file (our form or "
                     "hardware_config.json)");
  command.add_option("--step-time-model", options.step_time_model, "step-time model in place of the config's");
}

void say_shipped_config(const runs::OpenedStudy& study, const OutputOptions& output) {
  if (!study.shipped_config) return;
  const std::string& gpu = study.prepared.dataset.cases.front().gpu.name;
  fmt::print(output.json ? stderr : stdout, "config {}, which ships for {} (--config names another)\n", *study.shipped_config, gpu);
}

void add_peers_option(const Command& command, std::optional<std::string>& file) {
  command
      .add_option("--peers", file,
                  "predictions of other simulators (CSV, e.g. ground_truth/peers.csv) to print beside ours on the same runs")
      .group("Data");
}

core::Result<std::vector<domain::PeerPrediction>> load_peers(const std::optional<std::string>& file) {
  if (!file) return std::vector<domain::PeerPrediction>{};
  return data::read_peers(*file);
}

void add_json_option(const Command& command, OutputOptions& options) {
  command.add_flag("--json", options.json, "print one JSON object instead of tables");
  command.add_flag("--wide", wide_tables(), "tables as wide as they are, on a terminal as well");
}

void print_either(const OutputOptions& options, const std::function<std::string()>& json, const std::function<std::string()>& tables) {
  options.json ? print_data(json()) : print(tables());
}

void add_csv_option(const Command& command, OutputOptions& options) {
  command.add_option("--csv", options.csv, "write the rows to this file as well");
}

bool write_csv(const OutputOptions& options, const std::function<std::string()>& text) {
  if (!options.csv) return true;
  const auto written = text::write_file_atomically(*options.csv, text());
  if (!written) print_errors(written.error());
  return written.has_value();
}

void add_warm_up_option(const Command& command, std::int64_t& requests) {
  command
      .add_option("--warm-up-requests", requests,
                  "the first so many simulated requests of every stage count in no latency; for measurements that left them out")
      .check(not_negative(core::limits::kRequests));
}

}  // namespace rooftune::app
