#include "run_record.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "rooftune/io/config_file.hpp"
#include "rooftune/io/study_file.hpp"
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

io::RunManifest make_manifest(std::string_view command, const LoadedStudy& study) {
  const study::StudySpec& spec = study.prepared.spec;
  io::RunManifest manifest;
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
  return io::study_text(io::with_paths_from(study.prepared.spec, ".", run_folder));
}

std::filesystem::path default_run_folder(const std::string& study_name) {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return std::filesystem::path("runs") / fmt::format("{}-{:%Y%m%dT%H%M%SZ}", study_name, fmt::gmtime(now));
}

void add_provenance(params::Config& tuned, const LoadedStudy& study, const io::RunManifest& manifest) {
  tuned.provenance["study"] = study.prepared.spec.name;
  tuned.provenance["rooftune"] = manifest.versions.at("rooftune");
  tuned.provenance["simulator"] = manifest.simulator_identity;
  tuned.provenance["seed"] = fmt::format("{}", manifest.seed);
  for (const io::InputFile& input : manifest.inputs) {
    if (!input.path.starts_with("shipped:")) tuned.provenance["input " + input.path] = "sha256 " + input.sha256;
  }
}

core::Result<void> check_written_config(std::string_view text, const std::string& file, const LoadedStudy& study,
                                        const eval::Evaluation& reported) {
  const auto read_back = io::parse_config(text, file, study.inputs.gpus);
  if (!read_back) return tl::unexpected(read_back.error());
  const eval::Evaluation again = eval::evaluate(study.prepared.dataset, read_back->config,
                                                {.threads = {study.prepared.spec.threads}, .stepping = sim::Stepping::closed_form});
  if (same_predictions(again, reported)) return {};
  return core::fail({.file = file}, "the written config does not predict what was reported",
                    "nothing was kept; please report this with the study");
}

}  // namespace rooftune::app
