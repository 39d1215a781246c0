#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "command_line.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/domain/peer_prediction.hpp"
#include "rooftune/runs/open_study.hpp"

namespace rooftune::app {

/// What commands that simulate take: a study, data in its place or beside it, and how to run.
struct DataOptions : runs::StudyOverrides {
  std::optional<std::string> study;
};

/// The study with what the options say, or ground truth without a study.
[[nodiscard]] core::Result<runs::OpenedStudy> open_data(const DataOptions& options,
                                                        runs::Simulators simulators = runs::Simulators::built_in);

/// Where results go besides the terminal.
struct OutputOptions {
  bool json = false;
  std::optional<std::string> csv;
};

enum class StudyArgument { required, optional };

void add_study_argument(const Command& command, DataOptions& options, StudyArgument argument);
/// --ground-truth, --select, --models, --hardware, --threads, --seed, --replicates.
void add_data_options(const Command& command, DataOptions& options);
/// --models, --hardware, --threads, --seed, --replicates, for commands that take no ground truth.
void add_model_options(const Command& command, DataOptions& options);
/// --config, --step-time-model.
void add_config_options(const Command& command, DataOptions& options);
/// Says which config ships for the GPU, where that one is used since none was named.
void say_shipped_config(const runs::OpenedStudy& study, const OutputOptions& output);
/// --peers, for commands that print errors.
void add_peers_option(const Command& command, std::optional<std::string>& file);
/// Published predictions to compare with; none without a file.
[[nodiscard]] core::Result<std::vector<domain::PeerPrediction>> load_peers(const std::optional<std::string>& file);
void add_json_option(const Command& command, OutputOptions& options);
/// As --json says.
void print_either(const OutputOptions& options, const std::function<std::string()>& json, const std::function<std::string()>& tables);
void add_csv_option(const Command& command, OutputOptions& options);
/// Writes the file of --csv where it was asked for; false, with the reason on standard error, when it cannot be written.
[[nodiscard]] bool write_csv(const OutputOptions& options, const std::function<std::string()>& text);

/// An option that may be given several times, with one value each time.
Option add_repeatable(const Command& command, const std::string& name, std::vector<std::string>& values, const std::string& help);

/// --warm-up-requests.
void add_warm_up_option(const Command& command, std::int64_t& requests);

}  // namespace rooftune::app
