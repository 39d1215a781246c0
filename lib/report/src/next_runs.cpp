#include "next_runs.hpp"

#include <fmt/format.h>

#include <map>
#include <string>
#include <utility>

namespace rooftune::report {

TextTable table_of(std::span<const plan::NextRun> runs, std::size_t most, std::size_t of_each_deployment) {
  TextTable table({{"model", Align::left},
                   {"TP"},
                   {"rate/s"},
                   {"prompt"},
                   {"output"},
                   {"predictions then\n+- %"},
                   {"parameters\nbits"},
                   {"cost\nGPU-min"},
                   {"better per\nGPU-hour %"}});
  std::map<std::pair<std::string, int>, std::size_t> shown;
  std::size_t rows = 0;
  for (const plan::NextRun& run : runs) {
    if (rows == most) break;
    if (++shown[{run.model, run.tp}] > of_each_deployment) continue;
    const double gain = 100.0 * (1.0 - run.value.deviation_after / run.value.deviation_before);
    table.add({run.model, fmt::format("{}", run.tp), fmt::format("{}", run.rate_per_s), fmt::format("{}", run.prompt_tokens),
               fmt::format("{}", run.output_tokens), fmt::format("{:.1f}", 100.0 * run.value.deviation_after),
               fmt::format("{:.1f}", run.value.bits), fmt::format("{:.0f}", run.gpu_minutes),
               fmt::format("{:.0f}", 60.0 * gain / run.gpu_minutes)});
    ++rows;
  }
  return table;
}

}  // namespace rooftune::report
