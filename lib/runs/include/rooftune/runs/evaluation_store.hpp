#pragma once

#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "rooftune/calibrate/evaluation_store.hpp"
#include "rooftune/core/diagnostics.hpp"

namespace rooftune::runs {

/// Opens an evaluation store in an SQLite file (docs/file_formats.md), which several processes may use at once; creates it where
/// there is none. Evaluations are written in batches: at most the last fifth of a second of them is lost with the process.
[[nodiscard]] core::Result<std::unique_ptr<calibrate::EvaluationStore>> open_evaluation_store(const std::filesystem::path& file);

/// Opens a store that exists, to look evaluations up; what is appended to it is forgotten.
[[nodiscard]] core::Result<std::unique_ptr<calibrate::EvaluationStore>> read_evaluation_store(const std::filesystem::path& file);

/// An evaluation in a store, with what of its key says which search asked for it.
struct SeenEvaluation {
  std::string problem;
  std::vector<double> point;
  calibrate::StoredEvaluation evaluation;
};

/// What a store holds that others may be writing: the sound evaluations whose keys are not in `seen`, which they join. Nothing where
/// the store is only being made, or cannot be read just now. The file stays as it is.
[[nodiscard]] std::vector<SeenEvaluation> read_new_evaluations(const std::filesystem::path& file, std::set<std::string>& seen);

/// What a store that was merged into another one held.
struct MergedStore {
  std::filesystem::path file;
  long evaluations = 0;  ///< sound ones
  long added = 0;        ///< that the other store did not have
};

struct StoreMerge {
  std::vector<MergedStore> stores;
  core::Diagnostics warnings{};  ///< rows that are damaged were left out
};

/// Adds the evaluations of stores to the one in `into`, which is created where there is none. All or nothing: a file that is no store, or
/// two that answer one question differently, are errors, and `into` stays as it was.
[[nodiscard]] core::Result<StoreMerge> merge_evaluation_stores(const std::vector<std::filesystem::path>& stores,
                                                               const std::filesystem::path& into);

}  // namespace rooftune::runs
