#include "rooftune/importers/import.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <set>

#include "recorded_run.hpp"
#include "rooftune/core/contract.hpp"
#include "rooftune/core/hash.hpp"
#include "rooftune/core/printable.hpp"
#include "rooftune/data/ground_truth.hpp"
#include "rooftune/importers/recognise.hpp"
#include "rooftune/text/atomic_file.hpp"
#include "rooftune/text/files.hpp"

namespace rooftune::importers {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kContentDigits = 8;

core::Result<std::vector<RecordedRun>> read_one(ImportFormat format, const fs::path& input) {
  switch (format) {
    case ImportFormat::guidellm: return read_guidellm(input);
    case ImportFormat::inference_perf: return read_inference_perf(input);
    case ImportFormat::vllm_bench:
    case ImportFormat::sglang: return read_vllm_bench(input);
    case ImportFormat::vllm_console: return read_vllm_console(input);
    case ImportFormat::aiperf: return read_aiperf(input);
    case ImportFormat::llmd: return read_llmd_report(input);
    case ImportFormat::inferencex: return read_inferencex(input);
    case ImportFormat::blis: return read_blis(input);
    case ImportFormat::blis_trace: return read_blis_trace(input);
    case ImportFormat::otel: break;
  }
  return std::vector<RecordedRun>{};
}

std::vector<RecordedRun> read_all(ImportFormat format, std::span<const fs::path> inputs, const ImportOptions& options,
                                  core::Diagnostics& errors) {
  std::vector<RecordedRun> runs;
  const auto take = [&](core::Result<std::vector<RecordedRun>> read) {
    if (!read) return append(errors, read.error());
    for (RecordedRun& run : *read) std::ranges::move(part_client_limited(std::move(run)), std::back_inserter(runs));
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

/// The experiment that a place in what is written belongs to: the one whose table it is, or the one whose line it is.
std::size_t experiment_at(const core::SourcePosition& position, const ImportedGroundTruth& imported, std::string_view text) {
  const auto table =
      std::ranges::find(imported.experiments, fs::path(position.file).filename().string(), &data::WrittenExperiment::table);
  if (table != imported.experiments.end()) return static_cast<std::size_t>(table - imported.experiments.begin());
  std::size_t begun = 0;  // each experiment starts a line of its own
  int line = 1;
  for (std::size_t start = 0; start < text.size() && line <= position.line; ++line) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    if (text.substr(start, end - start).starts_with("  {")) ++begun;
    start = end + 1;
  }
  return begun == 0 || begun > imported.experiments.size() ? 0 : begun - 1;
}

/// Nobody has seen the file that is written: what its reader finds is said about the file that the experiment came from.
void place_in_source(core::Diagnostic& found, const ImportedGroundTruth& imported, std::string_view text) {
  const std::size_t experiment = experiment_at(found.position, imported, text);
  if (experiment >= imported.sources.size()) return;
  found.position = {.file = imported.sources[experiment]};
  found.problem = fmt::format("experiment '{}': {}", imported.experiments[experiment].experiment.id, found.problem);
}

/// Tables are named by their content, "x.1a2b3c4d.csv": none is ever written over, so renaming the JSON that names them is the one
/// moment in which ground truth and tables change, together. Ids come from anywhere and lead nowhere.
void name_tables_by_content(ImportedGroundTruth& imported) {
  for (ImportedTable& table : imported.tables) {
    std::string stem = core::printable(table.name.substr(0, table.name.rfind(".csv")));
    std::ranges::replace_if(
        stem, [](char c) { return c == '/' || c == '\n'; }, '_');
    if (stem.starts_with('.')) stem.front() = '_';
    const std::string name = fmt::format("{}.{}.csv", stem, core::sha256_hex(table.csv).substr(0, kContentDigits));
    for (data::WrittenExperiment& written : imported.experiments) {
      if (written.table == table.name) written.table = name;
    }
    table.name = name;
  }
}

/// Removes other tables of these experiments: of the ground truth that was replaced, or of an import that was killed before its JSON
/// had named them.
void remove_former_tables(const ImportedGroundTruth& imported, const fs::path& folder) {
  std::error_code ignored;
  const auto stem_of = [](const std::string& name) {  // "x" of "x.1a2b3c4d.csv"
    constexpr std::size_t kEnding = kContentDigits + 5;
    const std::size_t dot = name.size() < kEnding ? 0 : name.size() - kEnding;
    const bool has_digits = name.find_first_not_of("0123456789abcdef", dot + 1) == name.size() - 4;
    return name.size() > kEnding && name.ends_with(".csv") && name[dot] == '.' && has_digits ? name.substr(0, dot) : std::string();
  };
  for (const fs::path& entry : text::entries_of(folder, ignored)) {
    const std::string name = entry.filename().string();
    const auto is_same = [&](const ImportedTable& table) { return table.name != name && stem_of(table.name) == stem_of(name); };
    const bool is_named = std::ranges::find(imported.tables, name, &ImportedTable::name) != imported.tables.end();
    if (!is_named && !stem_of(name).empty() && std::ranges::any_of(imported.tables, is_same)) fs::remove(entry, ignored);
  }
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
    if (diagnostic.position.file.starts_with(staged->staging_path().string())) place_in_source(diagnostic, imported, text);
  }
  if (!ground_truth) return tl::unexpected(std::move(ground_truth.error()));
  return std::move(ground_truth->warnings);
}

/// Inputs of one format.
struct Inputs {
  ImportFormat format;
  std::vector<fs::path> paths;
};

core::Result<ImportedGroundTruth> import_all(std::span<const Inputs> all, const ImportOptions& options) {
  core::Diagnostics errors = check(options);
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  ImportedGroundTruth result;
  VllmLog log;
  if (options.vllm_log) {
    auto read = read_vllm_log(*options.vllm_log);
    if (read) {
      log = *std::move(read);
      append(result.warnings, log.warnings);
      for (const std::string& text : log.assumptions) result.assumptions.push_back(fmt::format("{}: {}", log.file, text));
    } else {
      append(errors, read.error());
    }
  }
  std::vector<RecordedRun> runs;
  for (const Inputs& inputs : all) std::ranges::move(read_all(inputs.format, inputs.paths, options, errors), std::back_inserter(runs));
  check_ids(runs, options, errors);
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  for (RecordedRun& run : runs) assemble(std::move(run), log, options, result, errors);
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  name_tables_by_content(result);
  return result;
}

}  // namespace

core::Result<ImportedGroundTruth> import_benchmarks(ImportFormat format, std::span<const fs::path> inputs,
                                                    const ImportOptions& options) {
  ROOFTUNE_EXPECTS(!options.stage_gap_s || format == ImportFormat::otel);
  return import_all(std::array{Inputs{.format = format, .paths = {inputs.begin(), inputs.end()}}}, options);
}

core::Result<ImportedGroundTruth> import_recognised(std::span<const fs::path> inputs, ImportOptions options) {
  core::Diagnostics errors;
  std::vector<Inputs> all;
  std::vector<std::string> said;
  for (const fs::path& input : inputs) {
    const auto found = recognise(input);
    if (!found) {
      append(errors, found.error());
    } else if (found->is_server_log) {
      if (options.vllm_log && *options.vllm_log != input) {
        errors.push_back({.position = {.file = input.string()},
                          .problem = fmt::format("a second log of a server, beside {}", options.vllm_log->string()),
                          .remedy = "import the runs of each server on their own"});
      }
      options.vllm_log = input;
      said.push_back(fmt::format("{} is a vLLM server's log", input.string()));
    } else {
      const auto same = std::ranges::find(all, *found->format, &Inputs::format);
      if (same != all.end()) {
        same->paths.push_back(input);
      } else {
        all.push_back({.format = *found->format, .paths = {input}});
      }
      said.push_back(fmt::format("{} is of the format {}", input.string(), core::word_of(kImportFormats, *found->format)));
    }
  }
  if (errors.empty() && all.empty()) {
    errors.push_back({.position = {.file = inputs.front().string()},
                      .problem = "a server's log alone holds no measurement",
                      .remedy = "name the result of a load generator beside it"});
  }
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  auto imported = import_all(all, options);
  if (imported) imported->assumptions.insert(imported->assumptions.begin(), said.begin(), said.end());
  return imported;
}

core::Result<core::Diagnostics> write_ground_truth(const ImportedGroundTruth& imported, const fs::path& file, ExistingFile policy,
                                                   std::span<const text::NewFile> beside) {
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
  std::vector<text::NewFile> files{{.path = file, .text = text}};
  files.insert(files.end(), beside.begin(), beside.end());
  if (auto written = text::write_files_together(files); !written) return tl::unexpected(written.error());
  remove_former_tables(imported, file.parent_path() / table_folder(file));
  return warnings;
}

}  // namespace rooftune::importers
