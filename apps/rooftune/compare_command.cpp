#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "commands.hpp"
#include "options.hpp"
#include "rooftune/calibrate/compare.hpp"
#include "rooftune/report/tables.hpp"
#include "rooftune/runs/interruption.hpp"
#include "rooftune/runs/open_study.hpp"
#include "rooftune/runs/outcome.hpp"
#include "rooftune/runs/result_file.hpp"
#include "rooftune/runs/tables_csv.hpp"
#include "run_options.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

struct CompareOptions {
  DataOptions data;
  OutputOptions output;
  RunFlags run;
};

core::Result<runs::OpenedStudy> load(const CompareOptions& options) {
  auto study = open_data(options.data);
  if (!study) return study;
  const calibrate::StudySpec& spec = study->prepared.spec;
  if (!spec.compare) {
    return core::fail({.file = *options.data.study}, "the study lists nothing to compare", "add 'compare' with 'variants'");
  }
  if (!spec.split) {
    return core::fail({.file = *options.data.study}, "the study does not say what to hold out", "add 'crossval', e.g. by model");
  }
  return study;
}

/// What is finished is shown; the folder keeps the evaluations and waits to go on.
ExitCode end_with_what_is_finished(const CompareOptions& options, const calibrate::Comparison& comparison, const runs::Run& run) {
  if (comparison.finished() > 0) {
    print_either(
        options.output, [&] { return runs::comparison_json(comparison); },
        [&] { return report::comparison_tables(comparison, output_colour()); });
  }
  return end_interrupted(run, fmt::format("{} of {} variants are finished", comparison.finished(), comparison.asked));
}

ExitCode run(const CompareOptions& options) {
  const auto study = load(options);
  if (!study) return refuse(study.error());
  const calibrate::StudySpec& spec = study->prepared.spec;
  const auto run = runs::begin(*study, "compare", runs::Keeps::evaluations, run_options(options.run));
  if (!run) return refuse(run.error());
  if ((*run)->is_finished()) return say_finished(**run);

  const runs::Interruption interruption(say_ending);
  ProgressLine progress;
  const auto show = [&](std::size_t finished, std::size_t total, const std::string& name) {
    (*run)->tell({.parts = "variants", .finished = finished, .of = total});
    progress.show(fmt::format("fitting variant {} of {}: {}{}", finished + 1, total, name,
                              progress.time_left(static_cast<double>(finished) / static_cast<double>(total))));
  };
  const auto comparison =
      calibrate::compare(spec, study->inputs, {.progress = show, .store = (*run)->store(), .cancel = interruption.token()});
  progress.clear();
  print_errors((*run)->close_store());
  if (!comparison) {
    (*run)->abandon();
    return refuse(comparison.error());
  }
  if (comparison->interrupted()) return end_with_what_is_finished(options, *comparison, **run);
  const bool all_failed = std::ranges::all_of(comparison->variants, [](const auto& variant) { return variant.failure.has_value(); });
  if (all_failed) {
    (*run)->abandon();
  } else {
    if (const auto written = (*run)->finish(runs::outcome_of(*comparison, spec)); !written) return refuse(written.error());
  }
  if (!write_csv(options.output, [&] { return runs::comparison_csv(*comparison); })) return ExitCode::bad_input;
  if (options.output.json) {
    print_data(runs::comparison_json(*comparison));
  } else {
    print(report::comparison_tables(*comparison, output_colour()));
    if (!all_failed) print(fmt::format("\nrun folder    {}\n{}", (*run)->folder().string(), store_summary(**run)));
  }
  return all_failed ? ExitCode::no_usable_solution : ExitCode::done;
}

}  // namespace

void add_compare_command(const Command& program, ExitCode& exit_code) {
  const Command command = program.add_subcommand("compare", "fit step-time models and their switches under one budget, side by side");
  command.footer("Example: rooftune compare experiments/compare_models.yaml");
  const auto options = std::make_shared<CompareOptions>();
  add_study_argument(command, options->data, StudyArgument::required);
  add_run_options(command, options->run, "runs/<study>-compare-<UTC time>");
  add_data_options(command, options->data);
  add_json_option(command, options->output);
  add_csv_option(command, options->output);
  command.callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace rooftune::app
