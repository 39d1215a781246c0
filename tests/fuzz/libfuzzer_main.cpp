// One program for all targets, known by the name that it is called by: "fuzz_json" runs the target "json". Copies of it under these
// names are what OSS-Fuzz expects.
#include <sys/time.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "target.hpp"

namespace {
const rooftune::fuzz::Target* chosen = nullptr;

/// Of one input. The process's own time: on a loaded machine libFuzzer's clock on the wall says nothing.
constexpr time_t kMostSeconds = 10;

void set_timer(time_t seconds) {
  const itimerval timer{.it_interval = {}, .it_value = {.tv_sec = seconds, .tv_usec = 0}};
  ::setitimer(ITIMER_PROF, &timer, nullptr);
}
}  // namespace

extern "C" int LLVMFuzzerInitialize(const int*, char*** arguments) {
  const std::string name = std::filesystem::path((*arguments)[0]).filename().string();
  for (const rooftune::fuzz::Target& target : rooftune::fuzz::targets()) {
    if (name == "fuzz_" + std::string(target.name)) chosen = &target;
  }
  std::signal(SIGPROF, [](int) { std::abort(); });  // libFuzzer then keeps the input
  if (chosen != nullptr) return 0;
  std::fprintf(stderr, "call this program by the name of a target:\n");
  for (const rooftune::fuzz::Target& target : rooftune::fuzz::targets()) {
    std::fprintf(stderr, "  fuzz_%s\n", std::string(target.name).c_str());
  }
  std::exit(1);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  set_timer(kMostSeconds);
  chosen->run({reinterpret_cast<const char*>(data), size});
  set_timer(0);
  return 0;
}
