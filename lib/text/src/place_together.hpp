#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <system_error>

namespace rooftune::text {

/// A written file on its way to its place.
struct Placement {
  std::string staged;
  std::string target;
  std::string old;  ///< a free name beside the target, for what it replaces where names cannot be exchanged
  dev_t device = 0;
  ino_t inode = 0;  ///< with `device`: which file is the new one, whatever it is called by now
};

/// Renames all of them, or none: what fails is taken back. The work is done by a process of its own, so that nothing that ends this
/// one, SIGKILL included, leaves new files beside old ones; and should that process be killed, this one starts another, which goes on
/// where it was. What was replaced is removed.
[[nodiscard]] std::error_code place_together(std::span<const Placement> placements);

}  // namespace rooftune::text
