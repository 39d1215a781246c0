#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "commands.hpp"
#include "load_inputs.hpp"
#include "options.hpp"
#include "rooftune/io/result_file.hpp"
#include "rooftune/io/run_folder.hpp"
#include "rooftune/io/tables_csv.hpp"
#include "rooftune/report/tables.hpp"
#include "rooftune/study/compare.hpp"
#include "run_record.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

namespace fs = std::filesystem;

struct CompareOptions {
  DataOptions data;
  OutputOptions output;
  std::optional<std::string> run_folder;
};

core::Result<LoadedStudy> load(const CompareOptions& options) {
  auto study = load_study(options.data);
  if (!study) return study;
  const study::StudySpec& spec = study->prepared.spec;
  if (!spec.compare) {
    return core::fail({.file = *options.data.study}, "the study lists nothing to compare", "add 'compare' with 'variants'");
  }
  if (!spec.split) {
    return core::fail({.file = *options.data.study}, "the study does not say what to hold out", "add 'crossval', e.g. by model");
  }
  return study;
}

io::RunFiles run_files(const LoadedStudy& study, const study::Comparison& comparison, const fs::path& target) {
  io::RunFiles files;
  files.manifest = make_manifest("compare", study);
  files.manifest.state = io::RunState::finished;
  for (const study::SolverStage& stage : study.prepared.spec.solver) files.manifest.limited_by_time |= stage.max_seconds.has_value();
  files.study_yaml = resolved_study(study, target);
  files.result_json = io::comparison_json(comparison);
  return files;
}

ExitCode run(const CompareOptions& options) {
  const auto study = load(options);
  if (!study) {
    print_errors(study.error());
    return ExitCode::bad_input;
  }
  const study::StudySpec& spec = study->prepared.spec;
  const fs::path target = options.run_folder ? fs::path(*options.run_folder) : default_run_folder(spec.name + "-compare");
  if (const auto free = io::check_target_folder(target, io::ExistingFolder::refuse); !free) {
    print_errors(free.error());
    return ExitCode::bad_input;
  }

  ProgressLine progress;
  const auto show = [&](std::size_t finished, std::size_t total, const std::string& name) {
    progress.show(fmt::format("fitting variant {} of {}: {}{}", finished + 1, total, name,
                              progress.time_left(static_cast<double>(finished) / static_cast<double>(total))));
  };
  const auto comparison = study::compare(spec, study->inputs, {.progress = show});
  progress.clear();
  if (!comparison) {
    print_errors(comparison.error());
    return ExitCode::bad_input;
  }
  const bool all_failed = std::ranges::all_of(comparison->variants, [](const auto& variant) { return variant.failure.has_value(); });
  if (!all_failed) {
    if (const auto written = io::write_run_folder(target, io::ExistingFolder::refuse, run_files(*study, *comparison, target));
        !written) {
      print_errors(written.error());
      return ExitCode::bad_input;
    }
  }
  if (!write_csv(options.output, [&] { return io::comparison_csv(*comparison); })) return ExitCode::bad_input;
  if (options.output.json) {
    print(io::comparison_json(*comparison));
  } else {
    print(report::comparison_tables(*comparison, output_colour()));
    if (!all_failed) print(fmt::format("\nrun folder    {}\n", target.string()));
  }
  return all_failed ? ExitCode::no_usable_solution : ExitCode::done;
}

}  // namespace

void add_compare_command(CLI::App& program, ExitCode& exit_code) {
  CLI::App* command = program.add_subcommand("compare", "fit step-time models and their switches under one budget, side by side");
  command->footer("Example: rooftune compare experiments/compare_models.yaml");
  const auto options = std::make_shared<CompareOptions>();
  add_study_argument(*command, options->data, StudyArgument::required);
  command->add_option("--out", options->run_folder, "run folder to write; default: runs/<study>-compare-<UTC time>");
  add_data_options(*command, options->data);
  add_json_option(*command, options->output);
  add_csv_option(*command, options->output);
  command->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace rooftune::app
