#include "rooftune/text/words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "rooftune/core/letters.hpp"

namespace rooftune::text {

bool convert_word(const Node& node, std::string_view name, std::string& target, std::span<const std::string_view> known,
                  Problems& problems) {
  if (node.kind == Node::Kind::scalar) {
    const auto found = std::ranges::find_if(known, [&](std::string_view word) { return core::same_word(word, node.text); });
    if (found != known.end()) {
      target = *found;
      return true;
    }
  }
  problems.error(node.place, fmt::format("'{}' is {}, which is not one of its values", name, describe(node)),
                 core::suggest(node.text, {known.begin(), known.end()}));
  return false;
}

}  // namespace rooftune::text
