#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>

#include "commands.hpp"
#include "rooftune/io/config_file.hpp"
#include "rooftune/io/evaluation_file.hpp"
#include "rooftune/io/gpus.hpp"
#include "rooftune/io/run_folder.hpp"
#include "rooftune/report/text_table.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

namespace fs = std::filesystem;
using report::Align;
using report::TextTable;

/// What identifies a row within an evaluation.
using RowKey = std::tuple<std::string, int, domain::Metric>;

/// What two runs are compared by.
struct Run {
  io::RunManifest manifest;
  std::map<std::string, double> parameters;  ///< by id, with the GPU in brackets where it is one's own; empty: no tuned config
  std::map<RowKey, eval::Row> rows;
};

std::map<std::string, double> parameters_of(const params::Config& config) {
  std::map<std::string, double> values;
  const auto add = [&](const params::Assignments& assignments, const std::string& scope) {
    for (const auto& [id, value] : assignments) values[std::string(id.spec().id) + scope] = value.value;
  };
  add(config.parameters, "");
  for (const params::HardwareEntry& entry : config.hardware) add(entry.parameters, fmt::format("[gpu={}]", entry.gpu.name));
  for (const params::ScopedAssignments& scoped : config.scoped) {
    const auto& where = scoped.where;
    add(scoped.parameters, fmt::format("[{}{}{}]", where.model ? "model=" + *where.model + " " : "",
                                       where.gpu ? "gpu=" + *where.gpu + " " : "", where.tp ? fmt::format("tp={}", *where.tp) : ""));
  }
  return values;
}

core::Result<Run> read_run(const fs::path& folder) {
  Run run;
  const auto manifest = io::read_manifest(folder);
  if (!manifest) return tl::unexpected(manifest.error());
  run.manifest = *manifest;
  if (fs::exists(folder / io::kTunedConfigName)) {
    const auto gpus = io::default_gpus();
    if (!gpus) return tl::unexpected(gpus.error());
    const auto config = io::read_config(folder / io::kTunedConfigName, *gpus);
    if (!config) return tl::unexpected(config.error());
    run.parameters = parameters_of(config->config);
  }
  const auto rows = io::read_evaluation_rows(folder / io::kEvaluationName);
  if (!rows) return tl::unexpected(rows.error());
  for (const eval::Row& row : *rows) run.rows[{row.experiment, row.stage, row.metric}] = row;
  return run;
}

std::string manifest_differences(const io::RunManifest& first, const io::RunManifest& second) {
  std::string text;
  const auto compare = [&](std::string_view what, const std::string& a, const std::string& b) {
    if (a != b) text += fmt::format("{}: {} | {}\n", what, a, b);
  };
  compare("command", first.command, second.command);
  compare("seed", fmt::format("{}", first.seed), fmt::format("{}", second.seed));
  compare("replicates", fmt::format("{}", first.replicates), fmt::format("{}", second.replicates));
  compare("simulator", first.simulator_identity, second.simulator_identity);
  for (const auto& [name, version] : first.versions) {
    const auto other = second.versions.find(name);
    compare("version of " + name, version, other == second.versions.end() ? "-" : other->second);
  }
  std::map<std::string, std::string> other_hashes;
  for (const io::InputFile& input : second.inputs) other_hashes[input.path] = input.sha256;
  for (const io::InputFile& input : first.inputs) {
    const auto other = other_hashes.find(input.path);
    if (other == other_hashes.end()) {
      text += fmt::format("input {}: only in the first\n", input.path);
    } else {
      if (other->second != input.sha256) text += fmt::format("input {}: content differs\n", input.path);
      other_hashes.erase(other);
    }
  }
  for (const auto& [path, hash] : other_hashes) text += fmt::format("input {}: only in the second\n", path);
  return text;
}

std::string parameter_differences(const Run& first, const Run& second, report::Colour colour) {
  TextTable table({{"parameter", Align::left}, {"first"}, {"second"}, {"change\n%"}});
  std::set<std::string> ids;
  for (const auto& [id, value] : first.parameters) ids.insert(id);
  for (const auto& [id, value] : second.parameters) ids.insert(id);
  for (const std::string& id : ids) {
    const auto a = first.parameters.find(id);
    const auto b = second.parameters.find(id);
    if (a != first.parameters.end() && b != second.parameters.end()) {
      if (a->second == b->second) continue;
      table.add({id, fmt::format("{:.5g}", a->second), fmt::format("{:.5g}", b->second),
                 fmt::format("{:+.2f}", 100.0 * (b->second / a->second - 1.0))});
    } else {
      table.add({id, a == first.parameters.end() ? "-" : fmt::format("{:.5g}", a->second),
                 b == second.parameters.end() ? "-" : fmt::format("{:.5g}", b->second), "-"});
    }
  }
  return table.empty() ? "" : "\nParameters\n" + table.text(colour);
}

std::string prediction_differences(const Run& first, const Run& second, report::Colour colour) {
  TextTable table({{"experiment", Align::left},
                   {"stage", Align::left},
                   {"metric", Align::left},
                   {"first\nms"},
                   {"second\nms"},
                   {"error %\nfirst"},
                   {"\nsecond"}});
  std::size_t common = 0;
  for (const auto& [key, a] : first.rows) {
    const auto found = second.rows.find(key);
    if (found == second.rows.end()) continue;
    ++common;
    const eval::Row& b = found->second;
    if (a.predicted_ms == b.predicted_ms && a.measured_ms == b.measured_ms) continue;
    table.add({a.experiment, a.stage == domain::kSummaryStage ? "summary" : fmt::format("{}", a.stage),
               std::string(domain::metric_name(a.metric)), fmt::format("{:.4g}", a.predicted_ms),
               fmt::format("{:.4g}", b.predicted_ms), fmt::format("{:+.2f}", a.error_percent()),
               fmt::format("{:+.2f}", b.error_percent())});
  }
  const std::size_t unmatched = first.rows.size() + second.rows.size() - 2 * common;
  std::string text = table.empty() ? "" : "\nPredictions\n" + table.text(colour);
  if (unmatched > 0) text += fmt::format("{} predictions are in one of the runs only\n", unmatched);
  return text;
}

ExitCode run(const std::string& first_folder, const std::string& second_folder) {
  const auto first = read_run(first_folder);
  const auto second = read_run(second_folder);
  if (!first || !second) {
    if (!first) print_errors(first.error());
    if (!second) print_errors(second.error());
    return ExitCode::bad_input;
  }
  const report::Colour colour = output_colour();
  const std::string text = manifest_differences(first->manifest, second->manifest) + parameter_differences(*first, *second, colour) +
                           prediction_differences(*first, *second, colour);
  print(text.empty() ? "the runs are the same: inputs, parameters and predictions\n" : text);
  return ExitCode::done;
}

}  // namespace

void add_diff_command(CLI::App& program, ExitCode& exit_code) {
  CLI::App* command = program.add_subcommand("diff", "compare two run folders: inputs, parameters, predictions");
  command->footer("Example: rooftune diff runs/first runs/second");
  struct Folders {
    std::string first;
    std::string second;
  };
  const auto folders = std::make_shared<Folders>();
  command->add_option("FIRST", folders->first, "a run folder")->required();
  command->add_option("SECOND", folders->second, "another run folder")->required();
  command->callback([folders, &exit_code] { exit_code = run(folders->first, folders->second); });
}

}  // namespace rooftune::app
