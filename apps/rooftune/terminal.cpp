#include "terminal.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

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

}  // namespace

report::Colour output_colour() {
  return isatty(STDOUT_FILENO) != 0 && colours_are_wanted() ? report::Colour::on : report::Colour::off;
}

void print_errors(const core::Diagnostics& diagnostics) { fmt::print(stderr, "{}", core::format(diagnostics)); }

void print(std::string_view text) { fmt::print("{}", text); }

ProgressLine::ProgressLine() : is_terminal_(isatty(STDERR_FILENO) != 0) {}

bool ProgressLine::wants_update() const { return is_terminal_ && Clock::now() - last_update_ >= kBetweenUpdates; }

void ProgressLine::show(std::string_view text) {
  if (!wants_update()) return;
  fmt::print(stderr, "{}{}", kEraseLine, text);
  std::fflush(stderr);
  is_shown_ = true;
  last_update_ = Clock::now();
}

std::string ProgressLine::time_left(double share_done) const {
  if (share_done <= 0.0) return "";
  const std::chrono::duration<double> passed = Clock::now() - start_;
  return fmt::format(", about {:.0f} s left", passed.count() * (1.0 / share_done - 1.0));
}

void ProgressLine::clear() {
  if (!is_shown_) return;
  fmt::print(stderr, "{}", kEraseLine);
  std::fflush(stderr);
  is_shown_ = false;
}

}  // namespace rooftune::app
