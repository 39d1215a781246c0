#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

#include "rooftune/core/limits.hpp"
#include "rooftune/text/document.hpp"

namespace rooftune::text {

[[nodiscard]] core::Result<Document> parse_json(std::string_view text, std::string file);
/// The same for JSON as Python writes it.
[[nodiscard]] core::Result<Document> parse_json_of_python(std::string_view text, std::string file);
[[nodiscard]] core::Result<Document> parse_yaml(std::string_view text, std::string file);

/// Collects the members of one object, and finds repeated keys without comparing each with all others.
class Members {
 public:
  /// Adds the member to `object`, or reports that its key is there already.
  void add(Node& object, Member member, const std::string& file, core::Diagnostics& problems);

 private:
  [[nodiscard]] const Place* find(const Node& object, const std::string& key);

  std::unordered_map<std::string, Place> places_;  ///< of the first keys; empty while there are few
  std::size_t indexed_ = 0;
};

/// Adds a problem unless there are limits::kMessages already: whoever mends those sees the next.
void add_problem(core::Diagnostics& problems, const std::string& file, Place place, std::string problem, std::string remedy);

[[nodiscard]] core::Diagnostic nesting_problem(std::string file, Place place);
[[nodiscard]] core::Diagnostic too_many_values(std::string file, Place place);

}  // namespace rooftune::text
