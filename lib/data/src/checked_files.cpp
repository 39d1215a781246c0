#include "rooftune/data/checked_files.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "rooftune/text/csv_text.hpp"
#include "rooftune/text/json_pieces.hpp"
#include "rooftune/text/json_text.hpp"

namespace rooftune::data {
namespace {

using Json = nlohmann::ordered_json;

/// 0 means that the place is not known.
Json place(int number) { return number > 0 ? Json(number) : Json(nullptr); }

std::string_view severity_name(const core::Diagnostic& problem) {
  return problem.severity == core::Severity::error ? "error" : "warning";
}

Json problem_json(const core::Diagnostic& problem) {
  return {{"severity", severity_name(problem)},       {"file", problem.position.file}, {"line", place(problem.position.line)},
          {"column", place(problem.position.column)}, {"problem", problem.problem},    {"remedy", problem.remedy}};
}

std::string place_cell(int number) { return number > 0 ? fmt::format("{}", number) : ""; }

}  // namespace

std::string checked_files_json(const std::vector<CheckedFile>& files) {
  Json checked = Json::array();
  for (const CheckedFile& file : files) {
    checked.push_back({{"file", file.file},
                       {"sound", file.is_sound},
                       {"content", file.content},
                       {"problems", text::list_of(file.problems, problem_json)}});
  }
  return text::json_text({{"schema", "rooftune/validation/1"},
                          {"sound", std::ranges::all_of(files, &CheckedFile::is_sound)},
                          {"files", std::move(checked)}});
}

std::string checked_files_csv(const std::vector<CheckedFile>& files) {
  std::string text = "file,sound,content,severity,problem_file,line,column,problem,remedy\n";
  for (const CheckedFile& file : files) {
    const std::string start = fmt::format("{},{},{}", text::csv_cell(file.file), file.is_sound, text::csv_cell(file.content));
    if (file.problems.empty()) text += start + ",,,,,,\n";
    for (const core::Diagnostic& problem : file.problems) {
      text += fmt::format("{},{},{},{},{},{},{}\n", start, severity_name(problem), text::csv_cell(problem.position.file),
                          place_cell(problem.position.line), place_cell(problem.position.column), text::csv_cell(problem.problem),
                          text::csv_cell(problem.remedy));
    }
  }
  return text;
}

}  // namespace rooftune::data
