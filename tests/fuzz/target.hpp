#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>

#include "rooftune/core/diagnostics.hpp"

/// What fuzzers throw arbitrary bytes at: every reader of foreign input is one target. It must come back, with a value or with
/// diagnostics that a terminal can show; a target aborts where it does not.
namespace rooftune::fuzz {

struct Target {
  std::string_view name;  ///< also of its corpus and its dictionary
  void (*run)(std::string_view bytes);
};

[[nodiscard]] std::span<const Target> targets();

inline void require(bool holds) {
  if (!holds) std::abort();
}

/// Errors say something, in one printable line each, and not without end.
inline void check(const core::Diagnostics& diagnostics) {
  constexpr std::size_t kMostBytes = 1'000'000;
  require(!diagnostics.empty());
  const std::string text = core::format(diagnostics);
  require(text.size() < kMostBytes);
  for (const char c : text) require(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
}

template <class T>
void check(const core::Result<T>& result) {
  if (!result) check(result.error());
}

/// The bytes as a file of this process, for readers that take a path. Rewritten by each call.
inline std::filesystem::path as_file(std::string_view bytes, std::string_view name) {
  static const std::filesystem::path folder = [] {
    std::string pattern = (std::filesystem::temp_directory_path() / "rooftune_fuzz_XXXXXX").string();
    require(::mkdtemp(pattern.data()) != nullptr);
    return std::filesystem::path(pattern);
  }();
  std::filesystem::path file = folder / name;
  std::ofstream stream(file, std::ios::binary | std::ios::trunc);
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return file;
}

}  // namespace rooftune::fuzz
