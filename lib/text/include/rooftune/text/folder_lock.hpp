#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "rooftune/core/descriptor.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/text/temporaries.hpp"

namespace rooftune::text {

/// Says that this process, and no other, works in a run folder: a file beside it, ".NAME.lock", that the system holds locked until the
/// process ends in any way, and that names host, process and time for whoever comes second. A file that is left behind is not locked
/// any more, so it is known to be stale whatever container or host its process ran in.
class FolderLock {
 public:
  /// Fails at once when another process has the folder, and says which. Makes the folder's parents.
  [[nodiscard]] static core::Result<FolderLock> acquire(const std::filesystem::path& folder);

  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&& other) noexcept;
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  /// Removes the file and lets go of the folder.
  ~FolderLock();

 private:
  FolderLock(std::filesystem::path file, core::Descriptor descriptor);

  std::filesystem::path file_;
  core::Descriptor descriptor_;
  OwnTemporary listed_;  ///< goes with the others when the process is interrupted
};

/// Who holds a folder, as its lock file says.
struct FolderOwner {
  std::string host;
  long process = 0;
  std::string since;   ///< UTC
  std::string system;  ///< of the boot and the process namespace in which `process` is a number
  std::string began;   ///< when the process began, in the system's ticks: its number may be another's by now
};

[[nodiscard]] std::string owner_text(const FolderOwner& owner);
/// What a lock file says; parts that cannot be read stay empty.
[[nodiscard]] FolderOwner parse_owner(std::string_view text);
/// False when the process is known to have ended; processes of other machines are taken to run.
[[nodiscard]] bool may_be_running(const FolderOwner& owner);

}  // namespace rooftune::text
