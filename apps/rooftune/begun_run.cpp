#include "begun_run.hpp"

#include <fmt/format.h>

#include <utility>

#include "rooftune/runs/evaluation_store.hpp"
#include "rooftune/text/document.hpp"
#include "run_record.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

namespace fs = std::filesystem;

/// Whether the folder holds a run that was begun and can go on.
bool holds_unfinished_run(const fs::path& folder) {
  if (!fs::exists(folder / runs::kManifestName)) return false;
  const auto manifest = runs::read_manifest(folder);
  return manifest && manifest->state != runs::RunState::finished;
}

/// The resolved study but for `threads`, on which no result depends.
std::string without_threads(std::string text) {
  const std::size_t begin = text.rfind("\nthreads: ");
  if (begin != std::string::npos) text.erase(begin, text.find('\n', begin + 1) - begin);
  return text;
}

/// Options may change a study whose file is the same.
core::Diagnostics check_same_study(const LoadedStudy& study, const fs::path& folder) {
  const auto begun = text::read_text(folder / runs::kStudyName);
  if (!begun) return begun.error();
  if (without_threads(*begun) == without_threads(resolved_study(study, folder))) return {};
  return {{.position = {.file = (folder / runs::kStudyName).string()},
           .problem = "the options make another study of the file than the run was begun with",
           .remedy = "give the same options as then, or start afresh with another --out",
           .severity = core::Severity::error}};
}

}  // namespace

void add_run_options(CLI::App& command, RunOptions& options, const std::string& default_folder) {
  command.add_option("--out", options.folder, fmt::format("run folder to write; default: {}", default_folder));
  command.add_flag("--resume", options.resume, "go on with what the run folder says was begun; harmless where nothing was");
  auto* store =
      command.add_option("--store", options.store,
                         "evaluation store to look up and keep evaluations in, instead of the run folder's own; runs may share one");
  command.add_option("--replay", options.replay, "answer from this evaluation store alone, without simulating; misses are counted")
      ->excludes(store);
}

std::string failure_remedy(const calibrate::StudySpec& spec) {
  return spec.simulator ? "remove the cause and go on with --resume, or choose another policy under 'failures'"
                        : "raise max_events under 'failures' or choose another policy there, and give the run another --out";
}

core::Result<std::unique_ptr<BegunRun>> BegunRun::begin(const runs::RunManifest& manifest, const LoadedStudy& study, fs::path folder,
                                                        const RunOptions& options) {
  std::unique_ptr<BegunRun> run(new BegunRun);
  run->folder_ = std::move(folder);
  run->may_know_ = options.resume || options.store;
  const auto policy = options.resume ? text::ExistingFolder::resume : text::ExistingFolder::refuse;
  if (!options.resume && holds_unfinished_run(run->folder_)) {
    return core::fail({.file = run->folder_.string()}, "the folder holds a run that was begun and not finished",
                      "continue it with --resume, or choose another --out");
  }
  if (const auto free = text::check_target_folder(run->folder_, policy); !free) return tl::unexpected(free.error());
  if (options.resume) text::remove_abandoned_staging(run->folder_);
  if (options.resume && fs::exists(run->folder_ / runs::kManifestName)) {
    const auto begun = runs::read_manifest(run->folder_);
    if (!begun) return tl::unexpected(begun.error());
    if (core::Diagnostics differences = runs::check_continues(*begun, manifest, run->folder_); !differences.empty()) {
      return tl::unexpected(std::move(differences));
    }
    if (const auto other = check_same_study(study, run->folder_); !other.empty()) return tl::unexpected(other);
    run->is_finished_ = begun->state == runs::RunState::finished;
    if (run->is_finished_) return run;
  } else {
    runs::RunFiles files;
    files.manifest = manifest;
    files.manifest.state = runs::RunState::begun;
    files.study_yaml = resolved_study(study, run->folder_);
    run->made_folder_ = !fs::exists(run->folder_);
    if (const auto written = runs::write_run_folder(run->folder_, policy, files); !written) return tl::unexpected(written.error());
  }
  if (const auto opened = run->open_store(options); !opened) {
    run->abandon();
    return tl::unexpected(opened.error());
  }
  return run;
}

BegunRun::~BegunRun() { close_store(); }

core::Result<void> BegunRun::open_store(const RunOptions& options) {
  if (options.replay) on_miss_ = calibrate::OnMiss::refuse;
  auto store = options.replay ? runs::read_evaluation_store(*options.replay)
                              : runs::open_evaluation_store(options.store ? fs::path(*options.store) : folder_ / runs::kJournalName);
  if (!store) return tl::unexpected(store.error());
  store_ = *std::move(store);
  return {};
}

calibrate::StoreUse BegunRun::store() { return {.store = store_.get(), .on_miss = on_miss_, .counts = &counts_}; }

void BegunRun::close_store() {
  if (!store_) return;
  store_->flush();
  print_errors(store_->problems());
  store_.reset();
}

std::string BegunRun::store_summary() const {
  if (on_miss_ == calibrate::OnMiss::refuse) {
    return fmt::format("replayed      {} evaluations from the store; {} were not in it and refused\n", counts_.found, counts_.missed);
  }
  if (!may_know_ || counts_.found == 0) return "";
  return fmt::format("evaluations   {} taken from the store, {} computed\n", counts_.found, counts_.missed);
}

void BegunRun::abandon() {
  store_.reset();
  std::error_code ignored;
  if (made_folder_) fs::remove_all(folder_, ignored);
}

}  // namespace rooftune::app
