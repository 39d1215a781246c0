#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <memory>

#include "command_line.hpp"
#include "commands.hpp"
#include "options.hpp"
#include "ranks.hpp"
#include "rooftune/calibrate/crossval.hpp"
#include "rooftune/core/printable.hpp"
#include "rooftune/report/tables.hpp"
#include "rooftune/runs/evaluation_file.hpp"
#include "rooftune/runs/interruption.hpp"
#include "rooftune/runs/open_study.hpp"
#include "rooftune/runs/outcome.hpp"
#include "rooftune/runs/result_file.hpp"
#include "rooftune/runs/store_over_ranks.hpp"
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
  std::optional<std::string> shard;
};

constexpr std::string_view kHeldOut = "held out: every run is predicted by a fit that has not seen it";

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

/// "2/8".
std::optional<calibrate::Shard> parse_shard(const std::string& text) {
  calibrate::Shard shard;
  const char* const end = text.data() + text.size();
  const auto number = std::from_chars(text.data(), end, shard.number);
  if (number.ec != std::errc{} || number.ptr == end || *number.ptr != '/') return std::nullopt;
  const auto of = std::from_chars(number.ptr + 1, end, shard.of);
  if (of.ec != std::errc{} || of.ptr != end || shard.number < 1 || shard.number > shard.of) return std::nullopt;
  return shard;
}

ExitCode end_without(const runs::Run& run, std::size_t unfitted, std::size_t folds) {
  return end_interrupted(run, fmt::format("{} of {} folds are not fitted", unfitted, folds));
}

std::string way_on(const fs::path& folder) {
  return fmt::format("what is done lies in {}: give the same command with its --out and --resume to go on, on any number of ranks\n",
                     core::printable(folder.string()));
}

/// One machine's part, which leaves evaluations and no result.
ExitCode fit_shard(const CrossvalOptions& options, const runs::OpenedStudy& study, runs::Run& run,
                   const calibrate::CrossValidationOptions& how, ProgressLine& progress) {
  const auto shard = parse_shard(*options.shard);
  const auto result = calibrate::fit_shard(study.prepared, *study.prepared.spec.split, *shard, how);
  progress.clear();
  print_errors(run.close_store());
  if (!result) {
    run.abandon();
    return refuse(result.error());
  }
  if (result->aborted) {
    print_errors({simulator_failed(run, result->failures.front(), study.prepared.spec)});
    return ExitCode::no_usable_solution;
  }
  if (result->interrupted) return end_without(run, result->failures.size(), result->fits);
  for (const std::string& failure : result->failures) say(fmt::format("warning: {}\n", failure));
  const std::string store = options.run.store.value_or((run.folder() / runs::kJournalName).string());
  print(
      fmt::format("part {}: {} of {} fits\nrun folder    {}\nevaluations   {}\nWhen all parts are there: rooftune store merge "
                  "STORE... --into ALL, then "
                  "this command with --store ALL in place of --shard\n",
                  *options.shard, result->fits, result->of, run.folder().string(), store));
  return ExitCode::done;
}

/// What another rank does than the leading one.
ExitCode serve(const CrossvalOptions& options, const runs::OpenedStudy& study) {
  const runs::Interruption interruption([] {});
  const auto store = runs::make_remote_store(*ranks());
  const auto on_miss = options.run.replay ? calibrate::OnMiss::refuse : calibrate::OnMiss::evaluate;
  const calibrate::CrossValidationOptions how{.repeats = options.repeats,
                                              .cancel = interruption.token(),
                                              .store = {.store = store.get(), .on_miss = on_miss},
                                              .ranks = ranks()};
  const auto& split = *study.prepared.spec.split;
  if (options.shard) {
    const auto served = calibrate::fit_shard(study.prepared, split, *parse_shard(*options.shard), how);
    return served ? ExitCode::done : refuse(served.error());
  }
  const auto served = calibrate::crossval(study.prepared, split, how);
  return served ? ExitCode::done : refuse(served.error());
}

ExitCode run(const CrossvalOptions& options) {
  const auto study = load(options);
  if (!study) return refuse(study.error());
  const auto published = load_peers(options.peers);
  if (!published) return refuse(published.error());
  agree_on(*study);
  if (serves()) return serve(options, *study);
  const auto run = runs::begin(*study, "crossval", runs::Keeps::evaluations, run_options(options.run));
  if (!run) return refuse(run.error());
  if ((*run)->is_finished()) return say_finished(**run);
  announce_program(*study);

  const runs::Interruption interruption([&] {
    // Whoever launched ranks kills them soon after they were told to end.
    if (ranks() != nullptr) (*run)->flush_store();
    say_ending();
    if (ranks() != nullptr) say(way_on((*run)->folder()));
  });
  ProgressLine progress;
  const auto show = [&](std::size_t finished, std::size_t total) {
    (*run)->tell({.parts = "folds", .finished = finished, .of = total});
    progress.show(fmt::format("fitting folds: {} of {}{}", finished, total,
                              progress.time_left(static_cast<double>(finished) / static_cast<double>(total))));
  };
  const calibrate::CrossValidationOptions how{
      .repeats = options.repeats, .progress = show, .cancel = interruption.token(), .store = (*run)->store(), .ranks = ranks()};
  if (options.shard) return fit_shard(options, *study, **run, how, progress);
  const auto result = calibrate::crossval(study->prepared, *study->prepared.spec.split, how);
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
    return end_without(**run, static_cast<std::size_t>(unfitted), result->folds.size());
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
    print_data(runs::crossval_json(*result, peers));
  } else {
    print(report::crossval_tables(*result, output_colour()));
    if (options.peers) print(report::peer_table(peers, kHeldOut, output_colour()));
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
  const Option shard =
      command
          .add_option(
              "--shard", options->shard,
              "compute only this part of the folds and seeds, e.g. 2/8, for machines that share nothing; leaves evaluations to merge")
          .check({.problem =
                      [](const std::string& text) {
                        return parse_shard(text) ? std::string()
                                                 : fmt::format("{} is no part (give e.g. 2/8: 1/8 to 8/8)", core::shown(text));
                      },
                  .description = "K/N"});
  add_run_options(command, options->run, "runs/<study>-crossval-<UTC time>");
  add_peers_option(command, options->peers);
  add_data_options(command, options->data);
  add_json_option(command, options->output);
  add_csv_option(command, options->output);
  for (const char* const of_results : {"--json", "--csv", "--peers"}) shard.excludes(of_results);
  command.callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace rooftune::app
