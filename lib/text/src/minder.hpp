#pragma once

namespace rooftune::text {

/// What a minder needs, made ready by its parent: it may not allocate.
struct MinderTask {
  const char* program;
  char* const* arguments;
  char* const* environment;
  const char* folder;  ///< the program's working directory; removed if the parent is killed
  int output;          ///< descriptors of the program's two streams
  int errors;
  bool reads_input;  ///< from kInputName in its working directory
  int control;       ///< a byte here asks for an end; that it closes says that the parent was killed
  int report;        ///< where the program's wait status goes, an int
};

/// The file in the working directory that a program with input finds on its standard input.
inline constexpr const char* kInputName = "stdin";

/// What shells say when a program cannot be started.
inline constexpr int kCannotStart = 127;

/// Runs a program and answers for all that it starts, in a process of its own between the two: whatever the program's descendants do
/// (new sessions, double forks), the system makes them the minder's children when their parents end, and the minder ends with none
/// left. Called in the child right after fork.
[[noreturn]] void mind(const MinderTask& task);

}  // namespace rooftune::text
