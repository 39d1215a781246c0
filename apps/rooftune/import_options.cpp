#include "import_options.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "options.hpp"
#include "rooftune/core/limits.hpp"

namespace rooftune::app {

void add_said_options(const Command& command, importers::ImportOptions& import, std::vector<std::string>& settings) {
  command.add_option("--model", import.model, "model id").group(kSaidOptions);
  command.add_option("--gpu", import.gpu, "GPU; default: as the files say, or the only one that they describe").group(kSaidOptions);
  command.add_option("--tp", import.tp, "tensor-parallel degree").check(positive(core::limits::kParallelDegree)).group(kSaidOptions);
  command.add_option("--workload", import.workload, "its name, by which runs are grouped").group(kSaidOptions);
  add_repeatable(command, "--set", settings,
                 fmt::format("key=value: an engine setting under vLLM's name; repeatable: {}",
                             fmt::join(importers::engine_setting_names(), ", ")))
      .group(kSaidOptions);
}

core::Diagnostics apply_settings(const std::vector<std::string>& given, std::map<std::string, std::string>& settings) {
  core::Diagnostics problems;
  for (const std::string& text : given) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
      problems.push_back({.position = {},
                          .problem = fmt::format("'{}' sets nothing", text),
                          .remedy = "write key=value, e.g. --set max_num_seqs=256"});
      continue;
    }
    settings[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return problems;
}

}  // namespace rooftune::app
