#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "command_line.hpp"
#include "commands.hpp"
#include "options.hpp"
#include "ranks.hpp"
#include "rooftune/calibrate/recovery.hpp"
#include "rooftune/calibrate/solver_table.hpp"
#include "rooftune/core/printable.hpp"
#include "rooftune/data/config_file.hpp"
#include "rooftune/data/shipped_configs.hpp"
#include "rooftune/opt/algorithm.hpp"
#include "rooftune/report/tables.hpp"
#include "rooftune/runs/evaluation_store.hpp"
#include "rooftune/runs/interruption.hpp"
#include "rooftune/runs/open_study.hpp"
#include "rooftune/runs/result_file.hpp"
#include "rooftune/runs/run_folder.hpp"
#include "rooftune/runs/store_over_ranks.hpp"
#include "rooftune/runs/tables_csv.hpp"
#include "rooftune/text/files.hpp"
#include "rooftune/text/folder_lock.hpp"
#include "run_options.hpp"
#include "terminal.hpp"

/// The commands that put the calibration itself to the test: `solvers` and `recover`.
namespace rooftune::app {
namespace {

struct SolversOptions {
  DataOptions data;
  OutputOptions output;
  std::vector<std::string> algorithms;
  long max_evaluations = 2000;
};

struct RecoverOptions {
  DataOptions data;
  OutputOptions output;
  std::optional<std::string> truth;
  int repeats = 200;
  double noise_percent = 2.0;
  std::optional<std::string> store;
};

/// Evaluations that --store keeps, so that the same command need not make them again. Of a rank that serves, the leading one's.
class KeptEvaluations {
 public:
  KeptEvaluations() = default;
  KeptEvaluations(const KeptEvaluations&) = delete;
  KeptEvaluations& operator=(const KeptEvaluations&) = delete;
  ~KeptEvaluations() { static_cast<void>(close()); }

  [[nodiscard]] core::Result<void> open(const std::filesystem::path& file) {
    if (serves()) {
      store_ = runs::make_remote_store(*ranks());
      return {};
    }
    // The journal of a run: that run replaces its folder when it ends, and what was written into it meanwhile would be lost.
    if (const auto folder = file.parent_path(); text::exists(folder / runs::kManifestName)) {
      auto lock = text::FolderLock::acquire(folder.empty() ? "." : folder);
      if (!lock) return tl::unexpected(lock.error());
      lock_ = *std::move(lock);
    }
    auto store = runs::open_evaluation_store(file);
    if (!store) return tl::unexpected(store.error());
    store_ = *std::move(store);
    if (ranks() != nullptr) {
      ranks()->answer_with([this](std::string_view message) { return runs::answer_remote_store(message, use(), true); });
    }
    return {};
  }

  [[nodiscard]] calibrate::StoreUse use() { return {.store = store_.get(), .counts = &counts_}; }

  /// By any thread, as long as nobody closes.
  void flush() {
    if (store_) store_->flush();
  }

  /// Gives what could not be kept.
  core::Diagnostics close() {
    if (!store_) return {};
    if (!serves() && ranks() != nullptr) ranks()->answer_with({});
    store_->flush();
    core::Diagnostics problems = store_->problems();
    store_.reset();
    return problems;
  }

  [[nodiscard]] std::string summary() const { return counts_.found == 0 ? "" : evaluation_counts(counts_.found, counts_.missed); }

 private:
  std::optional<text::FolderLock> lock_;
  std::unique_ptr<calibrate::EvaluationStore> store_;
  calibrate::StoreUse::Counts counts_;
};

std::string way_on(const std::string& store) { return fmt::format("the same command goes on from {}", core::shown(store)); }

core::Result<runs::OpenedStudy> load_with_free_parameters(const DataOptions& options) {
  auto study = open_data(options);
  if (!study) return study;
  if (study->prepared.spec.free.empty())
    return core::fail({.file = *options.study}, "the study leaves no parameter free", "list some under 'free'");
  return study;
}

ExitCode run_solvers(const SolversOptions& options) {
  const auto study = load_with_free_parameters(options.data);
  if (!study) return refuse(study.error());
  calibrate::SolverTableOptions table;
  table.max_evaluations = options.max_evaluations;
  for (const std::string& word : options.algorithms) {
    const auto algorithm = opt::parse_algorithm(word);
    if (!algorithm) return refuse(algorithm.error());
    table.algorithms.push_back(*algorithm);
  }
  const runs::Interruption interruption(say_ending);
  table.cancel = interruption.token();
  ProgressLine progress;
  table.progress = [&](std::size_t finished, std::size_t total, const std::string& name) {
    progress.show(fmt::format("solver {} of {}: {}", finished + 1, total, name));
  };
  const calibrate::SolverTable result = calibrate::solver_table(study->prepared, table);
  progress.clear();
  if (!write_csv(options.output, [&] { return runs::solver_table_csv(result.rows); })) return ExitCode::bad_input;
  print_either(
      options.output, [&] { return runs::solver_table_json(result); },
      [&] { return report::solver_table(result.rows, output_colour()); });
  if (!result.interrupted()) return ExitCode::done;
  return end_interrupted_without_folder(
      *options.data.study,
      fmt::format("{} of {} solvers were begun, and the last may have ended early", result.rows.size(), result.asked));
}

ExitCode run_recover(const RecoverOptions& options) {
  const auto study = load_with_free_parameters(options.data);
  if (!study) return refuse(study.error());
  params::Config truth = study->prepared.start;
  if (options.truth) {
    auto file = data::find_config(*options.truth).and_then([&](const std::filesystem::path& path) {
      return data::read_config(path, study->inputs.gpus);
    });
    if (!file) return refuse(file.error());
    if (file->config.step_time_model != study->prepared.start.step_time_model) {
      return refuse({{.position = {.file = *options.truth},
                      .problem = fmt::format("it is for the step-time model '{}'", file->config.step_time_model),
                      .remedy = fmt::format("the study fits '{}'", study->prepared.start.step_time_model)}});
    }
    truth = std::move(file->config);
  }
  agree_on(*study, {"truth " + data::config_text(truth)});
  KeptEvaluations kept;
  if (options.store) {
    if (const auto opened = kept.open(*options.store); !opened) return refuse(opened.error());
  }
  std::optional<runs::Interruption> interruption(std::in_place, [&] {
    if (serves()) return;
    // Whoever launched ranks kills them soon after they were told to end.
    kept.flush();
    say_ending();
    if (options.store) say(way_on(*options.store) + "\n");
  });
  ProgressLine progress;
  const auto show = [&](std::size_t finished, std::size_t total) {
    progress.show(fmt::format("repeats: {} of {}{}", finished, total,
                              progress.time_left(static_cast<double>(finished) / static_cast<double>(total))));
  };
  if (!serves()) show(0, static_cast<std::size_t>(options.repeats));
  const calibrate::Recovery recovery = calibrate::recover(study->prepared, truth,
                                                          {.repeats = options.repeats,
                                                           .noise_fraction = 0.01 * options.noise_percent,
                                                           .progress = show,
                                                           .ranks = ranks(),
                                                           .cancel = interruption->token(),
                                                           .store = kept.use()});
  progress.clear();
  interruption.reset();
  print_errors(kept.close());
  if (serves()) return ExitCode::done;
  if (!write_csv(options.output, [&] { return runs::recovery_csv(recovery); })) return ExitCode::bad_input;
  print_either(
      options.output, [&] { return runs::recovery_json(recovery); },
      [&] { return recovery.finished == 0 ? "" : report::recovery_table(recovery, output_colour()) + kept.summary(); });
  if (recovery.interrupted()) {
    const std::string done = fmt::format("{} of {} repeats are finished", recovery.finished, recovery.repeats);
    return end_interrupted_without_folder(*options.data.study, done, options.store ? way_on(*options.store) : kNothingKept);
  }
  return recovery.counted > 0 ? ExitCode::done : ExitCode::no_usable_solution;
}

}  // namespace

void add_solvers_command(const Command& program, ExitCode& exit_code) {
  const Command command = program.add_subcommand("solvers", "every solver on a study's problem: passes, seconds, loss reached");
  command.footer("Example: rooftune solvers experiments/physics_h100.yaml --algorithm ceres_lm --algorithm bobyqa");
  const auto options = std::make_shared<SolversOptions>();
  add_study_argument(command, options->data, StudyArgument::required);
  command.add_option("--algorithm", options->algorithms, "only this one (repeatable)");
  command.add_option("--max-evaluations", options->max_evaluations, "simulations of all experiments that each may take; default 2000")
      .check(positive(core::limits::kRepeats));
  add_data_options(command, options->data);
  add_json_option(command, options->output);
  add_csv_option(command, options->output);
  command.callback([options, &exit_code] { exit_code = run_solvers(*options); });
}

void add_recover_command(const Command& program, ExitCode& exit_code) {
  const Command command = program.add_subcommand(
      "recover", "simulate a study's experiments with known parameters, fit them, and count the intervals that hold");
  command.footer("Example: rooftune recover experiments/physics_h100.yaml --truth h100.physics --repeats 20");
  const auto options = std::make_shared<RecoverOptions>();
  add_study_argument(command, options->data, StudyArgument::required);
  command.add_option("--truth", options->truth,
                     "config (a shipped one's name, or a file) that makes the data; default: the study's own start");
  command.add_option("--repeats", options->repeats, "simulated data sets, each with arrivals and noise of its own; default 200")
      .check(positive(core::limits::kRate_per_s));
  command.add_option("--noise", options->noise_percent, "standard deviation of the noise on every measurement, in %; default 2")
      .check(not_negative(core::limits::kRate_per_s));
  command.add_option(
      "--store", options->store,
      "evaluation store to look up and keep evaluations in: the same command goes on from it; default: nothing is kept");
  add_data_options(command, options->data);
  add_json_option(command, options->output);
  add_csv_option(command, options->output);
  command.callback([options, &exit_code] { exit_code = run_recover(*options); });
}

}  // namespace rooftune::app
