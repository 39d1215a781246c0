#pragma once

#include <string>
#include <vector>

#include "rooftune/core/diagnostics.hpp"

namespace rooftune::data {

/// What a check of one input file found.
struct CheckedFile {
  std::string file;
  std::string content;  ///< "ground truth, 15 experiments"; empty for a broken file
  core::Diagnostics problems;
  bool is_sound = false;  ///< no error; warnings are allowed
};

/// "rooftune/validation/1" (docs/file_formats.md).
[[nodiscard]] std::string checked_files_json(const std::vector<CheckedFile>& files);

/// A row for each problem, and one for each file without any.
[[nodiscard]] std::string checked_files_csv(const std::vector<CheckedFile>& files);

}  // namespace rooftune::data
