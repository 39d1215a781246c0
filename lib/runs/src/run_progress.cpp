#include "rooftune/runs/run_progress.hpp"

#include <nlohmann/json.hpp>

#include "rooftune/text/atomic_file.hpp"
#include "rooftune/text/document.hpp"
#include "rooftune/text/files.hpp"
#include "rooftune/text/json_text.hpp"
#include "rooftune/text/object_reader.hpp"

namespace rooftune::runs {
namespace {

constexpr std::string_view kProgressSchema = "rooftune/progress/1";

}  // namespace

void write_progress(const std::filesystem::path& run_folder, const RunProgress& progress) {
  nlohmann::ordered_json json{{"schema", kProgressSchema}, {"parts", progress.parts},       {"finished", progress.finished},
                              {"of", progress.of},         {"computed", progress.computed}, {"found", progress.found}};
  if (progress.objective) json["objective"] = *progress.objective;
  static_cast<void>(text::write_file_atomically(run_folder / kProgressName, text::json_text(json)));
}

std::optional<RunProgress> read_progress(const std::filesystem::path& run_folder) {
  const std::filesystem::path file = run_folder / kProgressName;
  if (!text::exists(file)) return std::nullopt;
  const auto document = text::read_document(file);
  if (!document) return std::nullopt;
  RunProgress progress;
  text::Problems problems(document->file);
  {
    text::ObjectReader reader(document->root, problems, "the progress");
    std::string schema;
    reader.required("schema", schema);
    reader.required("parts", progress.parts);
    reader.required("finished", progress.finished);
    reader.required("of", progress.of);
    reader.optional("objective", progress.objective);
    reader.required("computed", progress.computed);
    reader.required("found", progress.found);
    if (schema != kProgressSchema) return std::nullopt;
  }
  if (problems.has_errors()) return std::nullopt;
  return progress;
}

}  // namespace rooftune::runs
