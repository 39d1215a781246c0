#pragma once

#include <string>

#include "rooftune/plan/watch.hpp"

namespace rooftune::runs {

/// `rooftune watch --json`: one line a window (schema `rooftune/watched-window/1`).
[[nodiscard]] std::string watched_window_json(const plan::WatchedWindow& window);

}  // namespace rooftune::runs
