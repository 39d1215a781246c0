#include <fmt/format.h>

#include <memory>
#include <span>

#include "commands.hpp"
#include "options.hpp"
#include "rooftune/core/printable.hpp"
#include "rooftune/plan/hierarchy.hpp"
#include "rooftune/plan/onboard.hpp"
#include "rooftune/plan/simulated_transfers.hpp"
#include "rooftune/report/onboard_tables.hpp"
#include "rooftune/runs/interruption.hpp"
#include "rooftune/runs/onboard_file.hpp"
#include "rooftune/runs/open_study.hpp"
#include "rooftune/runs/outcome.hpp"
#include "rooftune/runs/tables_csv.hpp"
#include "run_options.hpp"
#include "run_scripts.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

struct OnboardOptions {
  DataOptions data;
  OutputOptions output;
  std::vector<std::string> studies;
  RunFlags run;
  RunScriptOptions scripts;
  int simulated_transfers = 0;
  bool spreads = false;

  /// Whether it prints and keeps nothing.
  [[nodiscard]] bool keeps_nothing() const { return simulated_transfers > 0 || spreads; }
};

/// A study that says how to onboard, and its run, which refers to it; what keeps nothing has none.
struct Job {
  std::unique_ptr<runs::OpenedStudy> study;
  std::vector<kernels::KernelSummary> summaries;
  std::unique_ptr<runs::Run> run;
};

core::Result<Job> load(const OnboardOptions& options, const std::string& file) {
  DataOptions data = options.data;
  data.study = file;
  auto opened = open_data(data);
  if (!opened) return tl::unexpected(opened.error());
  Job job{.study = std::make_unique<runs::OpenedStudy>(*std::move(opened)), .summaries = {}, .run = nullptr};
  if (!job.study->prepared.spec.onboard)
    return core::fail({.file = file}, "the study does not say which GPU is new", "add 'onboard: {gpu: ...}'");
  auto summaries = runs::open_kernel_summaries(*job.study);
  if (!summaries) return tl::unexpected(summaries.error());
  job.summaries = *std::move(summaries);
  if (options.keeps_nothing()) return job;
  runs::RunOptions folder = run_options(options.run);
  // Several studies get a folder each in the one that is named.
  if (options.run.folder && options.studies.size() > 1) *folder.folder /= job.study->prepared.spec.name;
  auto run = runs::begin(*job.study, "onboard", runs::Keeps::evaluations, folder);
  if (!run) return tl::unexpected(run.error());
  job.run = *std::move(run);
  return job;
}

/// How a job ended: of one that was interrupted what is finished, in words.
using JobEnd = core::Result<std::optional<std::string>>;

JobEnd run_trial(const OnboardOptions& options, const Job& job, const std::string& file, const std::stop_token& cancel) {
  const calibrate::StudySpec& spec = job.study->prepared.spec;
  if (spec.free.empty()) return core::fail({.file = file}, "a trial refits, and no parameter is free", "list some under 'free'");
  ProgressLine progress;
  const auto show = [&](std::size_t done, std::size_t total) {
    job.run->tell({.parts = "draws", .finished = done, .of = total});
    progress.show(fmt::format("draws: {} of {}", done, total));
  };
  const auto trial = plan::try_recommendation(job.study->prepared, *spec.onboard->trial,
                                              {.progress = show, .store = job.run->store(), .cancel = cancel});
  progress.clear();
  print_errors(job.run->close_store());
  if (!trial) return tl::unexpected(trial.error());
  if (!trial->interrupted()) {
    const auto written = job.run->finish(runs::outcome_of(*trial));
    if (!written) return tl::unexpected(written.error());
  }
  if (!trial->draws.empty()) {
    print_either(
        options.output, [&] { return runs::trial_json(*trial); }, [&] { return report::trial_table(*trial, output_colour()); });
  }
  if (trial->interrupted()) return fmt::format("{} of {} draws finished", trial->draws.size(), trial->asked);
  if (!options.output.json) print(fmt::format("\nrun folder    {}\n{}", job.run->folder().string(), store_summary(*job.run)));
  return std::nullopt;
}

JobEnd run_simulated_transfers(const OnboardOptions& options, const Job& job, const std::stop_token& cancel) {
  ProgressLine progress;
  const auto show = [&](std::size_t done, std::size_t total) { progress.show(fmt::format("simulated GPUs: {} of {}", done, total)); };
  const auto transfers = plan::simulate_transfers(job.study->prepared, job.study->inputs, job.summaries, options.simulated_transfers,
                                                  {.progress = show, .cancel = cancel});
  progress.clear();
  if (!transfers) return tl::unexpected(transfers.error());
  if (transfers->draws > 0) {
    print_either(
        options.output, [&] { return runs::simulated_transfers_json(*transfers); },
        [&] { return report::simulated_transfer_table(*transfers, output_colour()); });
  }
  if (!transfers->interrupted()) return std::nullopt;
  return fmt::format("{} of {} simulated GPUs finished", transfers->draws, transfers->asked);
}

JobEnd run_spreads(const OnboardOptions& options, const Job& job, const std::stop_token& cancel) {
  ProgressLine progress;
  const auto show = [&](int iteration) { progress.show(fmt::format("iteration {}", iteration)); };
  const auto hierarchy =
      plan::fit_hierarchy(job.study->prepared, job.study->inputs, job.summaries, {.progress = show, .cancel = cancel});
  progress.clear();
  if (!hierarchy) return tl::unexpected(hierarchy.error());
  print_either(
      options.output, [&] { return runs::hierarchy_json(*hierarchy); },
      [&] { return report::hierarchy_table(*hierarchy, output_colour()); });
  if (!hierarchy->interrupted) return std::nullopt;
  return fmt::format("not settled after {}", core::counted(static_cast<std::size_t>(hierarchy->iterations), "iteration"));
}

/// Adds to `onboardings`, unless not one step is finished.
JobEnd run_onboarding(const OnboardOptions& options, const Job& job, const std::stop_token& cancel,
                      std::vector<plan::Onboarding>& onboardings) {
  ProgressLine progress;
  const plan::OnboardHooks hooks{
      .progress = [&](const std::string& step) { progress.show(fmt::format("{}: {}", job.study->prepared.spec.onboard->gpu, step)); },
      .store = job.run->store(),
      .cancel = cancel};
  auto result = plan::onboard(job.study->prepared, job.study->inputs, job.summaries, hooks);
  progress.clear();
  print_errors(job.run->close_store());
  if (!result) return tl::unexpected(result.error());
  std::optional<std::string> cut_short;
  if (result->interrupted()) cut_short = fmt::format("{} of {} steps finished", result->steps.size(), result->asked);
  if (result->steps.empty()) return cut_short;
  if (const auto written = job.run->finish(runs::outcome_of(*result)); !written) return tl::unexpected(written.error());
  const calibrate::PreparedStudy& study = job.study->prepared;
  const auto scripts =
      write_run_scripts(options.scripts, result->steps.back().next_runs, study.dataset.cases, study.spec.onboard->gpu);
  if (!scripts) return tl::unexpected(scripts.error());
  onboardings.push_back(*result);
  if (options.output.json) {
    print_data(runs::onboard_json(*result));
    return cut_short;
  }
  const report::Colour colour = output_colour();
  print(report::onboard_parameter_table(*result, colour));
  const plan::OnboardStep* before = nullptr;
  for (const plan::OnboardStep& step : result->steps) {
    print(report::next_run_table(step, before, colour));
    if (step.fitted_runs.empty()) before = &step;
  }
  print(report::kv_blocks_table(*result, colour));
  print(fmt::format("\ntuned config  {}\nrun folder    {}\n", (job.run->folder() / runs::kTunedConfigName).string(),
                    job.run->folder().string()));
  print(store_summary(*job.run));
  for (const std::string& file : *scripts) print(fmt::format("next run      {}\n", file));
  return cut_short;
}

JobEnd run_job(const OnboardOptions& options, const Job& job, const std::string& file, const std::stop_token& cancel,
               std::vector<plan::Onboarding>& onboardings) {
  if (options.spreads) return run_spreads(options, job, cancel);
  if (options.simulated_transfers > 0) return run_simulated_transfers(options, job, cancel);
  if (job.study->prepared.spec.onboard->trial) return run_trial(options, job, file, cancel);
  return run_onboarding(options, job, cancel, onboardings);
}

void abandon(std::span<const Job> jobs) {
  for (const Job& job : jobs) {
    if (job.run) job.run->abandon();
  }
}

ExitCode run(const OnboardOptions& options) {
  std::vector<Job> jobs;
  core::Diagnostics problems;
  for (const std::string& file : options.studies) {
    auto job = load(options, file);
    if (job) {
      jobs.push_back(*std::move(job));
    } else {
      problems.insert(problems.end(), job.error().begin(), job.error().end());
    }
  }
  if (!problems.empty()) {
    abandon(jobs);
    print_errors(problems);
    return ExitCode::bad_input;
  }
  const runs::Interruption interruption(say_ending);
  std::vector<plan::Onboarding> onboardings;
  std::optional<std::string> cut_short;
  std::size_t last = 0;
  for (; last < jobs.size() && !cut_short; ++last) {
    if (jobs[last].run && jobs[last].run->is_finished()) {
      static_cast<void>(say_finished(*jobs[last].run));
      continue;
    }
    auto end = run_job(options, jobs[last], options.studies[last], interruption.token(), onboardings);
    if (!end) {
      // Neither this one nor those after it came to anything.
      abandon(std::span(jobs).subspan(last));
      return refuse(end.error());
    }
    cut_short = *std::move(end);
  }
  if (!write_csv(options.output, [&] { return runs::onboard_csv(onboardings); })) return ExitCode::bad_input;
  if (!onboardings.empty() && !options.output.json) print(report::onboard_error_table(onboardings, output_colour()));
  if (!cut_short) return ExitCode::done;
  if (last < jobs.size()) *cut_short += fmt::format(", {} of {} studies not begun", jobs.size() - last, jobs.size());
  return options.keeps_nothing() ? end_interrupted_without_folder(options.studies[last - 1], *cut_short)
                                 : end_interrupted(*jobs[last - 1].run, *cut_short);
}

}  // namespace

void add_onboard_command(const Command& program, ExitCode& exit_code) {
  const Command command = program.add_subcommand(
      "onboard", "carry a config to a new GPU: by data sheet, kernel tables and a few runs; says which run to make next");
  command.footer("Example: rooftune onboard experiments/onboard_a100.yaml experiments/onboard_l40s.yaml");
  const auto options = std::make_shared<OnboardOptions>();
  command.add_option("STUDY", options->studies, "study files (YAML) with the key 'onboard'; the last table compares them").required();
  add_run_options(command, options->run, "runs/<study>-onboard-<UTC time>");
  add_run_script_options(command, options->scripts);
  add_data_options(command, options->data);
  add_json_option(command, options->output);
  add_csv_option(command, options->output);
  const Option simulated =
      command
          .add_option(
              "--simulate-transfers", options->simulated_transfers,
              "instead: onboards so many simulated GPUs, drawn from the study's priors, and counts how many measurements their "
              "intervals hold and what further runs are worth")
          .check(between(2, 100000));
  const Option spreads =
      command.add_flag("--spreads", options->spreads,
                       "instead: fits all runs of a study at once, with terms for every GPU, version and model, and says how far "
                       "parameters move between them");
  for (const char* kept : {"--csv", "--next-runs", "--out", "--resume", "--store", "--replay"}) {
    simulated.excludes(kept);
    spreads.excludes(kept);
  }
  spreads.excludes("--simulate-transfers");
  command.callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace rooftune::app
