#include "rooftune/runs/run_folder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "rooftune/core/hash.hpp"
#include "rooftune/core/limits.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/text/document.hpp"
#include "rooftune/text/json_text.hpp"
#include "rooftune/text/object_reader.hpp"

namespace rooftune::runs {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::string_view kManifestSchema = "rooftune/manifest/1";

constexpr std::array<text::Choice<RunState>, 3> kStates{{
    {"begun", RunState::begun},
    {"interrupted", RunState::interrupted},
    {"finished", RunState::finished},
}};

core::Result<InputFile> hash_file(const fs::path& path) {
  const auto text = text::read_bytes(path, core::limits::kFileBytes);
  if (!text) return tl::unexpected(text.error());
  return InputFile{.path = path.string(), .sha256 = core::sha256_hex(*text)};
}

std::map<std::string, std::string> read_versions(const text::Node& object, text::Problems& problems) {
  std::map<std::string, std::string> versions;
  for (const text::Member& member : object.members)
    text::convert(member.value, fmt::format("'{}'", member.key), versions[member.key], problems);
  return versions;
}

/// Texts that may be empty or look like numbers: command-line arguments.
std::vector<std::string> read_arguments(std::span<const text::Node> items) {
  std::vector<std::string> arguments;
  for (const text::Node& item : items) arguments.push_back(item.text);
  return arguments;
}

core::Result<RunManifest> manifest_of(const text::Document& document) {
  text::Problems problems(document.file);
  RunManifest manifest;
  {
    text::ObjectReader reader(document.root, problems, "the manifest");
    std::string schema;
    if (reader.required("schema", schema) && schema != kManifestSchema) {
      problems.error(reader.find("schema")->place, fmt::format("the schema is '{}'", schema),
                     fmt::format("this version reads '{}'", kManifestSchema));
    }
    reader.required_choice("state", manifest.state, std::span<const text::Choice<RunState>>(kStates));
    reader.required("command", manifest.command);
    manifest.arguments = read_arguments(reader.optional_list("arguments"));
    reader.required("seed", manifest.seed);
    reader.required("threads", manifest.threads, text::at_least(0));
    reader.required("replicates", manifest.replicates, text::at_least(1));
    reader.required("limited_by_time", manifest.limited_by_time);
    if (const text::Node* versions = reader.optional_object("versions")) manifest.versions = read_versions(*versions, problems);
    reader.required("simulator_identity", manifest.simulator_identity);
    for (const text::Node& item : reader.optional_list("inputs")) {
      InputFile input;
      text::ObjectReader input_reader(item, problems, "an input");
      input_reader.required("path", input.path);
      input_reader.required("sha256", input.sha256);
      manifest.inputs.push_back(std::move(input));
    }
  }
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  return manifest;
}

/// The hash of `path` among `inputs`, or an empty view.
std::string_view hash_of(const std::vector<InputFile>& inputs, std::string_view path) {
  const auto found = std::ranges::find(inputs, path, &InputFile::path);
  return found == inputs.end() ? std::string_view() : std::string_view(found->sha256);
}

}  // namespace

std::string_view run_state_name(RunState state) { return core::word_of(kStates, state); }

core::Result<std::vector<InputFile>> hash_input(const fs::path& path) {
  std::vector<fs::path> files;
  std::error_code failed;
  if (fs::is_directory(path, failed)) {
    for (fs::recursive_directory_iterator entry(path, failed), end; !failed && entry != end; entry.increment(failed)) {
      if (entry->is_regular_file(failed)) files.push_back(entry->path());
    }
    if (failed) {
      return core::fail({.file = path.string()}, fmt::format("cannot be read: {}", failed.message()),
                        "check the path and its permissions");
    }
    // The order in which a file system lists its files is its own.
    std::ranges::sort(files);
  } else {
    files.push_back(path);
  }
  std::vector<InputFile> inputs;
  core::Diagnostics problems;
  for (const fs::path& file : files) {
    auto input = hash_file(file);
    if (input) {
      inputs.push_back(*std::move(input));
    } else {
      problems.insert(problems.end(), input.error().begin(), input.error().end());
    }
  }
  if (!problems.empty()) return tl::unexpected(std::move(problems));
  return inputs;
}

std::string manifest_text(const RunManifest& manifest) {
  Json inputs = Json::array();
  for (const InputFile& input : manifest.inputs) inputs.push_back({{"path", input.path}, {"sha256", input.sha256}});
  return text::json_text({
      {"schema", kManifestSchema},
      {"state", run_state_name(manifest.state)},
      {"command", manifest.command},
      {"arguments", manifest.arguments},
      {"seed", manifest.seed},
      {"threads", manifest.threads},
      {"replicates", manifest.replicates},
      {"limited_by_time", manifest.limited_by_time},
      {"versions", manifest.versions},
      {"simulator_identity", manifest.simulator_identity},
      {"inputs", inputs},
  });
}

core::Result<RunManifest> parse_manifest(std::string_view text, const std::string& file) {
  return text::parse_document(text, file, text::Syntax::json).and_then(manifest_of);
}

core::Result<RunManifest> read_manifest(const fs::path& run_folder) { return read_manifest_file(run_folder / kManifestName); }

core::Result<RunManifest> read_manifest_file(const fs::path& file) { return text::read_document(file).and_then(manifest_of); }

core::Diagnostics check_continues(const RunManifest& begun, const RunManifest& now, const fs::path& run_folder) {
  core::Diagnostics problems;
  const auto report = [&](std::string problem) {
    problems.push_back({.position = {.file = (run_folder / kManifestName).string()},
                        .problem = std::move(problem),
                        .remedy = "undo that, or start afresh with another --out",
                        .severity = core::Severity::error});
  };
  if (begun.command != now.command) report(fmt::format("the run was begun as '{}', not '{}'", begun.command, now.command));
  if (begun.seed != now.seed) report(fmt::format("the run was begun with seed {}, not {}", begun.seed, now.seed));
  if (begun.replicates != now.replicates) {
    report(fmt::format("the run was begun with {} replicates, not {}", begun.replicates, now.replicates));
  }
  if (begun.simulator_identity != now.simulator_identity) report("the run was begun with a simulator that predicts differently");
  for (const InputFile& input : begun.inputs) {
    const std::string_view hash = hash_of(now.inputs, input.path);
    if (hash.empty()) report(fmt::format("the run was begun with the input '{}', which is no longer used", input.path));
    if (!hash.empty() && hash != input.sha256) report(fmt::format("the input '{}' has changed since the run was begun", input.path));
  }
  for (const InputFile& input : now.inputs) {
    if (hash_of(begun.inputs, input.path).empty()) report(fmt::format("the run was begun without the input '{}'", input.path));
  }
  return problems;
}

core::Result<void> write_run_files(const text::StagedFolder& folder, const RunFiles& files) {
  const std::string manifest = manifest_text(files.manifest);
  const std::pair<std::string_view, const std::optional<std::string>*> texts[] = {
      {kStudyName, &files.study_yaml},           {kResultName, &files.result_json},
      {kTunedConfigName, &files.tuned_json},     {kHardwareConfigName, &files.hardware_config_json},
      {kEvaluationName, &files.evaluation_json}, {kEvaluationTableName, &files.evaluation_csv},
      {kReportName, &files.report_html},
  };
  for (const auto& [name, text] : texts) {
    if (!*text) continue;
    if (auto written = folder.write(name, **text); !written) return written;
  }
  return folder.write(kManifestName, manifest);
}

core::Result<void> write_run_folder(const fs::path& target, text::ExistingFolder policy, const RunFiles& files) {
  auto folder = text::StagedFolder::open(target, policy);
  if (!folder) return tl::unexpected(std::move(folder).error());
  if (auto written = write_run_files(*folder, files); !written) return written;
  return folder->commit();
}

}  // namespace rooftune::runs
