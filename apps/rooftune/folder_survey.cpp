#include "folder_survey.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "file_kind.hpp"
#include "rooftune/data/kernel_tables.hpp"
#include "rooftune/importers/recognise.hpp"
#include "rooftune/text/files.hpp"

namespace rooftune::app {
namespace {

namespace fs = std::filesystem;

constexpr int kDeepest = 6;
/// A folder of results holds fewer; "/" and a home folder hold more (docs/limits.md).
constexpr std::size_t kMostEntries = 20'000;
/// Of files that people keep beside results and that hold none.
constexpr std::array<std::string_view, 12> kNoData{".png", ".svg",   ".pdf", ".md",  ".html", ".py",
                                                   ".sh",  ".ipynb", ".gz",  ".zip", ".tar",  ".safetensors"};

/// A folder of kernel tables in our layout or in the field's.
bool is_of_kernel_tables(const fs::path& folder) {
  return data::holds_kernel_tables(folder) || text::exists(folder / "gemm") || text::exists(folder / "mha") ||
         (text::exists(folder / "compute") && text::exists(folder / "network"));  // Vidur's
}

class Surveyor {
 public:
  explicit Surveyor(fs::path left_out) : left_out_(std::move(left_out)) {}

  FolderSurvey survey(const fs::path& folder) {
    if (entries_below(folder, 0) > kMostEntries) {
      found_.problems.push_back({.position = {.file = folder.string()},
                                 .problem = fmt::format("more than {} files and folders lie here", kMostEntries),
                                 .remedy = "name the folder of the results alone"});
      return std::move(found_);
    }
    look_into(folder, 0);
    for (FoundResult& result : found_.results) result.log = log_of(result.path);
    return std::move(found_);
  }

 private:
  /// Counted before anything is opened, and not beyond the limit.
  static std::size_t entries_below(const fs::path& folder, int depth) {
    std::error_code failed;
    const std::vector<fs::path> entries = text::entries_of(folder, failed);
    std::size_t count = entries.size();
    for (const fs::path& entry : entries) {
      if (count > kMostEntries || depth == kDeepest) break;
      if (!entry.filename().string().starts_with('.') && text::is_folder(entry)) count += entries_below(entry, depth + 1);
    }
    return count;
  }

  void look_into(const fs::path& folder, int depth) {
    std::error_code failed;
    const std::vector<fs::path> entries = text::entries_of(folder, failed);  // none where the folder may not be read
    const bool is_model = text::exists(folder / "config.json") && is_kind(folder / "config.json", FileKind::model);
    if (is_model) found_.models.push_back(folder);
    for (const fs::path& entry : entries) {
      if (entry.filename().string().starts_with('.') || entry == left_out_) continue;
      if (fs::is_directory(entry, failed)) {
        look_at_folder(entry, depth);
      } else if (!is_model) {
        look_at_file(entry);
      }
    }
  }

  void look_at_folder(const fs::path& folder, int depth) {
    if (const auto report = importers::recognise(folder)) {
      found_.results.push_back({.path = folder, .format = *report->format});
      // A server's log may lie in the report's folder.
      std::error_code failed;
      for (const fs::path& entry : text::entries_of(folder, failed)) {
        const std::string suffix = entry.extension().string();
        if (suffix != ".log" && suffix != ".txt") continue;
        const auto file = importers::recognise(entry);
        if (file && file->is_server_log) found_.logs.push_back(entry);
      }
    } else if (is_of_kernel_tables(folder)) {
      found_.kernel_tables.push_back(folder);
    } else if (depth < kDeepest) {
      look_into(folder, depth + 1);
    }
  }

  void look_at_file(const fs::path& file) {
    if (std::ranges::find(kNoData, file.extension().string()) != kNoData.end()) return found_.others.push_back(file);
    // A trace's header goes with its table.
    const bool is_header = file.extension() == ".yaml" && text::exists(fs::path(file).replace_extension(".csv"));
    const auto result = importers::recognise(file);
    if (result && result->is_server_log) return found_.logs.push_back(file);
    if (result && result->format) {
      if (is_header && *result->format == importers::ImportFormat::blis_trace) return;
      found_.results.push_back({.path = file, .format = *result->format});
      return;
    }
    const std::string suffix = file.extension().string();
    const bool may_be_ours = suffix == ".json" || suffix == ".yaml" || suffix == ".yml";
    const auto kind = may_be_ours ? recognise(file) : core::Result<FileKind>(tl::unexpected(core::Diagnostics{}));
    if (!kind) return found_.others.push_back(file);
    switch (*kind) {
      case FileKind::ground_truth: return found_.ground_truth.push_back(file);
      case FileKind::gpus: return found_.gpus.push_back(file);
      case FileKind::config: return found_.hardware_configs.push_back(file);
      case FileKind::model: return found_.models.push_back(file);
      case FileKind::study:
      case FileKind::manifest: return found_.others.push_back(file);
    }
  }

  static bool is_kind(const fs::path& file, FileKind wanted) {
    const auto kind = recognise(file);
    return kind && *kind == wanted;
  }

  /// The log in the result's folder, else in the nearest folder above that holds one, else the only one.
  std::optional<fs::path> log_of(const fs::path& result) const {
    std::error_code ignored;
    for (fs::path folder = fs::is_directory(result, ignored) ? result : result.parent_path(); folder.has_relative_path();
         folder = folder.parent_path()) {
      std::vector<fs::path> here;
      for (const fs::path& log : found_.logs) {
        if (log.parent_path() == folder) here.push_back(log);
      }
      if (here.size() > 1) std::erase_if(here, [&](const fs::path& log) { return log.stem() != result.stem(); });
      if (here.size() == 1) return here.front();
      if (folder == folder.parent_path()) break;
    }
    return found_.logs.size() == 1 ? std::optional(found_.logs.front()) : std::nullopt;
  }

  fs::path left_out_;
  FolderSurvey found_;
};

}  // namespace

FolderSurvey survey(const fs::path& folder, const fs::path& left_out) { return Surveyor(left_out).survey(folder); }

}  // namespace rooftune::app
