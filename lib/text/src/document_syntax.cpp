#include "document_syntax.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "rooftune/core/printable.hpp"

namespace rooftune::text {
namespace {

/// Fewer keys are compared faster than hashed.
constexpr std::size_t kFewKeys = 32;

}  // namespace

const Place* Members::find(const Node& object, const std::string& key) {
  if (object.members.size() < kFewKeys) {
    const auto first = std::ranges::find(object.members, key, &Member::key);
    return first == object.members.end() ? nullptr : &first->place;
  }
  for (; indexed_ < object.members.size(); ++indexed_) places_.emplace(object.members[indexed_].key, object.members[indexed_].place);
  const auto found = places_.find(key);
  return found == places_.end() ? nullptr : &found->second;
}

void Members::add(Node& object, Member member, const std::string& file, core::Diagnostics& problems) {
  if (const Place* first = find(object, member.key)) {
    add_problem(problems, file, member.place,
                fmt::format("duplicate key '{}', first given in line {}", core::shown(member.key), first->line), "keep one of them");
    return;
  }
  object.members.push_back(std::move(member));
}

void add_problem(core::Diagnostics& problems, const std::string& file, Place place, std::string problem, std::string remedy) {
  if (problems.size() >= core::limits::kMessages) return;
  problems.push_back(
      {.position = {file, place.line, place.column}, .problem = std::move(problem), .remedy = std::move(remedy), .severity = {}});
}

core::Diagnostic nesting_problem(std::string file, Place place) {
  return {.position = {std::move(file), place.line, place.column},
          .problem = fmt::format("nested deeper than {} levels", core::limits::kNesting),
          .remedy = "check that this is the right file"};
}

core::Diagnostic too_many_values(std::string file, Place place) {
  return {.position = {std::move(file), place.line, place.column},
          .problem = fmt::format("the file holds more than {} values", core::limits::kValues),
          .remedy = "split it"};
}

}  // namespace rooftune::text
