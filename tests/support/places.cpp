#include "support/places.hpp"

namespace rooftune::testing_support {

const std::filesystem::path& source_folder() {
  static const std::filesystem::path folder = ROOFTUNE_SOURCE_DIR;
  return folder;
}

const std::string& rooftune_program() {
  static const std::string program = ROOFTUNE_PROGRAM;
  return program;
}

}  // namespace rooftune::testing_support
