#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <thread>

#include "exit_code.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/report/text_table.hpp"

namespace rooftune::app {

/// Colours for what goes to standard output: on a terminal, unless NO_COLOR is set (no-color.org).
[[nodiscard]] report::Colour output_colour();

/// Opens standard streams that were closed when the program began: otherwise the next file to be opened would get the number of one,
/// and what is printed would go into it. First of all.
void open_missing_streams();

/// To standard error, as it is. A standard error that cannot be written is nobody's concern.
void say(std::string_view text);
/// From now on the program is silent: what say() is given is kept instead.
void keep_what_is_said();
[[nodiscard]] std::string what_was_said();

/// One line per diagnostic on standard error; of very many the first ones and their number.
void print_errors(const core::Diagnostics& diagnostics);
/// The same, and how a command ends that cannot use what it was given.
[[nodiscard]] ExitCode refuse(const core::Diagnostics& problems);

/// To standard output. What a terminal would obey (names come from anywhere) is shown instead, but for our own colours.
void print(std::string_view text);
/// The same for data: lines stay as long as they are.
void print_data(std::string_view text);
/// The same for text that is all ours and for other programs to read.
void print_as_it_is(std::string_view text);

/// What was printed so far goes out now; false when it cannot.
bool flush_output();
/// At the end of the program: says on standard error when anything that was printed did not arrive.
[[nodiscard]] bool finish_output();

/// As long as it lives, a terminal is never silent for long: where nothing else was written for a second and a half, the last line on
/// standard error says what is being done (the last progress, or "working") and for how long. Nothing where that is no terminal.
class Heartbeat {
 public:
  Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;
  ~Heartbeat();

 private:
  std::jthread thread_;
};

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
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_update_{};
};

}  // namespace rooftune::app
