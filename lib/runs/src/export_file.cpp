#include "rooftune/runs/export_file.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "rooftune/text/csv_text.hpp"
#include "rooftune/text/json_pieces.hpp"
#include "rooftune/text/json_text.hpp"

namespace rooftune::runs {
namespace {

using Json = nlohmann::ordered_json;

Json deployment_json(const AlphaBetaEntry& entry) {
  return {{"model", entry.model},
          {"gpu", entry.gpu},
          {"tp", entry.tp},
          {"alpha_us", entry.form.delay_us},
          {"beta_us", entry.form.step_us},
          {"total_kv_blocks", entry.kv_blocks},
          {"batches", entry.form.batches},
          {"mean_error_percent", entry.form.mean_error_percent},
          {"worst_error_percent", entry.form.worst_error_percent},
          {"worst_batch", entry.form.worst_batch}};
}

std::string deployments_csv(std::span<const AlphaBetaEntry> entries) {
  std::string text =
      "model,gpu,tp,alpha_0_us,alpha_1_us,alpha_2_us,beta_0_us,beta_1_us,beta_2_us,total_kv_blocks,batches,mean_error_percent,"
      "worst_error_percent,worst_batch\n";
  for (const AlphaBetaEntry& entry : entries) {
    const calibrate::LinearForm& form = entry.form;
    text += fmt::format("{},{},{},{},{},{},{},{},{},{}\n", text::csv_cell(entry.model), text::csv_cell(entry.gpu), entry.tp,
                        fmt::join(form.delay_us, ","), fmt::join(form.step_us, ","), entry.kv_blocks, form.batches,
                        form.mean_error_percent, form.worst_error_percent, text::csv_cell(form.worst_batch));
  }
  return text;
}

std::string hardware_csv(const Json& gpus) {
  std::string text = "gpu,key,value\n";
  for (const auto& [gpu, values] : gpus.items()) {
    for (const auto& [key, value] : values.items())
      text += fmt::format("{},{},{}\n", text::csv_cell(gpu), text::csv_cell(key), value.dump());
  }
  return text;
}

}  // namespace

std::string alpha_beta_text(std::span<const AlphaBetaEntry> entries) {
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
  return text::json_text(Json{{"models", std::move(models)}});
}

std::string export_json(const ExportedConfig& exported) {
  return text::json_text({{"schema", "rooftune/export/1"},
                          {"form", exported.form},
                          {"deployments", text::list_of(exported.deployments, deployment_json)},
                          {"warnings", text::texts_of(exported.warnings)},
                          {"exported", Json::parse(exported.text)}});
}

std::string export_csv(const ExportedConfig& exported) {
  return exported.deployments.empty() ? hardware_csv(Json::parse(exported.text)) : deployments_csv(exported.deployments);
}

}  // namespace rooftune::runs
