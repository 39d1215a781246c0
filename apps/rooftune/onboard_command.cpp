#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "commands.hpp"
#include "load_inputs.hpp"
#include "options.hpp"
#include "rooftune/data/config_file.hpp"
#include "rooftune/data/data_directory.hpp"
#include "rooftune/data/kernel_summary_file.hpp"
#include "rooftune/plan/onboard.hpp"
#include "rooftune/report/onboard_tables.hpp"
#include "rooftune/runs/evaluation_file.hpp"
#include "rooftune/runs/onboard_file.hpp"
#include "rooftune/runs/run_folder.hpp"
#include "rooftune/runs/tables_csv.hpp"
#include "run_record.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

namespace fs = std::filesystem;

struct OnboardOptions {
  DataOptions data;
  OutputOptions output;
  std::vector<std::string> studies;
  std::optional<std::string> run_folder;
};

/// A study that says how to onboard, read and ready.
struct Job {
  LoadedStudy study;
  std::vector<kernels::KernelSummary> summaries;
  fs::path target;
};

core::Result<Job> load(const OnboardOptions& options, const std::string& file) {
  DataOptions data = options.data;
  data.study = file;
  auto study = load_study(data);
  if (!study) return tl::unexpected(study.error());
  const calibrate::StudySpec& spec = study->prepared.spec;
  if (!spec.onboard) return core::fail({.file = file}, "the study does not say which GPU is new", "add 'onboard: {gpu: ...}'");
  const fs::path target = options.run_folder ? fs::path(*options.run_folder) : default_run_folder(spec.name + "-onboard");
  if (const auto free = text::check_target_folder(target, text::ExistingFolder::refuse); !free) return tl::unexpected(free.error());
  const auto data_folder = data::data_directory();
  if (!data_folder) return tl::unexpected(data_folder.error());
  const fs::path kernels = spec.onboard->kernels ? fs::path(*spec.onboard->kernels) : *data_folder / "bench_data" / "efficiency.json";
  auto summaries = data::read_kernel_summaries(kernels);
  if (!summaries) return tl::unexpected(summaries.error());
  if (const auto hashed = runs::hash_input(kernels); hashed && spec.onboard->kernels) {
    study->files.insert(study->files.end(), hashed->begin(), hashed->end());
  }
  return Job{.study = *std::move(study), .summaries = *std::move(summaries), .target = target};
}

runs::RunFiles run_files(const Job& job, const std::string& result_json) {
  runs::RunFiles files;
  files.manifest = make_manifest("onboard", job.study);
  files.manifest.state = runs::RunState::finished;
  files.study_yaml = resolved_study(job.study, job.target);
  files.result_json = result_json;
  return files;
}

core::Result<void> write(const Job& job, const plan::Onboarding& result) {
  runs::RunFiles files = run_files(job, runs::onboard_json(result));
  params::Config config = result.last().config;
  config.provenance.clear();
  add_provenance(config, job.study, files.manifest);
  add_own_gpus(config, job.study);
  files.tuned_json = data::config_text(config);
  const eval::Evaluation predicted = eval::evaluate(
      job.study.prepared.dataset, config, {.threads = {job.study.prepared.spec.threads}, .stepping = sim::Stepping::closed_form});
  if (auto proven = check_written_config(*files.tuned_json, "tuned.json", job.study, predicted); !proven) return proven;
  const plan::OnboardStep& last = result.last();
  const eval::Evaluation& evaluation = last.fitted_runs.empty() ? last.held_out : last.fitted;
  files.evaluation_json = runs::evaluation_json(evaluation);
  files.evaluation_csv = runs::evaluation_csv(evaluation);
  return runs::write_run_folder(job.target, text::ExistingFolder::refuse, files);
}

core::Result<void> run_trial(const OnboardOptions& options, const Job& job, const std::string& file) {
  const calibrate::StudySpec& spec = job.study.prepared.spec;
  if (spec.free.empty()) return core::fail({.file = file}, "a trial refits, and no parameter is free", "list some under 'free'");
  ProgressLine progress;
  const auto show = [&](std::size_t done, std::size_t total) { progress.show(fmt::format("draws: {} of {}", done, total)); };
  const auto trial = plan::try_recommendation(job.study.prepared, *spec.onboard->trial, {.progress = show});
  progress.clear();
  if (!trial) return tl::unexpected(trial.error());
  const auto written = runs::write_run_folder(job.target, text::ExistingFolder::refuse, run_files(job, runs::trial_json(*trial)));
  if (!written) return tl::unexpected(written.error());
  if (options.output.json) {
    print(runs::trial_json(*trial));
  } else {
    print(report::trial_table(*trial, output_colour()));
    print(fmt::format("\nrun folder    {}\n", job.target.string()));
  }
  return {};
}

core::Result<plan::Onboarding> run_job(const OnboardOptions& options, const Job& job) {
  ProgressLine progress;
  const plan::OnboardHooks hooks{
      .progress = [&](const std::string& step) { progress.show(fmt::format("{}: {}", job.study.prepared.spec.onboard->gpu, step)); }};
  auto result = plan::onboard(job.study.prepared, job.study.inputs, job.summaries, hooks);
  progress.clear();
  if (!result) return result;
  if (const auto written = write(job, *result); !written) return tl::unexpected(written.error());
  if (options.output.json) {
    print(runs::onboard_json(*result));
    return result;
  }
  const report::Colour colour = output_colour();
  print(report::onboard_parameter_table(*result, colour));
  for (const plan::OnboardStep& step : result->steps) print(report::next_run_table(step, colour));
  print(report::kv_blocks_table(*result, colour));
  print(fmt::format("\ntuned config  {}\nrun folder    {}\n", (job.target / runs::kTunedConfigName).string(), job.target.string()));
  return result;
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
  if (options.run_folder && options.studies.size() > 1) {
    problems.push_back({.position = {}, .problem = "--out names one folder for several studies", .remedy = "leave it out"});
  }
  if (!problems.empty()) {
    print_errors(problems);
    return ExitCode::bad_input;
  }
  std::vector<plan::Onboarding> onboardings;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (jobs[i].study.prepared.spec.onboard->trial) {
      if (const auto done = run_trial(options, jobs[i], options.studies[i]); !done) {
        print_errors(done.error());
        return ExitCode::bad_input;
      }
      continue;
    }
    auto result = run_job(options, jobs[i]);
    if (!result) {
      print_errors(result.error());
      return ExitCode::bad_input;
    }
    onboardings.push_back(*std::move(result));
  }
  if (!write_csv(options.output, [&] { return runs::onboard_csv(onboardings); })) return ExitCode::bad_input;
  if (!onboardings.empty() && !options.output.json) print(report::onboard_error_table(onboardings, output_colour()));
  return ExitCode::done;
}

}  // namespace

void add_onboard_command(CLI::App& program, ExitCode& exit_code) {
  CLI::App* command = program.add_subcommand(
      "onboard", "carry a config to a new GPU: by data sheet, kernel tables and a few runs; says which run to make next");
  command->footer("Example: rooftune onboard experiments/onboard_a100.yaml experiments/onboard_l40s.yaml");
  const auto options = std::make_shared<OnboardOptions>();
  command->add_option("STUDY", options->studies, "study files (YAML) with the key 'onboard'; the last table compares them")
      ->required();
  command->add_option("--out", options->run_folder, "run folder to write; default: runs/<study>-onboard-<UTC time>");
  add_data_options(*command, options->data);
  add_json_option(*command, options->output);
  add_csv_option(*command, options->output);
  command->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace rooftune::app
