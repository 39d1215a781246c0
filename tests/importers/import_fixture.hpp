#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "rooftune/data/ground_truth.hpp"
#include "rooftune/importers/import.hpp"
#include "support/places.hpp"
#include "support/temporary_folder.hpp"

/// What every test of an import needs: the examples, complete options, and a folder to write to.
namespace rooftune::importers {

namespace fs = std::filesystem;

inline fs::path example(const std::string& name) {
  return testing_support::source_folder() / "tests" / "import_examples" / ("synthetic_" + name);
}

/// Everything that a file may leave out.
inline ImportOptions complete() {
  ImportOptions options;
  options.model = "meta-llama/Llama-2-7b-hf";
  options.gpu = "H100";
  options.tp = 1;
  options.settings = {{"version", "0.11.0"}, {"max_model_len", "4096"}, {"max_num_batched_tokens", "2048"}, {"max_num_seqs", "256"}};
  return options;
}

inline core::Result<ImportedGroundTruth> import_one(ImportFormat format, const fs::path& input,
                                                    const ImportOptions& options = complete()) {
  return import_benchmarks(format, std::vector{input}, options);
}

inline ImportedGroundTruth import_or_fail(ImportFormat format, const fs::path& input, const ImportOptions& options = complete()) {
  auto imported = import_one(format, input, options);
  if (imported) return *std::move(imported);
  ADD_FAILURE() << core::format(imported.error());
  return {};
}

class Import : public testing_support::TemporaryFolderTest {
 protected:
  /// What the strict reader finds in the file that the import writes.
  std::vector<domain::Experiment> written(const ImportedGroundTruth& imported) {
    const auto noticed = write_ground_truth(imported, folder_ / "truth.json", ExistingFile::refuse);
    EXPECT_TRUE(noticed) << core::format(noticed.error());
    auto read = data::read_ground_truth(folder_ / "truth.json");
    if (read) return std::move(read->experiments);
    ADD_FAILURE() << core::format(read.error());
    return {};
  }

  /// The example with another number in place of the first one of this name.
  fs::path with_number(const std::string& name, const std::string& key, const std::string& number) {
    std::string text = testing_support::TemporaryFolder::read_file(example(name));
    const std::size_t value = text.find("\"" + key + "\": ") + key.size() + 4;
    text.replace(value, text.find(',', value) - value, number);
    return folder_.write("result.json", text);
  }

  /// Checks that an import is written and read back as it was, and gives its experiments.
  std::vector<domain::Experiment> round_trip(const ImportedGroundTruth& imported) {
    auto experiments = written(imported);
    EXPECT_EQ(experiments.size(), imported.experiments.size());
    for (std::size_t i = 0; i < std::min(experiments.size(), imported.experiments.size()); ++i) {
      EXPECT_EQ(experiments[i], imported.experiments[i].experiment) << experiments[i].id;
    }
    return experiments;
  }
};

}  // namespace rooftune::importers
