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
using testing::StartsWith;

class Csv : public TemporaryFolderTest {
 protected:
  Csv() { study_ = folder_.write("study.yaml", small_study()).string(); }

  /// What the command prints with --json, after its table went to rows.csv.
  nlohmann::json run(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--json", "--csv", (folder_ / "rows.csv").string()});
    const ProgramResult result = rooftune(arguments);
    EXPECT_EQ(result.exit_code, 0) << result;
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

TEST_F(Csv, ThatCannotBeWrittenIsAnError) {
  const ProgramResult result = rooftune({"evaluate", study_, "--csv", (folder_ / "missing/rows.csv").string()});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("rows.csv"));
}

}  // namespace
}  // namespace rooftune::testing_support
