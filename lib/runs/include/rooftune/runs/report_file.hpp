#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rooftune/calibrate/prediction_intervals.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/domain/experiment.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/eval/noise.hpp"
#include "rooftune/eval/peers.hpp"
#include "rooftune/improve/journal.hpp"
#include "rooftune/plan/report_curves.hpp"

namespace rooftune::runs {

/// What one experiment of a run is, as its evaluation.csv says.
struct ReportedCase {
  std::string experiment;
  std::string model;
  std::string hardware;
  int tp = 1;
  std::string workload;
};

/// The documents of a run folder, checked to be sound JSON but kept as texts: a report shows what is in them, all of it.
struct RunDocuments {
  std::string folder;  ///< as the user named it
  std::string manifest_json;
  std::optional<std::string> result_json;
  std::optional<std::string> evaluation_json;
  std::vector<ReportedCase> cases;
};

/// Reads a run folder for a report. Only the manifest must be there.
[[nodiscard]] core::Result<RunDocuments> read_run_documents(const std::filesystem::path& run_folder);

/// A JavaScript module of the plotting library.
struct ScriptModule {
  std::string name;  ///< as other modules require it: "vega-util"
  std::string text;
};

/// The modules of Vega that plots need, as Debian's libjs-vega installs them, in no particular order. Without a folder they are
/// looked for where they were when rooftune was configured. Fails when one is missing.
[[nodiscard]] core::Result<std::vector<ScriptModule>> read_vega(const std::optional<std::filesystem::path>& folder = {});

/// Everything that a report shows.
struct ReportContent {
  RunDocuments run;
  std::optional<RunDocuments> crossval;                  ///< held-out errors, where the run itself has none
  std::string study{};                                   ///< its name, where its file can still be read
  std::vector<RunDocuments> others{};                    ///< runs that are laid over this one
  std::optional<eval::Evaluation> before;                ///< the study's start on the run's experiments
  std::optional<eval::Noise> noise;                      ///< beside the errors: of the tuned config on the run's experiments
  std::vector<domain::PeerPrediction> peers;             ///< of this run's experiments
  std::vector<plan::LoadCurve> load_curves;              ///< of the tuned config
  std::vector<plan::InteractivityCurve> interactivity;   ///< of the run's sweeps
  std::vector<calibrate::PredictionInterval> intervals;  ///< of the tuned config, where it knows its uncertainty
  double interval_level = 0.9;                           ///< share of measurements that should fall inside
  std::vector<plan::StepTimeByBatch> step_time;          ///< of the tuned config
  std::vector<plan::KernelRoofline> kernels;             ///< of the run's GPUs
  std::optional<improve::JournalEntries> journal;        ///< of rooftune improve
  std::optional<std::string> live_json{};                ///< how far a run is that still goes on (LiveRun::json)
  std::vector<std::string> notices;                      ///< what the report lacks and why
};

/// The content as "rooftune/report/1" (docs/file_formats.md).
[[nodiscard]] std::string report_json(const ReportContent& content);

}  // namespace rooftune::runs
