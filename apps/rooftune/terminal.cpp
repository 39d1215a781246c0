#include "terminal.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <optional>
#include <stop_token>
#include <system_error>

#include "rooftune/core/printable.hpp"
#include "rooftune/report/line_width.hpp"
#include "wide_tables.hpp"

namespace rooftune::app {
namespace {

constexpr std::chrono::milliseconds kBetweenUpdates{100};
/// Back to the start of the line, and erase it (ECMA-48).
constexpr std::string_view kEraseLine = "\r\033[K";

bool colours_are_wanted() {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  return (no_colour == nullptr || *no_colour == '\0') && (terminal == nullptr || std::string_view(terminal) != "dumb");
}

/// Why standard output could not be written, or 0. What is printed afterwards is lost as well, and one message is enough.
int& output_failure() {
  static int reason = 0;
  return reason;
}

/// The last line of the terminal behind standard error, as long as it says what is being done. Whoever writes anything else lifts it
/// first. Several threads write; never destroyed: they may outlive main.
class StatusLine {
 public:
  static StatusLine& instance() {
    static auto* const line = new StatusLine;
    return *line;
  }

  void show(std::string_view text) {
    const std::scoped_lock lock(mutex_);
    text_ = text;
    draw(text_);
    last_sign_ = Clock::now();
  }
  /// What was being done is over.
  void end() {
    const std::scoped_lock lock(mutex_);
    text_.clear();
    erase();
  }
  void lift() {
    const std::scoped_lock lock(mutex_);
    erase();
    last_sign_ = Clock::now();
  }
  void beat() {
    const std::scoped_lock lock(mutex_);
    const auto silent = Clock::now() - last_sign_;
    if (silent < kLongestSilence) return;
    draw(
        fmt::format("{} ({} s)", text_.empty() ? "working" : text_, std::chrono::duration_cast<std::chrono::seconds>(silent).count()));
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kLongestSilence{1500};

  void draw(std::string_view text) {
    write(fmt::format("{}{}", kEraseLine, text));
    is_shown_ = true;
  }
  void erase() {
    if (is_shown_) write(kEraseLine);
    is_shown_ = false;
  }
  static void write(std::string_view text) {
    static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr));
    std::fflush(stderr);
  }

  std::mutex mutex_;
  std::string text_;
  bool is_shown_ = false;
  Clock::time_point last_sign_ = Clock::now();
};

/// What say() was given since it was to be kept; null while it goes to standard error.
std::string* kept_words(bool begin = false) {
  static std::optional<std::string> words;
  if (begin) words.emplace();
  return words ? &*words : nullptr;
}
constexpr std::size_t kMostKept = 10'000;

/// Messages about one command; whoever mends those sees the next.
constexpr std::size_t kMostDiagnostics = 1'000;

/// Printable but for our own colours (report::toned): what stands in cells was made printable before they were coloured.
std::string printable_but_for_colours(std::string_view text) {
  constexpr std::array<std::string_view, 4> kColours{"\033[32m", "\033[31m", "\033[2m", "\033[0m"};
  std::string result;
  while (!text.empty()) {
    const std::size_t escape = std::min(text.find('\033'), text.size());
    result += core::printable(text.substr(0, escape));
    text.remove_prefix(escape);
    const auto colour = std::ranges::find_if(kColours, [&](std::string_view code) { return text.starts_with(code); });
    const std::size_t length = colour != kColours.end() ? colour->size() : std::min<std::size_t>(text.size(), 1);
    result += colour != kColours.end() ? std::string(*colour) : core::printable(text.substr(0, length));
    text.remove_prefix(length);
  }
  return result;
}

/// Lines that are longer than the terminal's end between words and go on below their beginning. Colours take no room.
std::string wrapped(std::string_view text, std::size_t width) {
  std::string result;
  std::size_t length = 0;  // of the line so far
  std::size_t indent = 0;  // of what goes on below
  bool is_start = true;
  while (!text.empty()) {
    if (text.front() == '\n') {
      result += '\n';
      text.remove_prefix(1);
      length = 0;
      is_start = true;
      continue;
    }
    const std::size_t spaces = std::min(text.find_first_not_of(' '), text.size());
    const std::string_view rest = text.substr(spaces);
    const std::string_view word = rest.substr(0, std::min(rest.find_first_of(" \n"), rest.size()));
    std::size_t visible = 0;
    for (std::size_t i = 0; i < word.size(); ++i) {
      if (word[i] == '\033') {
        i = std::min(word.find('m', i), word.size() - 1);
      } else if ((static_cast<unsigned char>(word[i]) & 0xC0) != 0x80) {
        ++visible;
      }
    }
    if (is_start) indent = std::min(spaces + 2, width / 2);
    if (!is_start && length + spaces + visible > width) {
      result += '\n' + std::string(indent, ' ');
      length = indent;
    } else {
      result += std::string(spaces, ' ');
      length += spaces;
    }
    result += word;
    length += visible;
    is_start = false;
    text.remove_prefix(spaces + word.size());
  }
  return result;
}

/// Characters in a line of the terminal that reads the stream; 0 where none does.
int width_of_terminal(int stream) {
  winsize size{};
  return isatty(stream) != 0 && ioctl(stream, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/// Tables keep within the terminal's line, unless --wide says otherwise or no terminal reads them.
void fit_tables_to_terminal() { report::set_line_width(wide_tables() ? 0 : width_of_terminal(STDOUT_FILENO)); }

}  // namespace

bool& wide_tables() {
  static bool is_wide = false;
  return is_wide;
}

void open_missing_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    // Open for reading alone: what is written to a stream that was closed fails, as it should.
    if (::fcntl(stream, F_GETFD) < 0 && ::open("/dev/null", O_RDONLY) < 0) return;
  }
}

report::Colour output_colour() {
  fit_tables_to_terminal();
  return isatty(STDOUT_FILENO) != 0 && colours_are_wanted() ? report::Colour::on : report::Colour::off;
}

void say(std::string_view text) {
  if (std::string* kept = kept_words()) {
    kept->append(text.substr(0, kMostKept - std::min(kMostKept, kept->size())));
    return;
  }
  StatusLine::instance().lift();
  const int width = width_of_terminal(STDERR_FILENO);
  const std::string shown = width > 0 ? wrapped(text, static_cast<std::size_t>(width)) : std::string(text);
  static_cast<void>(std::fwrite(shown.data(), 1, shown.size(), stderr));
}

void keep_what_is_said() { kept_words(true); }
std::string what_was_said() { return kept_words() == nullptr ? "" : *kept_words(); }

void print_errors(const core::Diagnostics& diagnostics) {
  const std::size_t shown = std::min(diagnostics.size(), kMostDiagnostics);
  std::string text;
  for (std::size_t i = 0; i < shown; ++i) text += core::format(diagnostics[i]) + "\n";
  if (shown < diagnostics.size()) text += fmt::format("{} more messages are not shown\n", diagnostics.size() - shown);
  say(text);
}

ExitCode refuse(const core::Diagnostics& problems) {
  print_errors(problems);
  return ExitCode::bad_input;
}

void print(std::string_view text) {
  const std::string shown = output_colour() == report::Colour::on ? printable_but_for_colours(text) : core::printable(text);
  print_as_it_is(report::line_width() > 0 ? wrapped(shown, static_cast<std::size_t>(report::line_width())) : shown);
}

void print_data(std::string_view text) { print_as_it_is(core::printable(text)); }

void print_as_it_is(std::string_view text) {
  if (output_failure() != 0) return;
  StatusLine::instance().lift();
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) output_failure() = errno;
}

bool flush_output() {
  errno = 0;  // a stream that failed before says nothing more of why
  if (std::fflush(stdout) != 0 && output_failure() == 0) output_failure() = errno;
  std::cout.flush();
  if (!std::cout.good() && output_failure() == 0) output_failure() = errno;
  return output_failure() == 0 && std::cout.good();
}

bool finish_output() {
  if (flush_output()) return true;
  const int reason = output_failure() == 0 ? EIO : output_failure();
  print_errors({{.position = {.file = "standard output"},
                 .problem = fmt::format("cannot be written: {}", std::generic_category().message(reason)),
                 .remedy = "what was printed is lost, files that were named are written",
                 .severity = core::Severity::error}});
  return false;
}

Heartbeat::Heartbeat() {
  if (isatty(STDERR_FILENO) == 0 || kept_words() != nullptr) return;
  thread_ = std::jthread([](const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any ended;
    std::unique_lock lock(mutex);
    constexpr std::chrono::milliseconds kBetweenBeats{500};
    while (!ended.wait_for(lock, stop, kBetweenBeats, [&] { return stop.stop_requested(); })) StatusLine::instance().beat();
  });
}

Heartbeat::~Heartbeat() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
  StatusLine::instance().lift();
}

ProgressLine::ProgressLine() : is_terminal_(isatty(STDERR_FILENO) != 0) {}

bool ProgressLine::wants_update() const { return is_terminal_ && Clock::now() - last_update_ >= kBetweenUpdates; }

void ProgressLine::show(std::string_view text) {
  if (!wants_update()) return;
  StatusLine::instance().show(core::printable(text));
  last_update_ = Clock::now();
}

std::string ProgressLine::time_left(double share_done) const {
  if (share_done <= 0.0) return "";
  const std::chrono::duration<double> passed = Clock::now() - start_;
  return fmt::format(", about {:.0f} s left", passed.count() * (1.0 / share_done - 1.0));
}

void ProgressLine::clear() {
  if (is_terminal_) StatusLine::instance().end();
}

}  // namespace rooftune::app
