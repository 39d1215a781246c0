#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "commands.hpp"
#include "file_kind.hpp"
#include "options.hpp"
#include "rooftune/core/printable.hpp"
#include "rooftune/data/checked_files.hpp"
#include "rooftune/data/config_file.hpp"
#include "rooftune/data/gpus.hpp"
#include "rooftune/data/ground_truth.hpp"
#include "rooftune/data/models.hpp"
#include "rooftune/runs/run_folder.hpp"
#include "rooftune/runs/study_file.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

namespace fs = std::filesystem;

/// What is in a sound file, and what its reader noticed.
struct Finding {
  std::string content;
  core::Diagnostics warnings;
};

core::Result<Finding> check_study(const fs::path& path) {
  const auto file = runs::read_study(path);
  if (!file) return tl::unexpected(file.error());
  return Finding{fmt::format("study '{}', {}, {}", file->spec.name, core::counted(file->spec.free.size(), "free parameter"),
                             core::counted(file->spec.solver.size(), "solver stage")),
                 file->warnings};
}

core::Result<Finding> check_config(const fs::path& path) {
  const auto gpus = data::default_gpus();
  if (!gpus) return tl::unexpected(gpus.error());
  const auto file = data::read_config(path, *gpus);
  if (!file) return tl::unexpected(file.error());
  const std::string form = file->form == data::ConfigForm::config ? "config" : "hardware config";
  const std::size_t own = file->config.hardware.size();
  return Finding{fmt::format("{} for the step-time model {}{}", form, file->config.step_time_model,
                             own == 0 ? "" : fmt::format(", with values of {} of its own", core::counted(own, "GPU"))),
                 file->warnings};
}

core::Result<Finding> check_ground_truth(const fs::path& path) {
  const auto file = data::read_ground_truth(path);
  if (!file) return tl::unexpected(file.error());
  return Finding{fmt::format("ground truth, {}", core::counted(file->experiments.size(), "experiment")), file->warnings};
}

core::Result<Finding> check_model(const fs::path& path) {
  const auto models = data::read_models(std::vector{path});
  if (!models) return tl::unexpected(models.error());
  if (models->size() > 1) return Finding{core::counted(models->size(), "model"), {}};
  const domain::ModelSpec& model = models->front();
  const domain::ParameterCount parameters = domain::count_parameters(model);
  core::Diagnostics notes;
  for (const std::string& note : model.notes) {
    notes.push_back({.position = {.file = path.string()}, .problem = note, .remedy = "", .severity = core::Severity::warning});
  }
  return Finding{fmt::format("{:.4g} billion parameters ({:.3g} active), {:.1f} GB of weights", parameters.total * 1e-9,
                             parameters.active * 1e-9, domain::resident_weight_bytes(model) * 1e-9),
                 std::move(notes)};
}

core::Result<Finding> check_gpus(const fs::path& path) {
  core::Diagnostics warnings;
  const auto gpus = data::read_gpus(path, &warnings);
  if (!gpus) return tl::unexpected(gpus.error());
  return Finding{core::counted(gpus->size(), "GPU"), std::move(warnings)};
}

core::Result<Finding> check_manifest(const fs::path& path) {
  const auto manifest = runs::read_manifest_file(path);
  if (!manifest) return tl::unexpected(manifest.error());
  return Finding{fmt::format("manifest of '{}'", manifest->command), {}};
}

core::Result<Finding> check(const fs::path& path) {
  const auto kind = recognise(path);
  if (!kind) return tl::unexpected(kind.error());
  switch (*kind) {
    case FileKind::study: return check_study(path);
    case FileKind::config: return check_config(path);
    case FileKind::ground_truth: return check_ground_truth(path);
    case FileKind::model: return check_model(path);
    case FileKind::gpus: return check_gpus(path);
    case FileKind::manifest: return check_manifest(path);
  }
  return core::fail({.file = path.string()}, "not recognised", "");
}

struct ValidateOptions {
  std::vector<std::string> files;
  OutputOptions output;
};

void print_checked(const data::CheckedFile& file) {
  print_errors(file.problems);
  if (file.is_sound) print(fmt::format("{}: {}\n", file.file, file.content));
}

ExitCode run(const ValidateOptions& options) {
  std::vector<data::CheckedFile> checked;
  for (const std::string& file : options.files) {
    const auto finding = check(file);
    checked.push_back({.file = file,
                       .content = finding ? finding->content : "",
                       .problems = finding ? finding->warnings : finding.error(),
                       .is_sound = finding.has_value()});
    if (!options.output.json) print_checked(checked.back());
  }
  if (options.output.json) print_data(data::checked_files_json(checked));
  if (!write_csv(options.output, [&] { return data::checked_files_csv(checked); })) return ExitCode::bad_input;
  return std::ranges::all_of(checked, &data::CheckedFile::is_sound) ? ExitCode::done : ExitCode::bad_input;
}

}  // namespace

void add_validate_command(const Command& program, ExitCode& exit_code) {
  const Command command = program.add_subcommand("validate", "check input files: studies, configs, ground truth, models, GPUs");
  command.footer("Example: rooftune validate experiments/quickstart.yaml ground_truth/*.json");
  const auto options = std::make_shared<ValidateOptions>();
  command.add_option("FILE", options->files, "files to check; what they are is seen from their content").required();
  add_json_option(command, options->output);
  add_csv_option(command, options->output);
  command.callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace rooftune::app
