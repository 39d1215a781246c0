#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "support/places.hpp"

/// Every message about a wrong input has a twin: tests/bad_inputs/<kind>/<name> and, beside it, <name>.expected with the exact
/// text. ROOFTUNE_UPDATE_EXPECTED=1 rewrites the texts, to be reviewed like code.
namespace rooftune::bad_inputs {

namespace fs = std::filesystem;

inline std::string text_of(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

/// The wrong inputs of a kind by name; folders beside them hold files that they refer to.
inline std::vector<fs::path> inputs_of(const std::string& kind) {
  std::vector<fs::path> inputs;
  for (const auto& entry : fs::directory_iterator(testing_support::source_folder() / "tests" / "bad_inputs" / kind)) {
    if (entry.is_regular_file() && entry.path().extension() != ".expected") inputs.push_back(entry.path());
  }
  std::ranges::sort(inputs);
  return inputs;
}

/// Messages with the bare file name, so that they are the same on every machine.
inline std::string messages(core::Diagnostics diagnostics) {
  for (core::Diagnostic& diagnostic : diagnostics) diagnostic.position.file = fs::path(diagnostic.position.file).filename().string();
  return core::format(diagnostics);
}

inline void expect_messages(const fs::path& input, const std::string& actual) {
  const fs::path expected = input.string() + ".expected";
  if (std::getenv("ROOFTUNE_UPDATE_EXPECTED") != nullptr) std::ofstream(expected) << actual;
  EXPECT_EQ(actual, text_of(expected)) << input;
}

/// Reads every wrong input of a kind and compares what is said about it.
template <class Read>
void expect_all_refused(const std::string& kind, Read read) {
  for (const fs::path& input : inputs_of(kind)) {
    const auto result = read(input);
    if (result) {
      ADD_FAILURE() << input << " was accepted";
    } else {
      expect_messages(input, messages(result.error()));
    }
  }
}

}  // namespace rooftune::bad_inputs
