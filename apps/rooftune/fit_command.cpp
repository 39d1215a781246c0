#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <memory>

#include "command_line.hpp"
#include "commands.hpp"
#include "options.hpp"
#include "rooftune/calibrate/fit.hpp"
#include "rooftune/calibrate/held_out_error.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/report/noise_table.hpp"
#include "rooftune/report/tables.hpp"
#include "rooftune/runs/evaluation_file.hpp"
#include "rooftune/runs/interruption.hpp"
#include "rooftune/runs/open_study.hpp"
#include "rooftune/runs/outcome.hpp"
#include "rooftune/runs/result_file.hpp"
#include "rooftune/runs/study_file.hpp"
#include "run_options.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

namespace fs = std::filesystem;

enum class TunedForm { config, hardware_config };
constexpr std::array<core::Word<TunedForm>, 2> kTunedForms{{
    {"config", TunedForm::config},
    {"hardware-config", TunedForm::hardware_config},
}};

struct FitOptions {
  DataOptions data;
  OutputOptions output;
  RunFlags run;
  bool dump_default = false;
  bool held_out = false;
  TunedForm form = TunedForm::config;
  std::vector<std::string> profile;
  std::optional<int> bootstrap;
};

/// Rate, best value, held-out error and time left. Searches mostly converge before their limit: the time is the most that is left.
std::string progress_text(const calibrate::FitProgress& progress) {
  const double rate = static_cast<double>(progress.evaluations) / std::max(progress.seconds, 1e-3);
  std::string text =
      fmt::format("fitting: {} evaluations, {:.0f}/s, objective {:.4g}", progress.evaluations, rate, progress.best_objective);
  if (progress.held_out_percent) text += fmt::format(", held out {:.1f} %", *progress.held_out_percent);
  const auto left = static_cast<double>(progress.most_evaluations - progress.evaluations);
  if (rate > 0.0 && left > 0.0) text += fmt::format(", at most {:.0f} s left", std::ceil(left / rate));
  return text;
}

calibrate::FitHooks with_progress(ProgressLine& line, runs::Run& run) {
  calibrate::FitHooks hooks;
  hooks.progress = [&line, &run](const calibrate::FitProgress& progress) {
    run.tell({.objective = progress.best_objective});
    if (!line.wants_update()) return;
    line.show(progress_text(progress));
  };
  return hooks;
}

void print_result(const FitOptions& options, const calibrate::PreparedStudy& study, const calibrate::FitResult& result,
                  const fs::path& target) {
  if (options.output.json) {
    print_data(runs::fit_json(result));
    return;
  }
  const report::Colour colour = output_colour();
  print(report::before_after_table(result.before, result.after, colour));
  print(report::improvement_table(result.before, result.after, colour));
  print(report::noise_table(result.after, eval::noise_of(study.dataset, result.tuned, {study.spec.threads}), colour));
  print(report::parameter_table(result, colour));
  print(report::pull_table(result, colour));
  print(report::uncertainty_tables(result, colour));
  print(report::interval_table(result, colour));
  print(report::trace_table(result, colour));
  print(report::waterfall_table(result, colour));
  print(report::warning_list(result.after, colour));
  print(report::search_summary(result, colour));
  print(fmt::format("\ntuned config  {}\n", (target / runs::kTunedConfigName).string()));
  if (options.form == TunedForm::hardware_config)
    print(fmt::format("family's form {}\n", (target / runs::kHardwareConfigName).string()));
  print(fmt::format("run folder    {}\n", target.string()));
}

/// What a run that was interrupted left, and how it goes on.
void print_interrupted(const FitOptions& options, const fs::path& target, std::string_view what) {
  const core::Diagnostic problem{
      .position = {.file = target.string()},
      .problem = fmt::format("interrupted: {}", what),
      .remedy = fmt::format("go on with: rooftune fit {} --out {} --resume", *options.data.study, target.string()),
      .severity = core::Severity::warning};
  print_errors({problem});
}

core::Result<runs::OpenedStudy> load(const FitOptions& options) {
  if (!options.data.study) return core::fail({}, "no study is given", "name one, e.g. rooftune fit experiments/quickstart.yaml");
  auto study = open_data(options.data, runs::Simulators::any);
  if (!study) return study;
  if (const auto asked = calibrate::ask_for_uncertainty(study->prepared.spec, options.profile, options.bootstrap); !asked) {
    return tl::unexpected(asked.error());
  }
  const calibrate::StudySpec& spec = study->prepared.spec;
  if (spec.free.empty())
    return core::fail({.file = *options.data.study}, "the study leaves no parameter free", "list some under 'free'");
  if (options.held_out && !spec.split)
    return core::fail({.file = *options.data.study}, "--held-out needs a study that says how to split", "add 'crossval' to it");
  return study;
}

ExitCode run(const FitOptions& options) {
  if (options.dump_default) {
    print_data(runs::default_study_text());
    return ExitCode::done;
  }
  const auto study = load(options);
  if (!study) return refuse(study.error());
  const auto run = runs::begin(*study, "fit", runs::Keeps::evaluations, run_options(options.run));
  if (!run) return refuse(run.error());
  if ((*run)->is_finished()) return say_finished(**run);
  announce_program(*study);

  const runs::Interruption interruption(say_ending);
  ProgressLine progress;
  calibrate::FitHooks hooks = with_progress(progress, **run);
  hooks.cancel = interruption.token();
  hooks.store = (*run)->store();
  calibrate::FitResult result = calibrate::fit(study->prepared, hooks);
  if (options.held_out) {
    const auto show = [&](std::size_t done, std::size_t total) {
      (*run)->tell({.parts = "folds", .finished = done, .of = total});
      progress.show(fmt::format("scoring held-out runs: {} of {} folds", done, total));
    };
    const auto scored = calibrate::learn_held_out_error(
        result, study->prepared, {.repeats = 1, .progress = show, .cancel = hooks.cancel, .store = hooks.store});
    if (!scored) {
      progress.clear();
      return refuse(scored.error());
    }
  }
  calibrate::note_intervals(result, study->prepared);
  progress.clear();
  print_errors((*run)->close_store());
  const fs::path& target = (*run)->folder();
  if (!result.usable && result.interrupted) {
    print_interrupted(options, target, "no point was found yet");
    return ExitCode::no_usable_solution;
  }
  if (result.aborted) {
    print_errors({simulator_failed(**run, result.first_failure, study->prepared.spec)});
    return ExitCode::no_usable_solution;
  }
  if (!result.usable) {
    (*run)->abandon();
    const core::Diagnostic problem{.position = {.file = *options.data.study},
                                   .problem = fmt::format("the fit found no usable point: {}", opt::format(result.termination)),
                                   .remedy = "change the start, the bounds or the solver; nothing was written"};
    print_errors({problem});
    return ExitCode::no_usable_solution;
  }
  runs::Outcome outcome = runs::outcome_of(result);
  outcome.wants_hardware_config = options.form == TunedForm::hardware_config;
  const auto written = (*run)->finish(outcome);
  print_errors(written ? *written : written.error());
  if (!written) return ExitCode::bad_input;
  if (!write_csv(options.output, [&] { return runs::evaluation_csv(result.after); })) return ExitCode::bad_input;
  print_result(options, study->prepared, result, target);
  if (!options.output.json) print(store_summary(**run));
  if (!result.interrupted) return ExitCode::done;
  print_interrupted(options, target, result.what_is_left());
  return ExitCode::no_usable_solution;
}

}  // namespace

void add_fit_command(const Command& program, ExitCode& exit_code) {
  const Command command = program.add_subcommand("fit", "calibrate parameters on measured experiments, and write a tuned config");
  command.footer("Example: rooftune fit experiments/quickstart.yaml --out runs/first");
  const auto options = std::make_shared<FitOptions>();
  add_study_argument(command, options->data, StudyArgument::optional);
  add_run_options(command, options->run, "runs/<study>-<UTC time>");
  command.add_flag("--held-out", options->held_out,
                   "refit without each part of the study's split as well, and write into the config what runs outside the fit miss: "
                   "prediction intervals need it");
  command.add_flag("--dump-default", options->dump_default, "print a complete study with every key explained, and stop");
  command.add_choice("--format", options->form, kTunedForms, "also write the tuned values in this form");
  command.add_option("--profile", options->profile, "trace the profile likelihood of this free parameter (repeatable)");
  command.add_option("--bootstrap", options->bootstrap, "refit this often on experiments drawn with replacement")
      .check(not_negative(core::limits::kRepeats));
  add_data_options(command, options->data);
  add_json_option(command, options->output);
  add_csv_option(command, options->output);
  command.callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace rooftune::app
