#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <set>
#include <span>

#include "command_line.hpp"
#include "commands.hpp"
#include "options.hpp"
#include "report_server.hpp"
#include "rooftune/calibrate/prediction_intervals.hpp"
#include "rooftune/data/config_file.hpp"
#include "rooftune/data/data_directory.hpp"
#include "rooftune/data/kernel_tables.hpp"
#include "rooftune/data/peers.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/kernels/efficiency.hpp"
#include "rooftune/plan/report_curves.hpp"
#include "rooftune/report/html_report.hpp"
#include "rooftune/runs/evaluation_file.hpp"
#include "rooftune/runs/improve_journal.hpp"
#include "rooftune/runs/live_run.hpp"
#include "rooftune/runs/open_study.hpp"
#include "rooftune/runs/report_file.hpp"
#include "rooftune/runs/run_folder.hpp"
#include "rooftune/text/atomic_file.hpp"
#include "rooftune/text/files.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

namespace fs = std::filesystem;

struct ReportOptions {
  std::vector<std::string> run_folders;  ///< the first is shown whole, the others beside it
  std::optional<std::string> out;
  std::optional<std::string> crossval;
  std::optional<std::string> peers;
  std::optional<std::string> vega;
  int threads = 0;
  bool watches = false;
  ServerOptions server;
  OutputOptions output;
};

/// Gathers what the report shows; what cannot be had becomes a notice in it, as long as the run itself can be read.
class Gatherer {
 public:
  explicit Gatherer(const ReportOptions& options) : options_(options), run_(options.run_folders.front()) {}

  core::Result<runs::ReportContent> gather() {
    take(runs::read_run_documents(run_), content_.run);
    for (std::size_t i = 1; i < options_.run_folders.size(); ++i) {
      runs::RunDocuments other;
      if (take(runs::read_run_documents(options_.run_folders[i]), other)) content_.others.push_back(std::move(other));
    }
    if (options_.crossval) take_crossval(*options_.crossval);
    add_journal();
    if (!problems_.empty()) return tl::unexpected(std::move(problems_));
    if (const auto study = run_again()) {
      add_simulations(*study);
      add_interactivity(*study);
      add_kernels(*study);
    }
    add_peers();
    if (!problems_.empty()) return tl::unexpected(std::move(problems_));
    return std::move(content_);
  }

  /// Of a run that goes on: what is in its folder, without simulating anything.
  core::Result<runs::ReportContent> gather_live(std::string live_json) {
    take(runs::read_run_documents(run_), content_.run);
    add_journal();
    if (!problems_.empty()) return tl::unexpected(std::move(problems_));
    content_.live_json = std::move(live_json);
    return std::move(content_);
  }

 private:
  template <class T, class Target>
  bool take(core::Result<T> result, Target& target) {
    if (result) {
      target = *std::move(result);
      return true;
    }
    std::ranges::move(result.error(), std::back_inserter(problems_));
    return false;
  }

  void notice(std::string_view what, const core::Diagnostics& why) {
    content_.notices.push_back(fmt::format("{}: {}", what, why.empty() ? "unknown" : core::format(why.front())));
  }

  void take_crossval(const std::string& folder) {
    runs::RunDocuments crossval;
    if (!take(runs::read_run_documents(folder), crossval)) return;
    if (const auto manifest = runs::read_manifest(folder); manifest && manifest->command != "crossval") {
      problems_.push_back({.position = {.file = folder},
                           .problem = fmt::format("this folder holds a run of '{}', not of 'crossval'", manifest->command),
                           .remedy = "name the run folder of rooftune crossval"});
    }
    content_.crossval = std::move(crossval);
  }

  /// The rounds of an improvement; other runs keep no such journal.
  void add_journal() {
    const auto manifest = runs::read_manifest(run_);
    if (!manifest || manifest->command != "improve" || !text::exists(run_ / runs::kJournalName)) return;
    take(runs::read_journal(run_ / runs::kJournalName), content_.journal.emplace());
  }

  /// The run's study with the files that it names; nothing where they have moved since.
  std::optional<runs::OpenedStudy> run_again() {
    if (!text::exists(run_ / runs::kStudyName)) return std::nullopt;
    DataOptions data;
    data.study = (run_ / runs::kStudyName).string();
    data.threads = options_.threads;
    auto study = open_data(data);
    if (study) {
      content_.study = study->prepared.spec.name;
      return *std::move(study);
    }
    notice("The pages on load, step time and kernels are missing, because the study's data cannot be read again", study.error());
    return std::nullopt;
  }

  void add_simulations(const runs::OpenedStudy& study) {
    if (!text::exists(run_ / runs::kTunedConfigName)) return;
    const auto tuned = data::read_config(run_ / runs::kTunedConfigName, study.inputs.gpus);
    if (!tuned) {
      notice("The pages on load and step time are missing, because the tuned config cannot be read", tuned.error());
      return;
    }
    const core::ThreadCount threads{options_.threads};
    const eval::Dataset& dataset = study.prepared.dataset;
    content_.before = eval::evaluate(dataset, study.prepared.start, {.threads = threads, .stepping = sim::Stepping::closed_form});
    content_.noise = eval::noise_of(dataset, tuned->config, threads);
    // Of arrivals the curves need the size of the noise, not its last digit.
    const calibrate::IntervalOptions along_curves{.level = content_.interval_level, .arrival_draws = 4, .threads = threads};
    content_.load_curves = plan::load_curves(dataset, tuned->config, {.intervals = along_curves, .threads = threads});
    content_.intervals =
        calibrate::prediction_intervals(dataset, tuned->config, {.level = content_.interval_level, .threads = threads});
    content_.step_time = plan::step_time_by_batch(dataset, tuned->config);
  }

  /// From the rows of the run itself: nothing is simulated again.
  void add_interactivity(const runs::OpenedStudy& study) {
    if (!content_.run.evaluation_json) return;
    std::vector<eval::Row> rows;
    if (!take(runs::read_evaluation_rows(run_ / runs::kEvaluationName), rows)) return;
    content_.interactivity = plan::interactivity_curves(study.prepared.dataset, rows);
  }

  void add_kernels(const runs::OpenedStudy& study) {
    std::vector<fs::path> folders(study.prepared.spec.data.kernels.begin(), study.prepared.spec.data.kernels.end());
    if (const auto shipped = data::data_directory()) folders.push_back(*shipped / "bench_data");
    std::set<std::string> seen;
    for (const eval::Case& item : study.prepared.dataset.cases) {
      if (!seen.insert(item.gpu.name).second) continue;
      for (const fs::path& folder : folders) {
        const auto found = data::find_kernel_tables(folder, item.gpu);
        if (!found) continue;
        const auto measured = data::read_kernel_tables(found->folder, found->gpu);
        if (!measured) {
          notice("The page on kernels is incomplete", measured.error());
        } else {
          content_.kernels.push_back(plan::kernel_roofline(kernels::normalise(*measured, item.gpu).kernels, item.gpu));
        }
        break;
      }
    }
  }

  /// Peers' predictions for this run's experiments. An id may mean another experiment elsewhere: measurements must agree.
  void add_peers() {
    fs::path file = options_.peers.value_or("");
    if (!options_.peers) {
      const auto shipped = data::data_directory();
      if (!shipped || !text::exists(*shipped / "ground_truth" / "peers.csv")) return;
      file = *shipped / "ground_truth" / "peers.csv";
    }
    if (!content_.run.evaluation_json) return;
    std::vector<domain::PeerPrediction> peers;
    std::vector<eval::Row> rows;
    if (!take(data::read_peers(file), peers) || !take(runs::read_evaluation_rows(run_ / runs::kEvaluationName), rows)) return;
    constexpr double kSameMeasurement = 1e-3;  // sources round to different digits
    for (domain::PeerPrediction& peer : peers) {
      const bool is_ours = std::ranges::any_of(rows, [&](const eval::Row& row) {
        return row.experiment == peer.experiment && row.stage == domain::kSummaryStage && row.metric == peer.metric &&
               std::abs(peer.measured_ms / row.measured_ms - 1.0) < kSameMeasurement;
      });
      if (is_ours && peer.stage == domain::kSummaryStage) content_.peers.push_back(std::move(peer));
    }
  }

  const ReportOptions& options_;
  fs::path run_;
  runs::ReportContent content_;
  core::Diagnostics problems_;
};

/// Day on which the run's manifest was written last, "2026-11-30"; empty where nobody knows.
std::string day_of(const fs::path& run) {
  struct stat status {};
  if (::stat((run / runs::kManifestName).c_str(), &status) != 0) return "";
  return fmt::format("{:%Y-%m-%d}", fmt::gmtime(status.st_mtime));
}

/// "rooftune: physics_h100 on H100-SXM, 2026-11-30": the study (or the run's folder), its GPUs and its day.
std::string title_of(const runs::ReportContent& content, const std::string& run_folder) {
  const std::string folder = fs::path(run_folder).lexically_normal().filename().string();
  std::set<std::string> gpus;
  for (const runs::ReportedCase& item : content.run.cases) gpus.insert(item.hardware);
  std::string title = "rooftune: " + (!content.study.empty() ? content.study : folder.empty() ? run_folder : folder);
  if (!gpus.empty()) title += fmt::format(" on {}", fmt::join(gpus, ", "));
  if (const std::string day = day_of(run_folder); !day.empty()) title += ", " + day;
  if (!content.others.empty())
    title += fmt::format(", beside {} other{}", content.others.size(), content.others.size() == 1 ? "" : "s");
  return title;
}

/// Plots where the plotting library is there; otherwise why not.
core::Result<std::vector<runs::ScriptModule>> read_plots(const ReportOptions& options) {
  return runs::read_vega(options.vega ? std::optional<fs::path>(*options.vega) : std::nullopt);
}

core::Diagnostics missing_plots(const core::Diagnostics& problems) {
  core::Diagnostics warnings = problems;
  for (core::Diagnostic& problem : warnings) {
    problem.severity = core::Severity::warning;
    problem.problem += "; the report has tables but no plots";
  }
  return warnings;
}

std::string html_of(const std::string& title, const std::string& data, std::span<const runs::ScriptModule> modules) {
  report::HtmlReport page{.title = title, .data_json = data, .modules = {}};
  for (const runs::ScriptModule& module : modules) page.modules.push_back({.name = module.name, .text = module.text});
  return report::html_report(page);
}

/// The page of a run as its folder stands: how far it is, or, once it has ended, its report, which is made once.
class WatchedRun {
 public:
  WatchedRun(const ReportOptions& options, runs::LiveRun run, std::span<const runs::ScriptModule> modules)
      : options_(options), run_(std::move(run)), modules_(modules) {}

  std::string page() {
    const bool goes_on = run_.look().state == runs::RunState::begun;
    if (!goes_on && !report_.empty()) return report_;
    Gatherer gatherer(options_);
    const auto content = goes_on ? gatherer.gather_live(run_.json()) : gatherer.gather();
    if (!content)
      return "<!DOCTYPE html><meta charset=\"utf-8\"><title>rooftune</title><p>The run cannot be read now; load this page again.";
    std::string html = html_of(title_of(*content, options_.run_folders.front()), runs::report_json(*content), modules_);
    if (!goes_on) report_ = html;
    return html;
  }

  std::string state_json() {
    static_cast<void>(run_.look());
    return run_.json();
  }

 private:
  const ReportOptions& options_;
  runs::LiveRun run_;
  std::span<const runs::ScriptModule> modules_;
  std::string report_;
};

ExitCode watch(const ReportOptions& options) {
  if (options.run_folders.size() > 1) {
    return refuse({{.position = {},
                    .problem = "several runs are given to --watch",
                    .remedy = "watch one at a time, each with a port of its own"}});
  }
  auto live = runs::LiveRun::open(options.run_folders.front());
  if (!live) return refuse(live.error());
  const auto vega = read_plots(options);
  if (!vega) {
    if (options.vega) return refuse(vega.error());
    print_errors(missing_plots(vega.error()));
  }
  WatchedRun run(options, *std::move(live), vega ? std::span<const runs::ScriptModule>(*vega) : std::span<const runs::ScriptModule>());
  const ServedPages pages{.page = [&] { return run.page(); }, .state_json = [&] { return run.state_json(); }};
  ProgressLine waiting;
  const auto served = serve_pages(pages, options.server, [&](const std::string& url) {
    print(fmt::format("{}\n", url));
    flush_output();
    waiting.show("serving the run until Ctrl-C");
  });
  return served ? ExitCode::done : refuse(served.error());
}

ExitCode run(const ReportOptions& options) {
  if (options.watches) return watch(options);
  const auto content = Gatherer(options).gather();
  if (!content) return refuse(content.error());
  const auto vega = read_plots(options);
  if (!vega && options.vega) return refuse(vega.error());
  core::Diagnostics warnings;
  for (const std::string& notice : content->notices) {
    warnings.push_back({.position = {}, .problem = notice, .remedy = "the report says so, too", .severity = core::Severity::warning});
  }
  if (!vega) std::ranges::move(missing_plots(vega.error()), std::back_inserter(warnings));
  const std::string data = runs::report_json(*content);
  const std::string html = html_of(title_of(*content, options.run_folders.front()), data,
                                   vega ? std::span<const runs::ScriptModule>(*vega) : std::span<const runs::ScriptModule>());
  const fs::path target = options.out ? fs::path(*options.out) : fs::path(options.run_folders.front()) / runs::kReportName;
  if (const auto written = text::write_file_atomically(target, html); !written) return refuse(written.error());
  print_errors(warnings);
  print_either(
      options.output, [&] { return data; }, [&] { return fmt::format("report        {}\n", target.string()); });
  return ExitCode::done;
}

}  // namespace

void add_report_command(const Command& program, ExitCode& exit_code) {
  const Command command =
      program.add_subcommand("report", "write one HTML file that shows a run: errors, load curves, parameters, folds");
  command.footer(
      "Examples: rooftune report runs/first -o report.html\n"
      "          rooftune report runs/monday runs/tuesday -o both.html\n"
      "          rooftune report --watch runs/first");
  const auto options = std::make_shared<ReportOptions>();
  command
      .add_option("RUN", options->run_folders,
                  "run folder of fit, crossval, compare, improve or onboard; further ones are laid over the first: "
                  "errors, GPUs, parameters")
      .required();
  command.add_option("-o,--out", options->out, "file to write; default: report.html in the run folder");
  command.add_option("--crossval", options->crossval, "run folder of a cross-validation of the same study: adds its held-out errors");
  command.add_option("--peers", options->peers, "CSV of other simulators' predictions; default: the shipped one");
  command.add_option("--vega", options->vega, "folder of the plotting library's modules; default: where libjs-vega installs them");
  command.add_option("--threads", options->threads, "threads; 0: all cores; results do not depend on it")
      .check(not_negative(core::limits::kThreads));
  const Option watch =
      command.add_flag("--watch", options->watches,
                       "instead of writing a file: serve the page of a run that goes on, until Ctrl-C; the address that is "
                       "printed holds a secret, and nothing can be changed through it");
  command.add_option("--listen", options->server.address, "address to serve at; default 127.0.0.1: this machine alone").needs(watch);
  command.add_option("--port", options->server.port, "port to serve at; default: any that is free")
      .check(between(1, 65535))
      .needs(watch);
  add_json_option(command, options->output);
  for (const char* of_files : {"--out", "--json", "--crossval"}) watch.excludes(of_files);
  command.callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace rooftune::app
