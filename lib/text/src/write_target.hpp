#pragma once

#include <sys/stat.h>

#include <filesystem>

#include "rooftune/core/diagnostics.hpp"

namespace rooftune::text {

/// What a path to write to turns out to be, once its links are followed.
struct WriteTarget {
  enum class Kind { absent, file, stream };

  Kind kind = Kind::absent;
  std::filesystem::path path;  ///< of the file behind all links; a stream is opened under the name that was given
  struct stat existing {};     ///< of a file
  int inherited = -1;          ///< the stream is this descriptor of ours ("/dev/stdout")
};

/// Looks before anything is written. Refuses folders, block devices, files of several names (replacing one would part them), files
/// that may not be written, and links that somebody else put into a folder that everybody may write to.
[[nodiscard]] core::Result<WriteTarget> find_write_target(const std::filesystem::path& path);

}  // namespace rooftune::text
