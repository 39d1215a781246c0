#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "command_line.hpp"
#include "commands.hpp"
#include "options.hpp"
#include "rooftune/calibrate/crossval.hpp"
#include "rooftune/report/tables.hpp"
#include "rooftune/runs/evaluation_file.hpp"
#include "rooftune/runs/interruption.hpp"
#include "rooftune/runs/open_study.hpp"
#include "rooftune/runs/outcome.hpp"
#include "rooftune/runs/result_file.hpp"
#include "run_options.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

namespace fs = std::filesystem;

struct CrossvalOptions {
  DataOptions data;
  OutputOptions output;
  RunFlags run;
  std::optional<std::string> group;
  std::optional<std::string> peers;
  int repeats = 1;
};

constexpr std::string_view kOurs = "held out: every run is predicted by a fit that has not seen it";

core::Result<runs::OpenedStudy> load(const CrossvalOptions& options) {
  auto study = open_data(options.data, runs::Simulators::any);
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

ExitCode run(const CrossvalOptions& options) {
  const auto study = load(options);
  if (!study) return refuse(study.error());
  const auto published = load_peers(options.peers);
  if (!published) return refuse(published.error());
  const auto run = runs::begin(*study, "crossval", runs::Keeps::evaluations, run_options(options.run));
  if (!run) return refuse(run.error());
  if ((*run)->is_finished()) return say_finished(**run);
  announce_program(*study);

  const runs::Interruption interruption(say_ending);
  ProgressLine progress;
  const auto show = [&](std::size_t finished, std::size_t total) {
    progress.show(fmt::format("fitting folds: {} of {}{}", finished, total,
                              progress.time_left(static_cast<double>(finished) / static_cast<double>(total))));
  };
  const auto result =
      calibrate::crossval(study->prepared, *study->prepared.spec.split,
                          {.repeats = options.repeats, .progress = show, .cancel = interruption.token(), .store = (*run)->store()});
  progress.clear();
  print_errors((*run)->close_store());
  const fs::path& target = (*run)->folder();
  if (!result) {
    (*run)->abandon();
    return refuse(result.error());
  }
  if (result->aborted) {
    print_errors({simulator_failed(**run, result->failures.front(), study->prepared.spec)});
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
  if (const auto written = (*run)->finish(runs::outcome_of(*result, study->prepared.spec, peers)); !written)
    return refuse(written.error());
  if (!write_csv(options.output, [&] { return runs::evaluation_csv(result->pooled); })) return ExitCode::bad_input;
  if (options.output.json) {
    print(runs::crossval_json(*result, peers));
  } else {
    print(report::crossval_tables(*result, output_colour()));
    if (options.peers) print(report::peer_table(peers, kOurs, output_colour()));
    print(fmt::format("\nrun folder    {}\n", target.string()));
    print(store_summary(**run));
  }
  return ExitCode::done;
}

}  // namespace

void add_crossval_command(const Command& program, ExitCode& exit_code) {
  const Command command = program.add_subcommand("crossval", "refit without each part of the data, and score on that part");
  command.footer("Example: rooftune crossval experiments/physics_h100.yaml --group model");
  const auto options = std::make_shared<CrossvalOptions>();
  add_study_argument(command, options->data, StudyArgument::required);
  command.add_option("--group", options->group,
                     "leave one group out instead of the study's split: experiment, model, family, tp, workload, gpu, load");
  command.add_option("--repeats", options->repeats, "repeat with this many seeds to see the noise")
      .check(positive(core::limits::kRepeats));
  add_run_options(command, options->run, "runs/<study>-crossval-<UTC time>");
  add_peers_option(command, options->peers);
  add_data_options(command, options->data);
  add_json_option(command, options->output);
  add_csv_option(command, options->output);
  command.callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace rooftune::app
