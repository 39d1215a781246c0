#include "run_scripts.hpp"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "rooftune/plan/run_script.hpp"
#include "rooftune/text/atomic_file.hpp"

namespace rooftune::app {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostScripts = 3;

/// The deployment that the run repeats with another load or TP degree.
const domain::Deployment& like_of(const plan::NextRun& run, std::span<const eval::Case> measured) {
  const auto own = std::ranges::find_if(measured, [&](const eval::Case& item) { return item.model.name == run.model; });
  return (own == measured.end() ? measured.front() : *own).experiment.deployment;
}

}  // namespace

void add_run_script_options(const Command& command, RunScriptOptions& options) {
  std::vector<std::string> names;
  for (const auto& [name, generator] : plan::kLoadGenerators) names.emplace_back(name);
  command.add_option("--next-runs", options.folder, "folder for the recommended runs as shell scripts and Kubernetes Jobs");
  command.add_option("--load-generator", options.load_generator, "who makes their load").capture_default_str().check(one_of(names));
}

core::Result<std::vector<std::string>> write_run_scripts(const RunScriptOptions& options, std::span<const plan::NextRun> runs,
                                                         std::span<const eval::Case> measured, const std::string& gpu) {
  std::vector<std::string> files;
  if (!options.folder) return files;
  const auto generator = std::ranges::find(plan::kLoadGenerators, options.load_generator, [](const auto& word) { return word.first; });
  std::error_code failed;
  fs::create_directories(*options.folder, failed);
  if (failed) return core::fail({.file = *options.folder}, failed.message(), "check the path and its permissions");
  std::set<std::pair<std::string, int>> deployments;
  for (const plan::NextRun& run : runs) {
    if (deployments.size() == kMostScripts) break;
    if (!deployments.insert({run.model, run.tp}).second) continue;
    const plan::RunScript script =
        plan::run_script(run, static_cast<int>(deployments.size()), like_of(run, measured), gpu, generator->second);
    for (const auto& [suffix, text] : {std::pair{".sh", script.shell}, std::pair{".yaml", script.kubernetes_job}}) {
      const fs::path file = fs::path(*options.folder) / (script.name + suffix);
      if (auto written = text::write_file_atomically(file, text); !written) return tl::unexpected(written.error());
      files.push_back(file.string());
    }
  }
  return files;
}

}  // namespace rooftune::app
