#include "run_record.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>

#include "rooftune/io/study_file.hpp"
#include "rooftune/sim/simulate.hpp"
#include "versions.hpp"

namespace rooftune::app {
namespace {

std::vector<std::string>& remembered() {
  static std::vector<std::string> arguments;
  return arguments;
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

}  // namespace rooftune::app
