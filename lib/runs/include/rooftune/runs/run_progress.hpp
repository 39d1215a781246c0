#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace rooftune::runs {

/// What a run that goes on says of itself in its folder, for those who look on: what its store does not tell, and where the store lies
/// elsewhere.
struct RunProgress {
  std::string parts{};  ///< what `finished` counts, in the plural: "folds"; empty: nothing
  std::size_t finished = 0;
  std::size_t of = 0;
  std::optional<double> objective{};  ///< the lowest so far
  long computed = 0;                  ///< evaluations
  long found = 0;                     ///< evaluations that its store answered
  friend bool operator==(const RunProgress&, const RunProgress&) = default;
};

/// Gone when the run is finished.
inline constexpr std::string_view kProgressName = "progress.json";

/// To look on is optional: what cannot be written is left out.
void write_progress(const std::filesystem::path& run_folder, const RunProgress& progress);
/// Nothing where there is none that can be read.
[[nodiscard]] std::optional<RunProgress> read_progress(const std::filesystem::path& run_folder);

}  // namespace rooftune::runs
