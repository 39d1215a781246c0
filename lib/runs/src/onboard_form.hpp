#pragma once

#include <string>

#include "rooftune/calibrate/onboard_spec.hpp"
#include "rooftune/text/document.hpp"
#include "rooftune/text/object_reader.hpp"

/// The key `onboard` of a study.
namespace rooftune::runs {

[[nodiscard]] calibrate::OnboardSpec read_onboard(const text::Node& object, text::Problems& problems);

[[nodiscard]] std::string onboard_text(const calibrate::OnboardSpec& spec);

/// What `fit --dump-default` says about the key.
[[nodiscard]] std::string default_onboard_text();

}  // namespace rooftune::runs
