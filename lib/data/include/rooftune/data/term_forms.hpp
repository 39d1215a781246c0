#pragma once

#include <optional>
#include <vector>

#include "rooftune/params/space.hpp"
#include "rooftune/params/term.hpp"
#include "rooftune/text/form.hpp"

/// The terms that a study or a config adds to step times: `terms`, a list of `{id:, scale:, expression:, bounds:}`.
namespace rooftune::data {

/// Whether an item may also say where a fit starts and what pulls it: studies have fits, configs have values.
enum class TermsIn { study, config };

struct TermItem {
  params::ParameterId id;
  params::FreeParameter free;  ///< of a study: its coefficient as a fit may move it
  text::Place place;
};

/// Reads and declares them (params::declare_term): from here on their ids are known. Those that are wrong are reported and left out.
[[nodiscard]] std::vector<TermItem> read_terms(std::span<const text::Node> items, TermsIn where, text::Problems& problems);

[[nodiscard]] text::Json terms_json(const std::vector<params::ParameterId>& ids);
[[nodiscard]] text::Json terms_schema(TermsIn where);

}  // namespace rooftune::data
