#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "commands.hpp"
#include "load_inputs.hpp"
#include "options.hpp"
#include "rooftune/report/improve_tables.hpp"
#include "rooftune/study/improve.hpp"
#include "run_record.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

struct ImproveOptions {
  DataOptions data;
};

ExitCode run(const ImproveOptions& options) {
  const auto study = load_study(options.data);
  if (!study) {
    print_errors(study.error());
    return ExitCode::bad_input;
  }
  print_errors(study->prepared.dataset.warnings);
  study::JournalInMemory journal;
  ProgressLine progress;
  const study::ImproveHooks hooks{.progress = [&](const std::string& doing) { progress.show(doing); },
                                  .on_round =
                                      [&](const study::RoundRecord& round) {
                                        progress.clear();
                                        print(report::round_line(round, output_colour()));
                                      },
                                  .on_screening =
                                      [&](const study::ScreeningRecord& screening) {
                                        progress.clear();
                                        print(report::screening_lines(screening, output_colour()));
                                      }};
  study::StudySpec spec = study->prepared.spec;
  const auto improvement = study::improve(spec, study->inputs, journal, hooks);
  progress.clear();
  if (!improvement) {
    print_errors(improvement.error());
    return ExitCode::bad_input;
  }
  print(report::improvement_story(*improvement, output_colour()));
  return ExitCode::done;
}

}  // namespace

void add_improve_command(CLI::App& program, ExitCode& exit_code) {
  CLI::App* command =
      program.add_subcommand("improve", "propose changes, fit, judge on held-out folds, keep or revert, until nothing helps");
  command->footer("Example: rooftune improve experiments/improve_v1.yaml");
  const auto options = std::make_shared<ImproveOptions>();
  add_study_argument(*command, options->data, StudyArgument::required);
  add_data_options(*command, options->data);
  command->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace rooftune::app
