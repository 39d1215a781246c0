#include "rooftune/io/checked_files.hpp"

#include <algorithm>

#include "json_text.hpp"

namespace rooftune::io {
namespace {

using Json = nlohmann::ordered_json;

/// 0 means that the place is not known.
Json place(int number) { return number > 0 ? Json(number) : Json(nullptr); }

Json problem_json(const core::Diagnostic& problem) {
  return {{"severity", problem.severity == core::Severity::error ? "error" : "warning"},
          {"file", problem.position.file},
          {"line", place(problem.position.line)},
          {"column", place(problem.position.column)},
          {"problem", problem.problem},
          {"remedy", problem.remedy}};
}

}  // namespace

std::string checked_files_json(const std::vector<CheckedFile>& files) {
  Json checked = Json::array();
  for (const CheckedFile& file : files) {
    Json problems = Json::array();
    for (const core::Diagnostic& problem : file.problems) problems.push_back(problem_json(problem));
    checked.push_back({{"file", file.file}, {"sound", file.is_sound}, {"content", file.content}, {"problems", std::move(problems)}});
  }
  return json_text({{"schema", "rooftune/validation/1"},
                    {"sound", std::ranges::all_of(files, &CheckedFile::is_sound)},
                    {"files", std::move(checked)}});
}

}  // namespace rooftune::io
