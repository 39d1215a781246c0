#include "rooftune/importers/import.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "recorded_run.hpp"
#include "rooftune/core/contract.hpp"
#include "rooftune/data/ground_truth.hpp"
#include "rooftune/text/atomic_file.hpp"

namespace rooftune::importers {
namespace {

namespace fs = std::filesystem;

void append(core::Diagnostics& all, const core::Diagnostics& more) { all.insert(all.end(), more.begin(), more.end()); }

core::Result<std::vector<RecordedRun>> read_one(ImportFormat format, const fs::path& input) {
  switch (format) {
    case ImportFormat::guidellm: return read_guidellm(input);
    case ImportFormat::inference_perf: return read_inference_perf(input);
    case ImportFormat::vllm_bench: return read_vllm_bench(input);
    case ImportFormat::blis: return read_blis(input);
    case ImportFormat::otel: break;
  }
  return std::vector<RecordedRun>{};
}

std::vector<RecordedRun> read_all(ImportFormat format, std::span<const fs::path> inputs, const ImportOptions& options,
                                  core::Diagnostics& errors) {
  std::vector<RecordedRun> runs;
  const auto take = [&](core::Result<std::vector<RecordedRun>> read) {
    if (!read) return append(errors, read.error());
    std::ranges::move(*read, std::back_inserter(runs));
  };
  if (format == ImportFormat::otel) {
    take(read_otel(inputs, options.stage_gap_s));
  } else {
    for (const fs::path& input : inputs) take(read_one(format, input));
  }
  return runs;
}

core::Diagnostics check(const ImportOptions& options) {
  core::Diagnostics errors;
  const std::vector<std::string_view> names = engine_setting_names();
  for (const auto& [name, text] : options.settings) {
    if (std::ranges::find(names, name) != names.end()) continue;
    errors.push_back(
        {.position = {}, .problem = fmt::format("unknown engine setting '{}'", name), .remedy = core::suggest(name, names)});
  }
  return errors;
}

/// Experiments are told apart by their ids.
void check_ids(const std::vector<RecordedRun>& runs, const ImportOptions& options, core::Diagnostics& errors) {
  std::set<std::string> ids;
  for (const RecordedRun& run : runs) {
    if (options.id ? runs.size() > 1 : !ids.insert(run.id).second) {
      errors.push_back({.position = {.file = run.file},
                        .problem = options.id ? fmt::format("one --id, but {} experiments", runs.size())
                                              : fmt::format("two experiments would be called '{}'", run.id),
                        .remedy = "import the files one by one"});
      return;
    }
  }
}

/// Tables lie in a folder named like the JSON file without its suffix.
std::string table_folder(const fs::path& file) { return file.stem().string(); }

core::Result<void> write_tables(const ImportedGroundTruth& imported, const fs::path& folder, std::string_view name) {
  if (imported.tables.empty()) return {};
  std::error_code failed;
  fs::create_directories(folder / name, failed);
  if (failed) return core::fail({.file = (folder / name).string()}, failed.message(), "check the path and its permissions");
  for (const ImportedTable& table : imported.tables) {
    if (auto written = text::write_file_atomically(folder / name / table.name, table.csv); !written) return written;
  }
  return {};
}

/// Reads the texts back from a folder that is thrown away, so that nothing wrong is ever put in place.
core::Result<core::Diagnostics> check_readable(const ImportedGroundTruth& imported, const std::string& text, const fs::path& file) {
  const auto staged =
      text::StagedFolder::open(file.parent_path() / fmt::format("{}.import", file.stem().string()), text::ExistingFolder::refuse);
  if (!staged) return tl::unexpected(staged.error());
  const fs::path copy = staged->staging_path() / file.filename();
  if (auto written = write_tables(imported, staged->staging_path(), table_folder(file)); !written)
    return tl::unexpected(written.error());
  if (auto written = text::write_file_atomically(copy, text); !written) return tl::unexpected(written.error());
  auto ground_truth = data::read_ground_truth(copy);
  core::Diagnostics& found = ground_truth ? ground_truth->warnings : ground_truth.error();
  for (core::Diagnostic& diagnostic : found) {
    if (diagnostic.position.file == copy.string()) diagnostic.position.file = file.string();
  }
  if (!ground_truth) return tl::unexpected(std::move(ground_truth.error()));
  return std::move(ground_truth->warnings);
}

}  // namespace

core::Result<ImportedGroundTruth> import_benchmarks(ImportFormat format, std::span<const fs::path> inputs,
                                                    const ImportOptions& options) {
  ROOFTUNE_EXPECTS(!options.stage_gap_s || format == ImportFormat::otel);
  core::Diagnostics errors = check(options);
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  ImportedGroundTruth result;
  VllmLog log;
  if (options.vllm_log) {
    auto read = read_vllm_log(*options.vllm_log);
    if (read) {
      log = *std::move(read);
      append(result.warnings, log.warnings);
    } else {
      append(errors, read.error());
    }
  }
  std::vector<RecordedRun> runs = read_all(format, inputs, options, errors);
  check_ids(runs, options, errors);
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  for (RecordedRun& run : runs) assemble(std::move(run), log, options, result, errors);
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  return result;
}

core::Result<core::Diagnostics> write_ground_truth(const ImportedGroundTruth& imported, const fs::path& file, ExistingFile policy) {
  std::error_code ignored;
  if (policy == ExistingFile::refuse && fs::exists(file, ignored)) {
    return core::fail({.file = file.string()}, "the file exists", "name another one, or replace it with --force");
  }
  if (!file.has_stem()) return core::fail({.file = file.string()}, "this names no file", "name a JSON file to write");
  std::vector<data::WrittenExperiment> experiments = imported.experiments;
  for (data::WrittenExperiment& written : experiments) {
    if (!written.table.empty()) written.table = table_folder(file) + "/" + written.table;
  }
  const std::string text = data::ground_truth_text(experiments);
  auto warnings = check_readable(imported, text, file);
  if (!warnings) return warnings;
  if (auto written = write_tables(imported, file.parent_path(), table_folder(file)); !written) return tl::unexpected(written.error());
  if (auto written = text::write_file_atomically(file, text); !written) return tl::unexpected(written.error());
  return warnings;
}

}  // namespace rooftune::importers
