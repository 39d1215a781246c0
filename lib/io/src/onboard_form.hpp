#pragma once

#include <string>

#include "rooftune/io/document.hpp"
#include "rooftune/io/object_reader.hpp"
#include "rooftune/study/onboard_spec.hpp"

/// The key `onboard` of a study.
namespace rooftune::io {

[[nodiscard]] study::OnboardSpec read_onboard(const Node& object, Problems& problems);

[[nodiscard]] std::string onboard_text(const study::OnboardSpec& spec);

/// What `fit --dump-default` says about the key.
[[nodiscard]] std::string default_onboard_text();

}  // namespace rooftune::io
