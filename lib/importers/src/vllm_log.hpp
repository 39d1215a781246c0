#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "rooftune/core/diagnostics.hpp"

namespace rooftune::importers {

/// Something that a log says, and in which line.
struct LogFact {
  std::string text{};
  int line = 0;
};
struct LogCount {
  int value = 1;
  int line = 0;
};

/// What a vLLM server logged about itself when it started.
struct VllmLog {
  std::string file{};
  std::map<std::string, LogFact> settings{};  ///< engine settings, total_kv_blocks among them (of one rank)
  std::optional<LogFact> model{};             ///< its name, even where the server was given a path
  std::optional<LogFact> served_model{};      ///< under which clients ask for it
  std::optional<LogFact> dtype{};             ///< of activations: "bfloat16"
  std::optional<LogCount> tp{};
  std::optional<LogCount> pp{};
  std::optional<LogCount> dp{};
  std::vector<std::string> assumptions{};  ///< settings that were read and change nothing that is simulated
  core::Diagnostics warnings{};            ///< what the server did and the simulator does not do
};

/// Reads everything that the log says about the engine's configuration: its arguments, the engine's own listing, the KV pool of every
/// rank, single lines. Of several starts the last counts.
[[nodiscard]] core::Result<VllmLog> read_vllm_log(const std::filesystem::path& file);

}  // namespace rooftune::importers
