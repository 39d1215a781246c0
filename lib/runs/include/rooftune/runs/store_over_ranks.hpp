#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "rooftune/calibrate/evaluation_store.hpp"
#include "rooftune/core/ranks.hpp"

namespace rooftune::runs {

/// The leading rank's store as a rank that serves uses it. What it appends is sent at once, so that a rank that dies loses nothing
/// but the evaluation that it was at.
[[nodiscard]] std::unique_ptr<calibrate::EvaluationStore> make_remote_store(core::Ranks& ranks);

/// The other side: does what such a store asks for or tells. `may_know`: whether the store held anything when the run began; where
/// it did not, nobody needs to ask.
[[nodiscard]] std::string answer_remote_store(std::string_view message, const calibrate::StoreUse& use, bool may_know);

}  // namespace rooftune::runs
