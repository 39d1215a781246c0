#pragma once

#include <filesystem>
#include <string>

namespace rooftune::testing_support {

// One source alone knows these paths, so that the objects of all others are the same in every checkout and a compiler cache serves
// them all.

/// The checkout with the project's own files.
const std::filesystem::path& source_folder();

/// The command line program; empty where it is not built.
const std::string& rooftune_program();

}  // namespace rooftune::testing_support
