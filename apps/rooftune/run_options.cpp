#include "run_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "ranks.hpp"
#include "rooftune/core/printable.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

std::vector<std::string>& command_line() {
  static std::vector<std::string> arguments;
  return arguments;
}

std::string failure_remedy(const calibrate::StudySpec& spec) {
  return spec.simulator ? "remove the cause and go on with --resume, or choose another policy under 'failures'"
                        : "raise max_events under 'failures' or choose another policy there, and give the run another --out";
}

}  // namespace

void remember_command_line(int argument_count, char** arguments) { command_line().assign(arguments + 1, arguments + argument_count); }

void add_out_option(const Command& command, RunFlags& flags, const std::string& default_folder) {
  command.add_option("--out", flags.folder, fmt::format("run folder to write; default: {}", default_folder));
}

void add_run_options(const Command& command, RunFlags& flags, const std::string& default_folder) {
  add_out_option(command, flags, default_folder);
  command.add_flag("--resume", flags.resume, "go on with what the run folder says was begun; harmless where nothing was");
  const Option store =
      command.add_option("--store", flags.store,
                         "evaluation store to look up and keep evaluations in, instead of the run folder's own; runs may share one");
  command.add_option("--replay", flags.replay, "answer from this evaluation store alone, without simulating; misses are counted")
      .excludes(store);
}

runs::RunOptions run_options(const RunFlags& flags) {
  runs::RunOptions options{
      .folder = {}, .resume = flags.resume, .store = {}, .replay = {}, .ranks = ranks(), .arguments = command_line()};
  if (flags.folder) options.folder = *flags.folder;
  if (flags.store) options.store = *flags.store;
  if (flags.replay) options.replay = *flags.replay;
  return options;
}

ExitCode say_finished(const runs::Run& run) {
  print(fmt::format("{} holds this run, finished: nothing to resume\n", run.folder().string()));
  return ExitCode::done;
}

std::string store_summary(const runs::Run& run) {
  const auto counts = run.store_counts();
  if (!counts) return "";
  if (counts->is_replay) {
    return fmt::format("replayed      {} evaluations from the store; {} were not in it and refused\n", counts->found, counts->missed);
  }
  return evaluation_counts(counts->found, counts->missed);
}

std::string evaluation_counts(long found, long computed) {
  return fmt::format("evaluations   {} taken from the store, {} computed\n", found, computed);
}

core::Diagnostic simulator_failed(const runs::Run& run, const std::string& failure, const calibrate::StudySpec& spec) {
  return {.position = {.file = run.folder().string()},
          .problem = fmt::format("the simulator failed: {}", failure),
          .remedy = failure_remedy(spec),
          .severity = core::Severity::error};
}

/// Its beginning, on one line.
static std::string shown_command(const std::vector<std::string>& arguments) {
  constexpr std::size_t kShownArguments = 4;
  std::string command;
  for (std::size_t i = 0; i < std::min(arguments.size(), kShownArguments); ++i) {
    command += (i == 0 ? "" : " ") + core::shown(arguments[i]);
  }
  return arguments.size() > kShownArguments ? command + " ..." : command;
}

void announce_program(const runs::OpenedStudy& study) {
  const auto& simulator = study.prepared.spec.simulator;
  if (!simulator) return;
  say(fmt::format("note: the study's own program predicts: {} (each run ends within {:g} s)\n", shown_command(simulator->command),
                  simulator->timeout_s));
}

void announce_proposer(const calibrate::ProposerSpec& proposer) {
  say(fmt::format("note: the study's own program proposes: {} (each answer within {:g} s)\n", shown_command(proposer.command),
                  proposer.timeout_s));
}

static ExitCode say_interrupted(const std::string& where, std::string_view done, std::string remedy) {
  print_errors({{.position = {.file = where},
                 .problem = fmt::format("interrupted: {}", done),
                 .remedy = std::move(remedy),
                 .severity = core::Severity::warning}});
  return ExitCode::no_usable_solution;
}

ExitCode end_interrupted(const runs::Run& run, std::string_view done) {
  return say_interrupted(run.folder().string(), done, "give the same command with this --out and --resume to go on");
}

ExitCode end_interrupted_without_folder(const std::string& study, std::string_view done, const std::string& way_on) {
  return say_interrupted(study, done, "this is what was finished; " + way_on);
}

void say_ending() { say("ending with the best so far (once more to end at once)\n"); }

}  // namespace rooftune::app
