// Files that say what was measured, on what, and with which values.
#include <array>

#include "rooftune/data/config_file.hpp"
#include "rooftune/data/gpus.hpp"
#include "rooftune/data/ground_truth.hpp"
#include "rooftune/data/kernel_summary_file.hpp"
#include "rooftune/data/kernel_tables.hpp"
#include "rooftune/data/models.hpp"
#include "rooftune/data/peers.hpp"
#include "target.hpp"

namespace rooftune::fuzz {
namespace {

void ground_truth(std::string_view bytes) { check(data::read_ground_truth(as_file(bytes, "ground_truth.json"))); }
void gpus(std::string_view bytes) { check(data::read_gpus(as_file(bytes, "gpus.yaml"))); }
void model_facts(std::string_view bytes) { check(data::read_model(as_file(bytes, "model.yaml"))); }
void model_config(std::string_view bytes) { check(data::read_model(as_file(bytes, "config.json"))); }
void peers(std::string_view bytes) { check(data::read_peers(as_file(bytes, "peers.csv"))); }
void kernel_summary(std::string_view bytes) { check(data::read_kernel_summaries(as_file(bytes, "efficiency.json"))); }

/// Requests are in a table beside the ground truth that names it.
void request_table(std::string_view bytes) {
  constexpr std::string_view kNamesTable =
      R"([{"id": "x", "role": "calibration", "model": "Llama-2-7b-hf", "hardware": "H100-SXM", "tp": 1, "dp": 1, "vllm": {},
           "workload": {"name": "w", "stages": [{"num_requests": 2}], "arrival": {"process": "trace", "table": "requests.csv"}},
           "measured": {"measured_at": "client", "summary": {"e2e": {"mean": 1}}, "stages": []}, "flags": []}])";
  as_file(bytes, "requests.csv");
  check(data::read_ground_truth(as_file(kNamesTable, "with_table.json")));
}

void config(std::string_view bytes) {
  static const auto shipped = data::default_gpus().value_or(std::vector<domain::GpuSpec>{});
  check(data::parse_config(bytes, "config.json", shipped));
}

void kernel_tables(std::string_view bytes) {
  const auto file = as_file(bytes, "table.csv");
  check(data::read_gemm_table(file));
  check(data::read_context_attention_table(file));
  check(data::read_generation_attention_table(file));
  check(data::read_all_reduce_table(file));
  check(data::read_moe_table(file));
}

}  // namespace

constexpr std::array<Target, 9> kDataTargets{{{"ground_truth", ground_truth},
                                              {"request_table", request_table},
                                              {"gpus", gpus},
                                              {"model_facts", model_facts},
                                              {"model_config", model_config},
                                              {"config", config},
                                              {"peers", peers},
                                              {"kernel_summary", kernel_summary},
                                              {"kernel_tables", kernel_tables}}};
std::span<const Target> data_targets() { return kDataTargets; }

}  // namespace rooftune::fuzz
