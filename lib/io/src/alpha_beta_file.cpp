#include "rooftune/io/alpha_beta_file.hpp"

#include <nlohmann/json.hpp>

#include "json_text.hpp"

namespace rooftune::io {

std::string alpha_beta_text(std::span<const AlphaBetaEntry> entries) {
  using Json = nlohmann::ordered_json;
  Json models = Json::array();
  for (const AlphaBetaEntry& entry : entries) {
    Json model{{"id", entry.model},
               // The family calls it so.
               {"GPU", entry.gpu == "H100-SXM" ? "H100" : entry.gpu},
               {"tensor_parallelism", entry.tp},
               {"alpha_coeffs", entry.form.delay_us},
               {"beta_coeffs", entry.form.step_us},
               {"total_kv_blocks", entry.kv_blocks}};
    if (!entry.engine_version.empty()) model["vllm_version"] = entry.engine_version;
    models.push_back(std::move(model));
  }
  return json_text(Json{{"models", std::move(models)}});
}

}  // namespace rooftune::io
