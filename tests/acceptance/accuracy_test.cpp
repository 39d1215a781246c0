// Accuracy is under review like code: what the committed configs predict for the shipped experiments stands in
// accuracy_reference.csv. A change that moves a prediction beyond the tolerance fails here, and belongs together with the
// change of the file that explains it: ROOFTUNE_UPDATE_EXPECTED=1 rewrites it.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/data/config_file.hpp"
#include "rooftune/data/gpus.hpp"
#include "rooftune/data/ground_truth.hpp"
#include "rooftune/data/kernel_tables.hpp"
#include "rooftune/data/models.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/kernels/efficiency.hpp"
#include "rooftune/kernels/kernel_tables.hpp"
#include "rooftune/text/csv.hpp"
#include "support/places.hpp"

namespace rooftune {
namespace {

namespace fs = std::filesystem;

const fs::path kSource = testing_support::source_folder();
const fs::path kReference = kSource / "tests/acceptance/accuracy_reference.csv";
/// Rounding differs between compilers and machines; anything larger is a change of the model.
constexpr double kTolerance = 1e-4;

struct Reference {
  std::string config;
  std::string experiment;
  std::string stage;
  std::string metric;
  double predicted_ms = 0.0;
  double error_percent = 0.0;

  [[nodiscard]] std::string key() const { return fmt::format("{} {} {} {}", config, experiment, stage, metric); }
};

template <class T>
T value_of(core::Result<T> result) {
  if (!result) throw std::runtime_error(core::format(result.error()));
  return std::move(*result);
}

eval::Evaluation evaluate(const std::string& config_name, const std::string& ground_truth) {
  const std::vector<domain::GpuSpec> gpus = value_of(data::default_gpus());
  const std::vector<domain::ModelSpec> models = value_of(data::default_models());
  const params::Config config = value_of(data::read_config(kSource / "configs/tuned" / config_name, gpus)).config;
  eval::KernelTablesByGpu tables;
  if (config.step_time_model == "kernels") {
    const domain::GpuSpec& gpu = *domain::find_gpu(gpus, "H100");
    const kernels::MeasuredKernels measured = value_of(data::read_kernel_tables(kSource / "bench_data/h100", gpu.name));
    tables[gpu.name] = std::make_shared<const kernels::KernelTables>(kernels::normalise(measured, gpu).kernels);
  }
  const eval::Dataset dataset = value_of(
      eval::make_dataset({.experiments = value_of(data::read_ground_truth(kSource / "ground_truth" / ground_truth)).experiments,
                          .models = models,
                          .gpus = gpus,
                          .config = config,
                          .kernels = tables}));
  return eval::evaluate(dataset, config, {});
}

std::vector<Reference> current() {
  std::vector<Reference> rows;
  for (const auto& [config, ground_truth] : std::vector<std::pair<std::string, std::string>>{{"h100.physics.json", "h100.json"},
                                                                                             {"h100.roofline_v1.json", "h100.json"},
                                                                                             {"a100.physics.json", "a100.json"},
                                                                                             {"l40s.physics.json", "l40s.json"}}) {
    for (const eval::Row& row : evaluate(config, ground_truth).rows) {
      rows.push_back({.config = config,
                      .experiment = row.experiment,
                      .stage = row.stage == domain::kSummaryStage ? "summary" : std::to_string(row.stage),
                      .metric = std::string(domain::metric_name(row.metric)),
                      .predicted_ms = row.predicted_ms,
                      .error_percent = row.error_percent()});
    }
  }
  return rows;
}

std::vector<Reference> committed() {
  const text::CsvTable table = value_of(text::read_csv(kReference));
  std::vector<Reference> rows(table.rows.size());
  text::Problems problems(table.file);
  text::CsvColumns columns(table, problems);
  columns.required("config", rows, &Reference::config);
  columns.required("experiment", rows, &Reference::experiment);
  columns.required("stage", rows, &Reference::stage);
  columns.required("metric", rows, &Reference::metric);
  columns.required("predicted_ms", rows, &Reference::predicted_ms);
  return rows;
}

void write(const std::vector<Reference>& rows) {
  std::ofstream file(kReference);
  file << "config,experiment,stage,metric,predicted_ms,error_percent\n";
  for (const Reference& row : rows) {
    file << fmt::format("{},\"{}\",\"{}\",{},{:.6g},{:.3f}\n", row.config, row.experiment, row.stage, row.metric, row.predicted_ms,
                        row.error_percent);
  }
}

TEST(Accuracy, OfTheCommittedConfigsIsWhatTheReferenceSays) {
  const std::vector<Reference> now = current();
  if (std::getenv("ROOFTUNE_UPDATE_EXPECTED") != nullptr) write(now);
  std::map<std::string, double> expected;
  for (const Reference& row : committed()) expected[row.key()] = row.predicted_ms;
  EXPECT_EQ(expected.size(), now.size());
  for (const Reference& row : now) {
    const auto found = expected.find(row.key());
    ASSERT_NE(found, expected.end()) << row.key() << " is not in the reference";
    EXPECT_NEAR(row.predicted_ms / found->second, 1.0, kTolerance) << row.key();
  }
}

TEST(Accuracy, OfTheBestH100ConfigBeatsWhatHandTuningReached) {
  const eval::Evaluation evaluation = evaluate("h100.json", "h100.json");
  EXPECT_LT(evaluation.overall.at(domain::Metric::e2e_mean).mean_ape_percent, 2.5);
  EXPECT_LT(evaluation.overall.at(domain::Metric::ttft_mean).mean_ape_percent, 3.0);
  EXPECT_LT(evaluation.overall.at(domain::Metric::tpot_mean).mean_ape_percent, 2.5);
}

// What one config for both kinds of load reaches (docs/serving_points.md), with the noise of two runs beside it.
TEST(Accuracy, OfTheJointH100ConfigHoldsInOpenAndInClosedLoops) {
  const auto mean_ape = [](const char* ground_truth, domain::Metric metric) {
    return evaluate("h100.joint.json", ground_truth).overall.at(metric).mean_ape_percent;
  };
  EXPECT_LT(mean_ape("h100.json", domain::Metric::e2e_mean), 2.4);
  EXPECT_LT(mean_ape("h100.json", domain::Metric::ttft_mean), 3.1);
  EXPECT_LT(mean_ape("guidellm.json", domain::Metric::e2e_mean), 9.0);
  EXPECT_LT(mean_ape("serving_h100.json", domain::Metric::tpot_mean), 4.5);
  EXPECT_LT(mean_ape("serving_h100.json", domain::Metric::ttft_mean), 7.5);
}

}  // namespace
}  // namespace rooftune
