// --csv of every command that has rows: the file is a table, and its numbers are those of the JSON.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "command_line.hpp"

namespace rooftune::testing_support {
namespace {

using testing::HasSubstr;

class Csv : public TemporaryFolderTest {
 protected:
  Csv() : study_(folder_.write("study.yaml", small_study()).string()) {}

  /// What the command prints with --json, after its table went to rows.csv.
  nlohmann::json run(std::vector<std::string> arguments, int exit_code = 0) {
    arguments.insert(arguments.end(), {"--json", "--csv", (folder_ / "rows.csv").string()});
    const ProgramResult result = rooftune(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << result;
    read_table();
    return nlohmann::json::parse(result.output);
  }

  [[nodiscard]] std::string cell(std::size_t row, const std::string& column) const {
    const auto found = std::ranges::find(header_, column);
    EXPECT_NE(found, header_.end()) << column;
    return rows_.at(row).at(static_cast<std::size_t>(found - header_.begin()));
  }
  [[nodiscard]] double number(std::size_t row, const std::string& column) const { return std::stod(cell(row, column)); }

  std::string study_;
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;

 private:
  void read_table() {
    header_.clear();
    rows_.clear();
    std::istringstream lines(folder_.read("rows.csv"));
    for (std::string line; std::getline(lines, line);) {
      std::vector<std::string> cells{""};
      bool is_quoted = false;
      for (const char c : line) {
        if (c == '"') {
          is_quoted = !is_quoted;
        } else if (c == ',' && !is_quoted) {
          cells.emplace_back();
        } else {
          cells.back() += c;
        }
      }
      if (header_.empty()) {
        header_ = cells;
      } else {
        EXPECT_EQ(cells.size(), header_.size()) << line;
        rows_.push_back(cells);
      }
    }
  }
};

TEST_F(Csv, OfAFitHoldsItsPredictions) {
  run({"fit", study_, "--out", (folder_ / "run").string()});
  EXPECT_EQ(folder_.read("rows.csv"), folder_.read("run/evaluation.csv"));
}

TEST_F(Csv, OfACrossValidationHoldsHeldOutPredictions) {
  run({"crossval", study_, "--out", (folder_ / "run").string()});
  EXPECT_EQ(folder_.read("rows.csv"), folder_.read("run/evaluation.csv"));
}

TEST_F(Csv, OfSolversHasARowForEach) {
  const auto json = run({"solvers", study_, "--algorithm", "ceres_lm", "--max-evaluations", "20"});
  ASSERT_EQ(rows_.size(), 2U);
  ASSERT_EQ(json["rows"].size(), 2U);
  EXPECT_EQ(cell(0, "solver"), json["rows"][0]["solver"]);
  EXPECT_EQ(number(0, "objective"), double(json["rows"][0]["objective"]));
}

TEST_F(Csv, OfARecoveryHasARowForEachParameter) {
  const auto json = run({"recover", study_, "--repeats", "2"});
  ASSERT_EQ(rows_.size(), 2U);
  EXPECT_EQ(cell(0, "parameter"), json["parameters"][0]["parameter"]);
  EXPECT_EQ(number(1, "covered"), double(json["parameters"][1]["covered"]));
}

TEST_F(Csv, OfAComparisonHasARowForEachVariantScopeAndMetric) {
  folder_.write(
      "study.yaml",
      small_study() + "compare: {variants: [{name: plain}, {name: 'without lag, on', switches: {engine.async_scheduling: off}}]}\n");
  const auto json = run({"compare", study_, "--out", (folder_ / "run").string()});
  EXPECT_EQ(cell(0, "variant"), "plain");
  EXPECT_EQ(number(0, "mean_ape_percent"), double(json["variants"][0]["training"]["ttft_mean_ms"]["mean_ape_percent"]));
  EXPECT_THAT(folder_.read("rows.csv"), HasSubstr("\n\"without lag, on\",physics,"));
}

TEST_F(Csv, OfASimulationHasARowForEachStageOrRate) {
  const auto json = run({"simulate", "--ground-truth", kGroundTruth, "--select", "id=64"});
  EXPECT_EQ(cell(0, "stage"), "summary");
  EXPECT_EQ(cell(0, "rate_per_s"), "");
  EXPECT_GT(number(0, "e2e_mean_ms"), 0.0);
  run({"simulate", "--model", "Llama-2-7b-hf", "--rates", "1,2", "--duration", "20", "--prompt-tokens", "100", "--output-tokens",
       "20"});
  ASSERT_EQ(rows_.size(), 2U);
  EXPECT_EQ(number(1, "rate_per_s"), 2.0);
  EXPECT_GT(number(1, "ttft_mean_ms"), 0.0);
}

TEST_F(Csv, OfADifferenceHasParametersThenPredictions) {
  ASSERT_EQ(rooftune({"fit", study_, "--out", (folder_ / "one").string()}).exit_code, 0);
  folder_.write("study.yaml", small_study("['64', '62']", "physics.t_step_us"));
  ASSERT_EQ(rooftune({"fit", study_, "--out", (folder_ / "two").string()}).exit_code, 0);
  const auto json = run({"diff", (folder_ / "one").string(), (folder_ / "two").string()});
  EXPECT_EQ(cell(0, "what"), "parameter");
  EXPECT_EQ(rows_.size(), json["parameters"].size() + json["predictions"].size());
}

TEST_F(Csv, OfTheRegistryHasEveryParameterAndSwitch) {
  const auto json = run({"params"});
  ASSERT_EQ(rows_.size(), json["parameters"].size() + json["switches"].size());
  EXPECT_EQ(cell(0, "id"), json["parameters"][0]["id"]);
  EXPECT_EQ(number(0, "upper"), double(json["parameters"][0]["upper"]));
  EXPECT_EQ(cell(rows_.size() - 1, "meaning"), json["switches"].back()["meaning"]);
}

TEST_F(Csv, OfAStudyHasARowForEachExperiment) {
  const auto json = run({"show", study_});
  ASSERT_EQ(rows_.size(), 2U);
  for (std::size_t row = 0; row < rows_.size(); ++row) {
    const auto& experiment = json["experiments"][row];
    EXPECT_EQ(cell(row, "id"), experiment["id"]);
    EXPECT_EQ(cell(row, "model"), experiment["model"]);
    EXPECT_EQ(number(row, "requests"), double(experiment["requests"]));
    EXPECT_EQ(number(row, "rates_per_s"), double(experiment["rates_per_s"][0]));
    EXPECT_EQ(number(row, "kv_blocks"), double(experiment["kv_blocks"]));
  }
}

TEST_F(Csv, OfAValidationHasARowForEachProblem) {
  const std::string broken = shipped("tests/bad_inputs/ground_truth/wrong_types.json");
  const auto json = run({"validate", study_, broken}, 1);
  const auto& problems = json["files"][1]["problems"];
  ASSERT_EQ(rows_.size(), 1 + problems.size());
  EXPECT_EQ(cell(0, "file"), study_);
  EXPECT_EQ(cell(0, "sound"), "true");
  EXPECT_EQ(cell(0, "problem"), "");
  for (std::size_t i = 0; i < problems.size(); ++i) {
    EXPECT_EQ(cell(1 + i, "file"), broken);
    EXPECT_EQ(cell(1 + i, "sound"), "false");
    EXPECT_EQ(number(1 + i, "line"), double(problems[i]["line"]));
    EXPECT_EQ(cell(1 + i, "problem"), problems[i]["problem"]);
    EXPECT_EQ(cell(1 + i, "remedy"), problems[i]["remedy"]);
  }
}

TEST_F(Csv, OfAKernelAuditHasARowForEachTableAndFormat) {
  // Divided by the H20's bf16 peak.
  folder_.write("h100/context.csv",
                "dtype,seq_len,latency_us,mfu,batch,kv_len,heads,kv_heads,head_dim\n"
                "bf16,4096,192.95,4.814,1,4096,32,32,128\n");
  const auto json = run({"kernels", "audit", (folder_ / "h100").string()}, 2);
  ASSERT_EQ(rows_.size(), json["tables"].size());
  const auto& table = json["tables"][0];
  EXPECT_EQ(cell(0, "table"), table["table"]);
  EXPECT_EQ(number(0, "highest_mfu"), double(table["highest_mfu"]));
  EXPECT_EQ(cell(0, "divided_by"), table["divided_by"]);
  EXPECT_EQ(cell(0, "findings"), table["findings"][0]["finding"]);
}

TEST_F(Csv, OfNormalisedKernelsCountsWhatWasWrittenAndLeftOut) {
  folder_.write("h100/gemm.csv", "dtype,m,n,k,latency_us\nbf16,8,4096,4096,15\nbf16,16,4096,4096,-1\n");
  const auto json = run({"kernels", "normalise", (folder_ / "h100").string(), "--out", (folder_ / "clean/h100").string()});
  EXPECT_EQ(json["folder"], (folder_ / "clean/h100").string());
  ASSERT_EQ(rows_.size(), json["files"].size() + json["left_out"].size());
  EXPECT_EQ(cell(0, "file"), json["files"][0]["file"]);
  EXPECT_EQ(number(0, "rows"), 1.0);
  EXPECT_EQ(cell(1, "what"), "left_out");
  EXPECT_EQ(cell(1, "reason"), json["left_out"][0]["reason"]);
  EXPECT_EQ(number(1, "rows"), double(json["left_out"][0]["rows"]));
}

TEST_F(Csv, OfAKernelPlanHasARowForEachShape) {
  const auto json = run({"kernels", "plan", "--model", "Mixtral-8x7B-v0.1", "--tp", "2"});
  std::size_t row = 0;
  for (const std::string table :
       {"gemm", "context_attention", "generation_attention", "allreduce", "moe", "linear_attention", "collective"}) {
    for (const auto& shape : json[table]) {
      EXPECT_EQ(cell(row, "table"), table);
      for (const auto& [column, size] : shape.items()) {
        EXPECT_EQ(cell(row, column), size.is_string() ? size.get<std::string>() : size.dump()) << table << " " << column;
      }
      ++row;
    }
  }
  EXPECT_EQ(row, rows_.size());
}

TEST_F(Csv, OfAnExportHasARowForEachDeployment) {
  const std::vector<std::string> arguments{
      "export", shipped("configs/tuned/h100.json"), "--form", "alpha-beta", "--model", "Llama-2-7b-hf", "--tp", "1,2"};
  const auto json = run(arguments);
  EXPECT_EQ(json["exported"], nlohmann::json::parse(rooftune(arguments).output));
  EXPECT_THAT(json["warnings"].back().get<std::string>(), HasSubstr("not carried"));
  ASSERT_EQ(rows_.size(), 2U);
  const auto& models = json["exported"]["models"];
  for (std::size_t row = 0; row < 2; ++row) {
    EXPECT_EQ(number(row, "tp"), double(models[row]["tensor_parallelism"]));
    EXPECT_EQ(number(row, "alpha_1_us"), double(models[row]["alpha_coeffs"][1]));
    EXPECT_EQ(number(row, "beta_2_us"), double(models[row]["beta_coeffs"][2]));
    EXPECT_EQ(number(row, "mean_error_percent"), double(json["deployments"][row]["mean_error_percent"]));
    EXPECT_EQ(cell(row, "worst_batch"), json["deployments"][row]["worst_batch"]);
  }
}

TEST_F(Csv, OfAnExportedHardwareConfigHasARowForEachGpuAndKey) {
  const std::string config = folder_.write("config.json", R"({"H100": {"mfuPrefill": 0.6}})").string();
  const auto json = run({"export", config, "--form", "hardware-config", "--out", (folder_ / "out.json").string()});
  EXPECT_EQ(json["exported"], nlohmann::json::parse(folder_.read("out.json")));
  ASSERT_EQ(rows_.size(), json["exported"]["H100"].size());
  for (std::size_t row = 0; row < rows_.size(); ++row) {
    EXPECT_EQ(number(row, "value"), double(json["exported"][cell(row, "gpu")][cell(row, "key")]));
  }
}

TEST_F(Csv, OfAnImportHasARowForEachStage) {
  const std::string out = (folder_ / "truth.json").string();
  const auto json = run({"import", "guidellm", shipped("tests/import_examples/synthetic_guidellm_sweep.json"), "--gpu", "H100",
                         "--vllm-log", shipped("tests/import_examples/synthetic_vllm.log"), "--out", out});
  EXPECT_EQ(json["file"], out);
  const auto& experiment = json["experiments"][0];
  ASSERT_EQ(rows_.size(), 1 + experiment["stages"].size());
  EXPECT_EQ(cell(0, "stage"), "summary");
  EXPECT_EQ(number(0, "e2e_mean_ms"), double(experiment["summary"]["e2e_mean_ms"]));
  EXPECT_EQ(number(1, "rate_per_s"), double(experiment["stages"][0]["rate_per_s"]));
  EXPECT_EQ(number(2, "ttft_p90_ms"), double(experiment["stages"][1]["ttft_p90_ms"]));
  const auto written = nlohmann::json::parse(folder_.read("truth.json"));
  EXPECT_EQ(number(0, "e2e_mean_ms"), double(written[0]["measured"]["summary"]["e2e_mean"]));
}

TEST_F(Csv, ThatCannotBeWrittenIsAnError) {
  const ProgramResult result = rooftune({"evaluate", study_, "--csv", (folder_ / "missing/rows.csv").string()});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("rows.csv"));
}

}  // namespace
}  // namespace rooftune::testing_support
