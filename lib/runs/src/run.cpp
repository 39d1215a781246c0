#include "rooftune/runs/run.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "rooftune/core/printable.hpp"
#include "rooftune/data/config_file.hpp"
#include "rooftune/runs/evaluation_file.hpp"
#include "rooftune/runs/evaluation_store.hpp"
#include "rooftune/runs/interruption.hpp"
#include "rooftune/runs/kept_config.hpp"
#include "rooftune/runs/outcome.hpp"
#include "rooftune/runs/store_over_ranks.hpp"
#include "rooftune/runs/study_file.hpp"
#include "rooftune/sim/simulate.hpp"
#include "rooftune/text/document.hpp"
#include "rooftune/text/files.hpp"
#include "tuned_config.hpp"

namespace rooftune::runs {
namespace {

namespace fs = std::filesystem;

fs::path default_folder(const std::string& study, std::string_view command) {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  const std::string between = command == "fit" ? "" : fmt::format("-{}", command);
  // A study may come from anybody: its name is one folder below runs/, whatever it says.
  constexpr std::size_t kLongestName = 100;
  std::string name = core::printable(study).substr(0, kLongestName);
  std::ranges::replace_if(
      name, [](char c) { return c == '/' || c == '\n'; }, '_');
  if (name.empty() || name.front() == '.' || name.front() == '-') name.insert(0, "_");
  return fs::path("runs") / fmt::format("{}{}-{:%Y%m%dT%H%M%SZ}", name, between, fmt::gmtime(now));
}

RunManifest manifest_of(const OpenedStudy& study, std::string_view command, const RunOptions& options) {
  const calibrate::StudySpec& spec = study.prepared.spec;
  RunManifest manifest;
  manifest.command = command;
  manifest.arguments = options.arguments;
  manifest.inputs = study.files;
  manifest.versions = versions();
  manifest.simulator_identity = sim::simulator_identity();
  manifest.seed = spec.seed;
  manifest.threads = spec.threads;
  manifest.replicates = spec.replicates;
  return manifest;
}

/// The study as its run folder keeps it: everything written out, paths counting from the folder.
std::string resolved(const calibrate::StudySpec& spec, const fs::path& folder) {
  return study_text(with_paths_from(spec, ".", folder));
}

/// Whether the folder holds a run that was begun and can go on.
bool holds_unfinished_run(const fs::path& folder) {
  if (!text::exists(folder / kManifestName)) return false;
  const auto manifest = read_manifest(folder);
  return manifest && manifest->state != RunState::finished;
}

/// The resolved study but for `threads`, on which no result depends.
std::string without_threads(std::string text) {
  const std::size_t begin = text.rfind("\nthreads: ");
  if (begin != std::string::npos) text.erase(begin, text.find('\n', begin + 1) - begin);
  return text;
}

/// Options may change a study whose file is the same.
core::Result<void> check_same_study(const calibrate::StudySpec& spec, const fs::path& folder) {
  const auto begun = text::read_text(folder / kStudyName);
  if (!begun) return tl::unexpected(begun.error());
  if (without_threads(*begun) == without_threads(resolved(spec, folder))) return {};
  return core::fail({.file = (folder / kStudyName).string()}, "the options make another study of the file than the run was begun with",
                    "give the same options as then, or start afresh with another --out");
}

}  // namespace

core::Result<std::unique_ptr<Run>> begin(const OpenedStudy& study, std::string_view command, Keeps keeps, const RunOptions& options) {
  std::unique_ptr<Run> run(new Run(study, command, keeps, options));
  if (const auto opened = run->open_folder(); !opened) return tl::unexpected(opened.error());
  if (keeps != Keeps::evaluations || run->is_finished_) return run;
  if (const auto opened = run->open_store(); !opened) {
    run->abandon();
    return tl::unexpected(opened.error());
  }
  return run;
}

Run::Run(const OpenedStudy& study, std::string_view command, Keeps keeps, const RunOptions& options)
    : study_(study),
      options_(options),
      keeps_(keeps),
      manifest_(manifest_of(study, command, options)),
      folder_(options.folder.value_or(default_folder(study.prepared.spec.name, command))) {}

Run::~Run() {
  set_way_on_after_interruption({});
  close_store();
}

core::Result<void> Run::open_folder() {
  const auto policy = options_.resume ? text::ExistingFolder::resume : text::ExistingFolder::refuse;
  if (!options_.resume && holds_unfinished_run(folder_)) {
    return core::fail({.file = folder_.string()}, "the folder holds a run that was begun and not finished",
                      "continue it with --resume, or choose another --out");
  }
  if (auto free = text::check_target_folder(folder_, policy); !free) return free;
  if (keeps_ == Keeps::nothing) return {};
  if (auto owned = own(folder_); !owned) return owned;
  if (options_.resume) text::remove_abandoned_staging(folder_);
  if (options_.resume && text::exists(folder_ / kManifestName)) {
    const auto begun = read_manifest(folder_);
    if (!begun) return tl::unexpected(begun.error());
    if (core::Diagnostics differences = check_continues(*begun, manifest_, folder_); !differences.empty()) {
      return tl::unexpected(std::move(differences));
    }
    // A journal holds the study that it was begun with, and its command may add to it.
    is_finished_ = keeps_ != Keeps::journal && begun->state == RunState::finished;
    auto same = keeps_ == Keeps::journal ? core::Result<void>{} : check_same_study(study_.prepared.spec, folder_);
    if (!same || begun->state != RunState::interrupted) return same;
    RunManifest goes_on = *begun;
    goes_on.state = RunState::begun;
    return text::write_file_atomically(folder_ / kManifestName, manifest_text(goes_on));
  }
  RunFiles files;
  files.manifest = manifest_;
  files.study_yaml = resolved(study_.prepared.spec, folder_);
  made_folder_ = !text::exists(folder_);
  return write_run_folder(folder_, policy, files);
}

core::Result<void> Run::own(const fs::path& folder) {
  auto lock = text::FolderLock::acquire(folder);
  if (!lock) return tl::unexpected(lock.error());
  locks_.push_back(*std::move(lock));
  set_way_on_after_interruption(fmt::format("what was begun lies in {}: give the same command with its --out and --resume to go on",
                                            core::printable(folder_.string())));
  return {};
}

core::Result<void> Run::open_store() {
  // The journal of another run: that run replaces its folder when it ends, and what was written into it meanwhile would be lost.
  if (const fs::path other = options_.store.value_or("").parent_path(); options_.store && text::exists(other / kManifestName)) {
    std::error_code ignored;
    if (!fs::equivalent(other, folder_, ignored)) {
      if (auto owned = own(other.empty() ? "." : other); !owned) return owned;
    }
  }
  auto store = options_.replay ? read_evaluation_store(*options_.replay)
                               : open_evaluation_store(options_.store.value_or(folder_ / kJournalName));
  if (!store) return tl::unexpected(store.error());
  store_ = *std::move(store);
  if (options_.ranks != nullptr) {
    options_.ranks->answer_with([this](std::string_view message) { return answer_remote_store(message, this->store(), may_know()); });
  }
  return {};
}

calibrate::StoreUse Run::store() {
  return {
      .store = store_.get(), .on_miss = options_.replay ? calibrate::OnMiss::refuse : calibrate::OnMiss::evaluate, .counts = &counts_};
}

core::Diagnostics Run::close_store() {
  if (!store_) return {};
  if (options_.ranks != nullptr) options_.ranks->answer_with({});
  const std::scoped_lock lock(closing_);
  store_->flush();
  core::Diagnostics problems = store_->problems();
  store_.reset();
  return problems;
}

void Run::flush_store() {
  const std::scoped_lock lock(closing_);
  if (store_) store_->flush();
}

void Run::tell(RunProgress progress) {
  if (keeps_ == Keeps::nothing) return;
  constexpr std::chrono::seconds kBetween(1);
  const auto now = std::chrono::steady_clock::now();
  const bool is_all = progress.of > 0 && progress.finished == progress.of;
  if (told_ && now - *told_ < kBetween && !is_all) return;
  told_ = now;
  progress.computed = counts_.missed;
  progress.found = counts_.found;
  write_progress(folder_, progress);
}

std::optional<StoreCounts> Run::store_counts() const {
  const StoreCounts counts{.found = counts_.found, .missed = counts_.missed, .is_replay = options_.replay.has_value()};
  if (!counts.is_replay && (!may_know() || counts.found == 0)) return std::nullopt;
  return counts;
}

core::Result<core::Diagnostics> Run::finish(const Outcome& outcome) {
  const calibrate::StudySpec& spec = outcome.study ? *outcome.study : study_.prepared.spec;
  RunFiles files;
  files.manifest = manifest_;
  files.manifest.state = outcome.is_interrupted ? RunState::interrupted : RunState::finished;
  files.manifest.limited_by_time = outcome.is_limited_by_time;
  files.study_yaml = resolved(spec, folder_);
  files.result_json = outcome.result_json;
  if (outcome.evaluation) {
    files.evaluation_json = evaluation_json(*outcome.evaluation, outcome.peers);
    files.evaluation_csv = evaluation_csv(*outcome.evaluation);
  }
  core::Diagnostics warnings;
  if (outcome.tuned) {
    const params::Config tuned = with_origin(*outcome.tuned, study_, manifest_);
    files.tuned_json = data::config_text(tuned);
    if (auto proven = check_loads_alone(*files.tuned_json, tuned, outcome, study_); !proven) return tl::unexpected(proven.error());
    if (outcome.wants_hardware_config) {
      auto family = data::hardware_config_text(tuned, study_.inputs.gpus);
      if (!family) return tl::unexpected(family.error());
      files.hardware_config_json = std::move(family->text);
      warnings = std::move(family->warnings);
    }
  }
  const auto policy = keeps_ == Keeps::nothing ? text::ExistingFolder::refuse : text::ExistingFolder::resume;
  std::error_code ignored;
  if (told_) fs::remove(folder_ / kProgressName, ignored);
  if (const auto written = write_run_folder(folder_, policy, files); !written) return tl::unexpected(written.error());
  return warnings;
}

void Run::abandon() {
  static_cast<void>(close_store());
  std::error_code ignored;
  if (made_folder_) fs::remove_all(folder_, ignored);
}

params::Config as_kept(const params::Config& tuned, const OpenedStudy& study) {
  return with_origin(tuned, study, manifest_of(study, "", {}));
}

std::map<std::string, std::string> versions() {
  return {{"rooftune", ROOFTUNE_VERSION},
          {"ceres", ROOFTUNE_CERES_VERSION},
          {"nlopt", ROOFTUNE_NLOPT_VERSION},
          {"compiler", ROOFTUNE_COMPILER}};
}

}  // namespace rooftune::runs
