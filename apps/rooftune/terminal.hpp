#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/report/text_table.hpp"

namespace rooftune::app {

/// Colours for what goes to standard output: on a terminal, unless NO_COLOR is set (no-color.org).
[[nodiscard]] report::Colour output_colour();

/// One line per diagnostic on standard error.
void print_errors(const core::Diagnostics& diagnostics);

/// To standard output, as it is.
void print(std::string_view text);

/// One line on standard error that is overwritten as work goes on; nothing where that is no terminal.
class ProgressLine {
 public:
  ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() { clear(); }

  /// Whether anybody watches and the last update is long enough ago: texts need not be made otherwise.
  [[nodiscard]] bool wants_update() const;
  void show(std::string_view text);
  void clear();
  /// ", about 40 s left" from the time since this line was made and the share of the work that is done; empty before the first part.
  [[nodiscard]] std::string time_left(double share_done) const;

 private:
  using Clock = std::chrono::steady_clock;

  bool is_terminal_;
  bool is_shown_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_update_{};
};

}  // namespace rooftune::app
