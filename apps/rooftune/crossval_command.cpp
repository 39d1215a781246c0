#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "begun_run.hpp"
#include "commands.hpp"
#include "interruption.hpp"
#include "load_inputs.hpp"
#include "options.hpp"
#include "rooftune/calibrate/crossval.hpp"
#include "rooftune/report/tables.hpp"
#include "rooftune/runs/evaluation_file.hpp"
#include "rooftune/runs/result_file.hpp"
#include "rooftune/runs/run_folder.hpp"
#include "run_record.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

namespace fs = std::filesystem;

struct CrossvalOptions {
  DataOptions data;
  OutputOptions output;
  RunOptions run;
  std::optional<std::string> group;
  std::optional<std::string> peers;
  int repeats = 1;
};

constexpr std::string_view kOurs = "held out: every run is predicted by a fit that has not seen it";

core::Result<LoadedStudy> load(const CrossvalOptions& options) {
  auto study = load_study(options.data, Simulators::any);
  if (!study) return study;
  calibrate::StudySpec& spec = study->prepared.spec;
  if (options.group) {
    const std::vector<std::string_view> known(eval::kSplitGroups.begin(), eval::kSplitGroups.end());
    if (std::ranges::find(known, *options.group) == known.end()) {
      return core::fail({}, fmt::format("unknown group '{}'", *options.group), core::suggest(*options.group, known));
    }
    spec.split = eval::SplitSpec{};
    spec.split->group = *options.group;
  }
  if (!spec.split) {
    return core::fail({.file = *options.data.study}, "the study does not say how to split", "add 'crossval', or give --group model");
  }
  if (spec.free.empty())
    return core::fail({.file = *options.data.study}, "the study leaves no parameter free", "list some under 'free'");
  return study;
}

runs::RunFiles run_files(const LoadedStudy& study, const calibrate::CrossValidation& result,
                         const std::vector<eval::PeerComparison>& peers, const fs::path& target) {
  runs::RunFiles files;
  files.manifest = make_manifest("crossval", study);
  files.manifest.state = runs::RunState::finished;
  files.study_yaml = resolved_study(study, target);
  files.result_json = runs::crossval_json(result, peers);
  files.evaluation_json = runs::evaluation_json(result.pooled, peers);
  files.evaluation_csv = runs::evaluation_csv(result.pooled);
  for (const calibrate::SolverStage& stage : study.prepared.spec.solver)
    files.manifest.limited_by_time |= stage.max_seconds.has_value();
  return files;
}

ExitCode run(const CrossvalOptions& options) {
  const auto study = load(options);
  if (!study) {
    print_errors(study.error());
    return ExitCode::bad_input;
  }
  const auto published = load_peers(options.peers);
  if (!published) {
    print_errors(published.error());
    return ExitCode::bad_input;
  }
  const auto run = BegunRun::begin(
      make_manifest("crossval", *study), *study,
      options.run.folder ? fs::path(*options.run.folder) : default_run_folder(study->prepared.spec.name + "-crossval"), options.run);
  if (!run) {
    print_errors(run.error());
    return ExitCode::bad_input;
  }
  const fs::path& target = (*run)->folder();
  if ((*run)->is_finished()) {
    print(fmt::format("{} holds this run, finished: nothing to resume\n", target.string()));
    return ExitCode::done;
  }

  const Interruption interruption;
  ProgressLine progress;
  const auto show = [&](std::size_t finished, std::size_t total) {
    progress.show(fmt::format("fitting folds: {} of {}{}", finished, total,
                              progress.time_left(static_cast<double>(finished) / static_cast<double>(total))));
  };
  const auto result =
      calibrate::crossval(study->prepared, *study->prepared.spec.split,
                          {.repeats = options.repeats, .progress = show, .cancel = interruption.token(), .store = (*run)->store()});
  progress.clear();
  (*run)->close_store();
  if (!result) {
    (*run)->abandon();
    print_errors(result.error());
    return ExitCode::bad_input;
  }
  if (result->aborted) {
    print_errors({{.position = {.file = target.string()},
                   .problem = fmt::format("the simulator failed: {}", result->failures.front()),
                   .remedy = failure_remedy(study->prepared.spec),
                   .severity = core::Severity::error}});
    return ExitCode::no_usable_solution;
  }
  if (result->interrupted) {
    const auto unfitted =
        std::ranges::count_if(result->folds, [](const calibrate::FoldResult& fold) { return fold.failure.has_value(); });
    print_errors({{.position = {.file = target.string()},
                   .problem = fmt::format("interrupted: {} of {} folds are not fitted", unfitted, result->folds.size()),
                   .remedy = "give the same command with this --out and --resume to go on",
                   .severity = core::Severity::warning}});
    return ExitCode::no_usable_solution;
  }
  if (!result->usable()) {
    (*run)->abandon();
    core::Diagnostics problems;
    for (const std::string& failure : result->failures) {
      problems.push_back({.position = {.file = *options.data.study}, .problem = failure, .remedy = "nothing was written"});
    }
    print_errors(problems);
    return ExitCode::no_usable_solution;
  }
  const std::vector<eval::PeerComparison> peers = eval::compare_with_peers(result->pooled, *published);
  const runs::RunFiles files = run_files(*study, *result, peers, target);
  if (const auto written = runs::write_run_folder(target, text::ExistingFolder::resume, files); !written) {
    print_errors(written.error());
    return ExitCode::bad_input;
  }
  if (!write_csv(options.output, [&] { return runs::evaluation_csv(result->pooled); })) return ExitCode::bad_input;
  if (options.output.json) {
    print(runs::crossval_json(*result, peers));
  } else {
    print(report::crossval_tables(*result, output_colour()));
    if (options.peers) print(report::peer_table(peers, kOurs, output_colour()));
    print(fmt::format("\nrun folder    {}\n", target.string()));
    print((*run)->store_summary());
  }
  return ExitCode::done;
}

}  // namespace

void add_crossval_command(CLI::App& program, ExitCode& exit_code) {
  CLI::App* command = program.add_subcommand("crossval", "refit without each part of the data, and score on that part");
  command->footer("Example: rooftune crossval experiments/physics_h100.yaml --group model");
  const auto options = std::make_shared<CrossvalOptions>();
  add_study_argument(*command, options->data, StudyArgument::required);
  command->add_option("--group", options->group,
                      "leave one group out instead of the study's split: experiment, model, family, tp, workload, gpu, load");
  command->add_option("--repeats", options->repeats, "repeat with this many seeds to see the noise")->check(CLI::PositiveNumber);
  add_run_options(*command, options->run, "runs/<study>-crossval-<UTC time>");
  add_peers_option(*command, options->peers);
  add_data_options(*command, options->data);
  add_json_option(*command, options->output);
  add_csv_option(*command, options->output);
  command->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace rooftune::app
