#include <memory>

#include "commands.hpp"
#include "options.hpp"
#include "rooftune/eval/assumptions.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/eval/noise.hpp"
#include "rooftune/report/noise_table.hpp"
#include "rooftune/report/tables.hpp"
#include "rooftune/runs/evaluation_file.hpp"
#include "run_options.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

struct EvaluateOptions {
  DataOptions data;
  OutputOptions output;
  std::optional<std::string> peers;
  std::int64_t warm_up_requests = 0;
};

constexpr std::string_view kOfThisConfig = "predictions of this config; held out only where it was not fitted on the run";

void print_tables(const eval::Evaluation& evaluation, const eval::Noise& noise) {
  const report::Colour colour = output_colour();
  print(report::row_table(evaluation, colour));
  print(report::group_table(evaluation, colour));
  print(report::overall_table(evaluation, colour));
  print(report::noise_table(evaluation, noise, colour));
  print(report::warning_list(evaluation, colour));
}

ExitCode run(const EvaluateOptions& options) {
  const auto study = open_data(options.data, runs::Simulators::any);
  if (!study) return refuse(study.error());
  say_shipped_config(*study, options.output);
  const auto published = load_peers(options.peers);
  if (!published) return refuse(published.error());
  announce_program(*study);
  const core::ThreadCount threads{study->prepared.spec.threads};
  eval::Evaluation evaluation =
      eval::evaluate(study->prepared.dataset, study->prepared.start,
                     {.threads = threads, .stepping = sim::Stepping::closed_form, .warm_up_requests = options.warm_up_requests});
  for (const eval::Assumption& assumption : eval::moving_assumptions(study->prepared.dataset, study->prepared.start, threads)) {
    evaluation.warnings.push_back(eval::format(assumption));
  }
  if (!evaluation.failures.empty()) {
    core::Diagnostics problems;
    for (const std::string& failure : evaluation.failures) {
      problems.push_back({.position = {.file = options.data.study.value_or("")},
                          .problem = failure,
                          .remedy = "mend the simulator, or leave the experiment out with --select",
                          .severity = core::Severity::error});
    }
    print_errors(problems);
    return ExitCode::no_usable_solution;
  }
  const std::vector<eval::PeerComparison> peers = eval::compare_with_peers(evaluation, *published);
  if (!write_csv(options.output, [&] { return runs::evaluation_csv(evaluation); })) return ExitCode::bad_input;
  const eval::Noise noise = eval::noise_of(study->prepared.dataset, study->prepared.start, threads);
  if (options.output.json) {
    print_data(runs::evaluation_json(evaluation, peers, noise));
  } else {
    print_tables(evaluation, noise);
    if (options.peers) print(report::peer_table(peers, kOfThisConfig, output_colour()));
  }
  return ExitCode::done;
}

}  // namespace

void add_evaluate_command(const Command& program, ExitCode& exit_code) {
  const Command command = program.add_subcommand("evaluate", "predict measured experiments with a config and say how wrong it is");
  command.footer("Example: rooftune evaluate --ground-truth ground_truth/h100.json --config h100");
  const auto options = std::make_shared<EvaluateOptions>();
  options->data.use_shipped_config = true;
  add_study_argument(command, options->data, StudyArgument::optional);
  add_config_options(command, options->data);
  add_data_options(command, options->data);
  add_peers_option(command, options->peers);
  add_json_option(command, options->output);
  add_csv_option(command, options->output);
  add_warm_up_option(command, options->warm_up_requests);
  command.callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace rooftune::app
