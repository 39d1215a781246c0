#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "rooftune/text/process.hpp"
#include "rooftune/text/staging.hpp"

/// What running somebody else's program takes, whatever it is for: a simulator, or one that proposes changes.
namespace rooftune::runs {

/// A folder for one run of a program, removed with it. Empty where none can be made.
class WorkingDirectory {
 public:
  WorkingDirectory();
  WorkingDirectory(const WorkingDirectory&) = delete;
  WorkingDirectory& operator=(const WorkingDirectory&) = delete;
  ~WorkingDirectory();
  [[nodiscard]] const std::filesystem::path& path() const { return staged_.path; }

 private:
  text::Staged staged_;
};

/// Removes the folders that a rooftune which was killed, minder and all, has left.
void remove_abandoned_work();

/// The end of what a program said, on one line.
[[nodiscard]] std::string last_words(const std::string& text);

/// Nothing where it ended as it should.
[[nodiscard]] std::optional<std::string> why_it_failed(const text::ProcessEnd& end, const std::vector<std::string>& command,
                                                       double timeout_s);

}  // namespace rooftune::runs
