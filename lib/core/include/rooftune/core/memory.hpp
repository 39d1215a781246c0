#pragma once

namespace rooftune::core {

/// Lets the process keep up to 64 MiB of what it frees, for its next allocations. Every simulation needs some hundred KiB and
/// gives them back; by default the C library then returns them to the system, and the next simulation begins with page faults.
/// For the start of a program. Does nothing where the C library is not glibc.
void keep_freed_memory();

}  // namespace rooftune::core
