#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/places.hpp"
#include "support/run_program.hpp"
#include "support/temporary_folder.hpp"

namespace rooftune {
namespace {

using testing::HasSubstr;
using testing_support::ProgramResult;

ProgramResult rooftune(const std::vector<std::string>& arguments) {
  return testing_support::run_program(testing_support::rooftune_program(), arguments);
}

TEST(Kernels, AuditNamesWhatAnMfuColumnWasDividedBy) {
  const testing_support::TemporaryFolder folder;
  // Rows quoted in early documents: prefill attention of 32 heads of 128 on an H100, divided by the H20's bf16 peak.
  folder.write("mha/prefill/h100/32-32-128.csv", "dtype,seq_len,latency_us,mfu\nbf16,1024,45.85,1.266\nbf16,4096,192.95,4.814\n");
  const ProgramResult result = rooftune({"kernels", "audit", folder.path().string()});
  EXPECT_EQ(result.exit_code, 2) << result;
  EXPECT_THAT(result.output, HasSubstr("148 TFLOP/s, H20 bf16"));
  EXPECT_THAT(result.output, HasSubstr("foreign_peak"));
}

TEST(Kernels, AuditPassesACleanTable) {
  const testing_support::TemporaryFolder folder;
  folder.write("h100/gemm.csv", "dtype,m,n,k,latency_us\nbf16,8,4096,4096,15\nbf16,16,4096,4096,15.1\n");
  const ProgramResult result = rooftune({"kernels", "audit", (folder / "h100").string(), "--json"});
  EXPECT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.output, HasSubstr("\"rooftune/kernel-audit/1\""));
}

TEST(Kernels, AuditAsksForTheGpuWhereNoFolderNamesIt) {
  const testing_support::TemporaryFolder folder;
  const std::string file = folder.write("measured/gemm.csv", "dtype,m,n,k,latency_us\nbf16,8,4096,4096,15\n").string();
  const ProgramResult result = rooftune({"kernels", "audit", file});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("--gpu"));
  EXPECT_EQ(rooftune({"kernels", "audit", file, "--gpu", "H100"}).exit_code, 0);
}

TEST(Kernels, NormalisedTablesAreCleanAndStayTheSame) {
  const testing_support::TemporaryFolder folder;
  folder.write("h100/gemm.csv",
               "dtype,m,n,k,latency_us,mfu\nbf16,8,4096,4096,15,0.5\nbf16,16,4096,4096,15.1,0.5\nbf16,16,4096,4096,-1,0.5\n");
  folder.write("h100/allreduce.csv", "ranks,bytes,latency_us,mode\n2,1024,9,graph\n2,1024,8,graph\n2,1024,30,eager\n");
  const std::string once = (folder / "once/h100").string();
  const std::string twice = (folder / "twice/h100").string();
  ASSERT_EQ(rooftune({"kernels", "normalise", (folder / "h100").string(), "--out", once}).exit_code, 0);
  ASSERT_EQ(rooftune({"kernels", "normalise", once, "--out", twice}).exit_code, 0);
  EXPECT_EQ(rooftune({"kernels", "audit", once}).exit_code, 0);
  for (const char* name : {"gemm.csv", "allreduce.csv"})
    EXPECT_EQ(folder.read("once/h100/" + std::string(name)), folder.read("twice/h100/" + std::string(name)));
  EXPECT_THAT(folder.read("once/h100/allreduce.csv"), HasSubstr("fastest,graph,bf16,2,1024,8,"));
}

TEST(Kernels, PlanListsShapesThatTheCollectorReads) {
  const ProgramResult result = rooftune({"kernels", "plan", "--model", "Llama-2-7b-hf", "--tp", "1", "2", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result;
  EXPECT_THAT(result.output, HasSubstr("\"schema\": \"rooftune/kernel-plan/1\""));
  EXPECT_THAT(result.output, HasSubstr(R"({"dtype": "bf16", "m": 1, "n": 12288, "k": 4096})"));
  EXPECT_THAT(result.output, HasSubstr(R"({"dtype": "bf16", "ranks": 2, "bytes": 1024})"));
}

TEST(Kernels, PlanRefusesADegreeThatSplitsAHead) {
  const ProgramResult result = rooftune({"kernels", "plan", "--model", "Llama-2-7b-hf", "--tp", "3"});
  EXPECT_EQ(result.exit_code, 1) << result;
  EXPECT_THAT(result.errors, HasSubstr("32 heads cannot be split over TP 3"));
}

TEST(Kernels, PlansExpertsAndSaysWhatItLeavesOut) {
  const ProgramResult dense = rooftune({"kernels", "plan", "--model", "Llama-2-7b-hf", "--tp", "1"});
  EXPECT_EQ(dense.exit_code, 0) << dense;
  EXPECT_EQ(dense.errors, "");
  const ProgramResult experts =
      rooftune({"kernels", "plan", "--model", "Llama-4-Scout-17B-16E-Instruct-FP8-dynamic", "--tp", "2", "--json"});
  EXPECT_EQ(experts.exit_code, 0) << experts;
  EXPECT_THAT(experts.output,
              HasSubstr(R"({"dtype": "fp8", "num_tokens": 1, "hidden": 5120, "inter": 8192, "topk": 1, "experts": 16)"));
  EXPECT_THAT(experts.errors, HasSubstr("Llama-4-Scout-17B-16E-Instruct-FP8-dynamic: attention in chunks is left out of the plan"));
}

}  // namespace
}  // namespace rooftune
