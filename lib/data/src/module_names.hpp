#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/domain/model.hpp"
#include "rooftune/text/object_reader.hpp"
#include "rooftune/text/pattern.hpp"

namespace rooftune::data {

/// What checkpoints call the modules that one matrix of a layer is made of, without what stands before the layer's own name
/// ("self_attn.q_proj"): every family's name, since a pattern of one does not match another's. `experts` are a matrix here.
[[nodiscard]] std::vector<std::string_view> module_names(std::string_view matrix, const domain::Layer& layer);

/// Names of modules in a checkpoint's quantisation: exact, a parent ("model.layers.3"), one component of a name ("gate"), with
/// shell wildcards, or "re:" and an expression that must match from the start (compressed-tensors), as vLLM matches them.
class ModuleList {
 public:
  ModuleList() = default;
  ModuleList(const std::vector<std::string>& entries, text::Place place, text::Problems& problems);

  [[nodiscard]] bool is_empty() const { return names_.empty() && components_.empty() && wildcards_.empty() && patterns_.empty(); }
  /// Modules whose names contain one of `parts` (AWQ).
  [[nodiscard]] static ModuleList containing(const std::vector<std::string>& parts);
  /// Whether any of the names that `module` of layer `layer` may have is in the list. What stands before "layers." is what the
  /// entries themselves have there; modules of towers have other prefixes and never match.
  [[nodiscard]] bool covers(int layer, std::string_view module) const;

 private:
  [[nodiscard]] bool covers_full(const std::string& name) const;

  std::set<std::string, std::less<>> names_;
  std::set<std::string, std::less<>> components_;
  std::vector<text::Pattern> wildcards_;  ///< of whole names
  std::vector<text::Pattern> patterns_;   ///< of their beginnings
  std::vector<std::string> parts_;        ///< anywhere in a name
  std::set<std::string> prefixes_{"model."};
};

}  // namespace rooftune::data
