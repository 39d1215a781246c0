#include "document_syntax.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rooftune::text {

void add_member(Node& object, Member member, const std::string& file, core::Diagnostics& problems) {
  const auto first = std::ranges::find(object.members, member.key, &Member::key);
  if (first != object.members.end()) {
    problems.push_back({.position = {file, member.place.line, member.place.column},
                        .problem = fmt::format("duplicate key '{}', first given in line {}", member.key, first->place.line),
                        .remedy = "keep one of them"});
    return;
  }
  object.members.push_back(std::move(member));
}

core::Diagnostic nesting_problem(std::string file, Place place) {
  return {.position = {std::move(file), place.line, place.column},
          .problem = fmt::format("nested deeper than {} levels", kMaxNesting),
          .remedy = "check that this is the right file"};
}

}  // namespace rooftune::text
