#include "run_record.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "rooftune/data/config_file.hpp"
#include "rooftune/data/gpus.hpp"
#include "rooftune/runs/study_file.hpp"
#include "rooftune/sim/simulate.hpp"
#include "versions.hpp"

namespace rooftune::app {
namespace {

std::vector<std::string>& remembered() {
  static std::vector<std::string> arguments;
  return arguments;
}

bool same_predictions(const eval::Evaluation& a, const eval::Evaluation& b) {
  return std::ranges::equal(a.rows, b.rows, [](const eval::Row& x, const eval::Row& y) {
    return x.experiment == y.experiment && x.stage == y.stage && x.metric == y.metric && x.predicted_ms == y.predicted_ms;
  });
}

}  // namespace

std::vector<std::string> command_line() { return remembered(); }

void remember_command_line(int argument_count, char** arguments) { remembered().assign(arguments + 1, arguments + argument_count); }

runs::RunManifest make_manifest(std::string_view command, const LoadedStudy& study) {
  const calibrate::StudySpec& spec = study.prepared.spec;
  runs::RunManifest manifest;
  manifest.command = command;
  manifest.arguments = command_line();
  manifest.inputs = study.files;
  manifest.versions = versions();
  manifest.simulator_identity = sim::simulator_identity();
  manifest.seed = spec.seed;
  manifest.threads = spec.threads;
  manifest.replicates = spec.replicates;
  return manifest;
}

std::string resolved_study(const LoadedStudy& study, const std::filesystem::path& run_folder) {
  return runs::study_text(runs::with_paths_from(study.prepared.spec, ".", run_folder));
}

std::filesystem::path default_run_folder(const std::string& study_name) {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return std::filesystem::path("runs") / fmt::format("{}-{:%Y%m%dT%H%M%SZ}", study_name, fmt::gmtime(now));
}

void add_provenance(params::Config& tuned, const LoadedStudy& study, const runs::RunManifest& manifest) {
  tuned.provenance["study"] = study.prepared.spec.name;
  tuned.provenance["rooftune"] = manifest.versions.at("rooftune");
  tuned.provenance["simulator"] = manifest.simulator_identity;
  tuned.provenance["seed"] = fmt::format("{}", manifest.seed);
  for (const runs::InputFile& input : manifest.inputs) {
    if (!input.path.starts_with("shipped:")) tuned.provenance["input " + input.path] = "sha256 " + input.sha256;
  }
}

void add_own_gpus(params::Config& tuned, const LoadedStudy& study) {
  const auto shipped = data::default_gpus();
  for (const eval::Dataset* dataset : {&study.prepared.dataset, &study.prepared.held_out}) {
    for (const eval::Case& item : dataset->cases) {
      const bool is_shipped = shipped && std::ranges::find(*shipped, item.gpu) != shipped->end();
      const bool is_listed =
          std::ranges::any_of(tuned.hardware, [&](const params::HardwareEntry& entry) { return entry.gpu.name == item.gpu.name; });
      if (!is_shipped && !is_listed) tuned.hardware.push_back({.gpu = item.gpu, .parameters = {}});
    }
  }
}

core::Result<void> check_written_config(std::string_view text, const std::string& file, const LoadedStudy& study,
                                        const eval::Evaluation& reported) {
  const auto shipped = data::default_gpus();
  if (!shipped) return tl::unexpected(shipped.error());
  const auto read_back = data::parse_config(text, file, *shipped);
  if (!read_back) return tl::unexpected(read_back.error());
  const eval::Evaluation again = eval::evaluate(study.prepared.dataset, read_back->config,
                                                {.threads = {study.prepared.spec.threads}, .stepping = sim::Stepping::closed_form});
  if (same_predictions(again, reported)) return {};
  return core::fail({.file = file}, "the written config does not predict what was reported",
                    "nothing was kept; please report this with the study");
}

}  // namespace rooftune::app
