#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace rooftune::app {

/// What commands that simulate take: a study, data in its place or beside it, and how to run.
struct DataOptions {
  std::optional<std::string> study;
  std::vector<std::string> ground_truth;  ///< replaces the study's list
  std::vector<std::string> select;        ///< "field=value"; replaces what the study says about that field
  std::vector<std::string> models;
  std::vector<std::string> hardware;
  std::optional<std::string> config;
  std::optional<std::string> step_time_model;
  std::optional<int> threads;
  std::optional<std::uint64_t> seed;
  std::optional<int> replicates;
};

/// Where results go besides the terminal.
struct OutputOptions {
  bool json = false;
  std::optional<std::string> csv;
};

enum class StudyArgument { required, optional };

void add_study_argument(CLI::App& command, DataOptions& options, StudyArgument argument);
/// --ground-truth, --select, --models, --hardware, --threads, --seed, --replicates.
void add_data_options(CLI::App& command, DataOptions& options);
/// --models, --hardware, --threads, --seed, --replicates, for commands that take no ground truth.
void add_model_options(CLI::App& command, DataOptions& options);
/// --config, --step-time-model.
void add_config_options(CLI::App& command, DataOptions& options);
/// --peers, for commands that print errors.
void add_peers_option(CLI::App& command, std::optional<std::string>& file);
void add_json_option(CLI::App& command, OutputOptions& options);
void add_csv_option(CLI::App& command, OutputOptions& options);
/// Writes the file of --csv where it was asked for; false, with the reason on standard error, when it cannot be written.
[[nodiscard]] bool write_csv(const OutputOptions& options, const std::function<std::string()>& text);

/// An option that may be given several times, with one value each time.
CLI::Option* add_repeatable(CLI::App& command, const std::string& name, std::vector<std::string>& values, const std::string& help);

/// --warm-up-requests.
void add_warm_up_option(CLI::App& command, std::int64_t& requests);

}  // namespace rooftune::app
