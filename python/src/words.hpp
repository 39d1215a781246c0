#pragma once

#include <functional>
#include <string>

#include "bindings.hpp"
#include "command_line.hpp"

namespace rooftune::python {

/// Reads words as the program's command of that name would: the same names, checks and messages. `add` says what is taken, `parsed` looks at
/// what was given.
void read_words(const std::string& function, const Words& words, const std::function<void(const app::Command&)>& add,
                const std::function<void(const app::Command&)>& parsed = {});

/// Of functions that take ground truth and a config beside or instead of a study.
[[nodiscard]] runs::StudyOverrides read_overrides(const std::string& function, const Words& words);

}  // namespace rooftune::python
