#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "rooftune/calibrate/study_spec.hpp"
#include "rooftune/improve/proposer.hpp"

namespace rooftune::runs {

/// What a proposer finds on its standard input (schema rooftune/question/1).
[[nodiscard]] std::string question_json(const improve::Question& question);

/// What it wrote as moves (schema rooftune/proposals/1). Terms in it are declared. Items that are wrong are left out and named.
[[nodiscard]] improve::Answer read_answer(std::string_view text);

/// The study's program. `spec.folder` counts from the working directory.
[[nodiscard]] std::unique_ptr<improve::Proposer> make_proposer(const calibrate::ProposerSpec& spec);

}  // namespace rooftune::runs
