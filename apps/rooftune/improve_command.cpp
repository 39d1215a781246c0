#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <stdexcept>

#include "command_line.hpp"
#include "commands.hpp"
#include "options.hpp"
#include "ranks.hpp"
#include "rooftune/improve/improve.hpp"
#include "rooftune/report/improve_tables.hpp"
#include "rooftune/report/tables.hpp"
#include "rooftune/runs/improve_file.hpp"
#include "rooftune/runs/improve_journal.hpp"
#include "rooftune/runs/interruption.hpp"
#include "rooftune/runs/open_study.hpp"
#include "rooftune/runs/outcome.hpp"
#include "rooftune/runs/proposer.hpp"
#include "rooftune/runs/study_file.hpp"
#include "rooftune/text/files.hpp"
#include "run_options.hpp"
#include "run_scripts.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

namespace fs = std::filesystem;

struct ImproveOptions {
  DataOptions data;
  OutputOptions output;
  std::optional<std::string> peers;
  RunFlags run;
  std::optional<int> rounds;
  std::optional<int> replay_round;
  RunScriptOptions scripts;
};

core::Result<runs::OpenedStudy> load(const ImproveOptions& options) {
  auto study = open_data(options.data);
  if (!study) return study;
  calibrate::StudySpec& spec = study->prepared.spec;
  if (!spec.improve) spec.improve.emplace();
  if (options.rounds) spec.improve->rounds = *options.rounds;
  if (!spec.split) {
    return core::fail({.file = *options.data.study}, "the study does not say what to hold out", "add 'crossval', e.g. by model");
  }
  return study;
}

/// Does one round of a finished or interrupted run again, and says whether its fits come out the same.
ExitCode replay_round(const ImproveOptions& options, const runs::OpenedStudy& study) {
  const fs::path target(options.run.folder.value_or("."));
  if (!options.run.folder || !text::exists(target / runs::kJournalName)) {
    print_errors(
        {{.position = {.file = target.string()}, .problem = "the folder holds no journal", .remedy = "give the --out of the run"}});
    return ExitCode::bad_input;
  }
  const auto entries = runs::read_journal(target / runs::kJournalName);
  if (!entries) return refuse(entries.error());
  const auto round = std::ranges::find(entries->rounds, *options.replay_round, &improve::RoundRecord::round);
  if (round == entries->rounds.end()) {
    print_errors(
        {{.position = {.file = target.string()},
          .problem = fmt::format("the journal has no round {}", *options.replay_round),
          .remedy = entries->rounds.empty() ? "it has none yet" : fmt::format("it has rounds 0 to {}", entries->rounds.size() - 1)}});
    return ExitCode::bad_input;
  }
  print(report::round_line(*round, output_colour()));
  const improve::Trial trial = improve::replay(*round, study.inputs);
  const bool is_same = trial.fits == round->fits;
  print(fmt::format("replayed: held out {:.2f} %, {}\n", trial.failure ? 0.0 : trial.mean_score_percent(),
                    is_same ? "every fit the same to the last bit" : "the fits differ from those of the journal"));
  return is_same ? ExitCode::done : ExitCode::no_usable_solution;
}

improve::TrialRanks trial_ranks() {
  return {.ranks = ranks(), .text_of = runs::study_text, .spec_of = [](const std::string& text) {
            auto file = runs::parse_study(text, "study of the leading rank");
            if (!file) throw std::runtime_error(core::format(file.error()));
            return std::move(file->spec);
          }};
}

ExitCode end_with_the_best(const runs::Run& run, const improve::Improvement& improvement) {
  const improve::RoundRecord& best = improvement.kept_last();
  return end_interrupted(
      run, fmt::format("this is the best so far, the structure of round {}, held out {:.2f} %", best.round, best.after_percent));
}

ExitCode run(const ImproveOptions& options) {
  const auto study = load(options);
  if (!study) return refuse(study.error());
  const auto published = load_peers(options.peers);
  if (!published) return refuse(published.error());
  agree_on(*study);
  if (serves()) {
    const runs::Interruption interruption([] {});
    improve::serve(study->inputs, {study->prepared.spec.threads}, trial_ranks(), interruption.token());
    return ExitCode::done;
  }
  if (options.replay_round) return replay_round(options, *study);
  const auto run = runs::begin(*study, "improve", runs::Keeps::journal, run_options(options.run));
  if (!run) return refuse(run.error());
  const fs::path& target = (*run)->folder();
  print_errors(study->prepared.dataset.warnings);
  const auto give_up = [&](const core::Diagnostics& problems) {
    (*run)->abandon();
    return refuse(problems);
  };
  const auto damage = runs::discard_damaged_journal(target / runs::kJournalName);
  if (!damage) return give_up(damage.error());
  print_errors(*damage);
  auto journal = runs::open_journal(target / runs::kJournalName);
  if (!journal) return give_up(journal.error());
  const runs::Interruption interruption(say_ending);
  ProgressLine progress;
  const auto show = [&](const std::string& text) {
    progress.clear();
    if (options.output.json) return;
    print(text);
    flush_output();
  };
  std::unique_ptr<improve::Proposer> proposer;
  if (const auto& program = study->prepared.spec.improve->proposer) {
    announce_proposer(*program);
    proposer = runs::make_proposer(*program);
  }
  const improve::ImproveHooks hooks{
      .progress = [&](const std::string& doing) { progress.show(doing); },
      .on_round = [&](const improve::RoundRecord& round) { show(report::round_line(round, output_colour())); },
      .on_screening = [&](const improve::ScreeningRecord& screening) { show(report::screening_lines(screening, output_colour())); },
      .proposer = proposer.get(),
      .ranks = trial_ranks(),
      .cancel = interruption.token()};
  const auto improvement = improve::improve(study->prepared.spec, study->inputs, **journal, hooks);
  progress.clear();
  journal->reset();
  if (!improvement) {
    print_errors(improvement.error());
    return ExitCode::no_usable_solution;
  }
  if (improvement->journal.rounds.empty()) return end_interrupted(**run, "the structure as the study has it is not fitted yet");
  if (const auto written = (*run)->finish(runs::outcome_of(*improvement)); !written) return refuse(written.error());
  const auto& cases = study->prepared.dataset.cases;
  const auto scripts = write_run_scripts(options.scripts, improvement->next, cases, cases.front().experiment.deployment.hardware);
  if (!scripts) return refuse(scripts.error());
  if (!write_csv(options.output, [&] { return runs::improvement_csv(improvement->journal); })) return ExitCode::bad_input;
  if (options.output.json) {
    print_data(runs::improvement_json(*improvement));
    return improvement->interrupted ? end_with_the_best(**run, *improvement) : ExitCode::done;
  }
  print(report::improvement_story(*improvement, output_colour()));
  if (options.peers) {
    print(report::peer_table(eval::compare_with_peers(improvement->held_out, *published),
                             "the result on runs that its refitted folds had not seen", output_colour()));
  }
  print(fmt::format("\ntuned config  {}\nstudy         {}\njournal       {}\n", (target / runs::kTunedConfigName).string(),
                    (target / runs::kStudyName).string(), (target / runs::kJournalName).string()));
  for (const std::string& file : *scripts) print(fmt::format("next run      {}\n", file));
  return improvement->interrupted ? end_with_the_best(**run, *improvement) : ExitCode::done;
}

}  // namespace

void add_improve_command(const Command& program, ExitCode& exit_code) {
  const Command command =
      program.add_subcommand("improve", "propose changes, fit, judge on held-out folds, keep or revert, until nothing helps");
  command.footer("Example: rooftune improve experiments/improve_v1.yaml --out runs/v1");
  const auto options = std::make_shared<ImproveOptions>();
  add_study_argument(command, options->data, StudyArgument::required);
  add_out_option(command, options->run, "runs/<study>-improve-<UTC time>");
  command.add_flag("--resume", options->run.resume,
                   "go on with what the run folder's journal holds; harmless where nothing was begun");
  command.add_option("--rounds", options->rounds, "judge at most so many changes, instead of what the study says")
      .check(not_negative(core::limits::kRepeats));
  command.add_option("--replay-round", options->replay_round, "do this round of the run in --out again, and compare")
      .check(not_negative(core::limits::kRepeats));
  add_peers_option(command, options->peers);
  add_run_script_options(command, options->scripts);
  add_json_option(command, options->output);
  add_csv_option(command, options->output);
  add_data_options(command, options->data);
  command.callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace rooftune::app
