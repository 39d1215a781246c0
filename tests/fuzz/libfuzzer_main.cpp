// One program for all targets, known by the name that it is called by: "fuzz_json" runs the target "json". Copies of it under these
// names are what OSS-Fuzz expects.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "target.hpp"

namespace {
const rooftune::fuzz::Target* chosen = nullptr;
}

extern "C" int LLVMFuzzerInitialize(const int*, char*** arguments) {
  const std::string name = std::filesystem::path((*arguments)[0]).filename().string();
  for (const rooftune::fuzz::Target& target : rooftune::fuzz::targets()) {
    if (name == "fuzz_" + std::string(target.name)) chosen = &target;
  }
  if (chosen != nullptr) return 0;
  std::fprintf(stderr, "call this program by the name of a target:\n");
  for (const rooftune::fuzz::Target& target : rooftune::fuzz::targets()) {
    std::fprintf(stderr, "  fuzz_%s\n", std::string(target.name).c_str());
  }
  std::exit(1);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  chosen->run({reinterpret_cast<const char*>(data), size});
  return 0;
}
