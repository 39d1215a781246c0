#include "rooftune/data/kernel_tables.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "rooftune/kernels/audit.hpp"
#include "rooftune/kernels/efficiency.hpp"
#include "rooftune/kernels/kernel_tables.hpp"
#include "support/example_targets.hpp"
#include "support/places.hpp"
#include "support/temporary_folder.hpp"

namespace rooftune::data {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

using KernelTableFiles = testing_support::TemporaryFolderTest;

fs::path shipped(const std::string& gpu) { return testing_support::source_folder() / "bench_data" / gpu; }

TEST_F(KernelTableFiles, LoadTheFieldLayout) {
  folder_.write("gemm/h100/data.csv", "m,k,n,latency_us,mfu\n8,2048,6144,8.988,0.011\n");
  folder_.write("mha/prefill/h100/32-8-128.csv", "dtype,seq_len,latency_us,mfu\nbf16,1024,38.755,0.224\n");
  folder_.write("mha/decode/h100/32-8-128-tp4.csv",
                "dtype,kv_dtype,batch_size,kv_len,latency_us,mfu\nbf16,bf16,512,8192,1359.926,0.013\n");
  const auto read = read_kernel_tables(folder_.path(), "h100");
  ASSERT_TRUE(read.has_value()) << core::format(read.error());
  ASSERT_EQ(read->gemms.size(), 1U);
  EXPECT_EQ(read->gemms[0].n, 6144);
  EXPECT_EQ(read->gemms[0].k, 2048);
  EXPECT_EQ(read->gemms[0].format, std::nullopt);
  EXPECT_EQ(read->gemms[0].reported_mfu, 0.011);
  ASSERT_EQ(read->context_attention.size(), 1U);
  EXPECT_EQ(read->context_attention[0].shape, (kernels::HeadShape{.heads = 32, .kv_heads = 8, .head_dim = 128}));
  EXPECT_EQ(read->context_attention[0].kv_tokens, 1024);
  ASSERT_EQ(read->generation_attention.size(), 1U);
  EXPECT_EQ(read->generation_attention[0].shape, (kernels::HeadShape{.heads = 8, .kv_heads = 2, .head_dim = 128}));
  EXPECT_EQ(read->generation_attention[0].batch, 512);
}

TEST_F(KernelTableFiles, LoadVidursProfilesByTheFolderOfTheGpu) {
  folder_.write("compute/h100/org/model/mlp.csv",
                "time_stats.attn_pre_proj.median,time_stats.attn_post_proj.median,time_stats.mlp_up_proj.median,"
                "time_stats.mlp_down_proj.median,n_head,n_kv_head,n_embd,n_expanded_embd,vocab_size,use_gated_mlp,num_tokens,"
                "num_tensor_parallel_workers\n"
                "0.02,0.01,0.06,0.03,32,8,4096,14336,32000,True,64,2\n"
                "0.04,0.01,0.06,0.03,32,8,4096,14336,32000,True,64,2\n");
  folder_.write("compute/h100/org/model/attention.csv",
                "n_embd,n_q_head,n_kv_head,num_tensor_parallel_workers,batch_size,prefill_chunk_size,kv_cache_size,is_prefill,"
                "time_stats.attn_prefill.median,time_stats.attn_decode.median\n"
                "4096,32,8,2,1,512,1024,True,0.05,\n"
                "4096,32,8,2,16,0,2048,False,,0.025\n");
  folder_.write("network/h100_dgx/all_reduce.csv",
                "time_stats.all_reduce.median,rank,num_workers,size,collective\n0.011,0,4,131072,all_reduce\n");
  const auto h100 = examples::h100();
  const auto found = find_kernel_tables(folder_.path(), h100);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->folder.filename(), "h100");
  const auto read = read_kernel_tables(found->folder, found->gpu);
  ASSERT_TRUE(read.has_value()) << core::format(read.error());
  ASSERT_EQ(read->gemms.size(), 4U) << "measured twice, one row";
  const auto qkv = std::ranges::find_if(read->gemms, [](const kernels::GemmRow& row) { return row.n == (16 + 2 * 4) * 128; });
  ASSERT_NE(qkv, read->gemms.end()) << "16 heads and 4 KV heads of each of two GPUs";
  EXPECT_EQ(qkv->m, 64);
  EXPECT_EQ(qkv->k, 4096);
  EXPECT_NEAR(qkv->latency_us, 30.0, 1e-9) << "ms in the file";
  const auto up = std::ranges::find_if(read->gemms, [](const kernels::GemmRow& row) { return row.n == 14336; });
  ASSERT_NE(up, read->gemms.end()) << "gate and up of half the width";
  ASSERT_EQ(read->context_attention.size(), 1U);
  EXPECT_EQ(read->context_attention[0].kv_tokens, 1536) << "the new ones included";
  EXPECT_EQ(read->context_attention[0].shape, (kernels::HeadShape{.heads = 16, .kv_heads = 4, .head_dim = 128}));
  ASSERT_EQ(read->generation_attention.size(), 1U);
  EXPECT_EQ(read->generation_attention[0].batch, 16);
  ASSERT_EQ(read->all_reduces.size(), 1U);
  EXPECT_EQ(read->all_reduces[0].ranks, 4);
  EXPECT_FALSE(find_kernel_tables(folder_.path(), examples::a100()));
}

TEST_F(KernelTableFiles, NameTheColumnThatAProfileOfVidurLacks) {
  folder_.write("compute/h100/org/model/mlp.csv", "n_head,n_kv_head\n32,8\n");
  const auto read = read_kernel_tables(folder_ / "compute/h100", "h100");
  ASSERT_FALSE(read);
  EXPECT_THAT(core::format(read.error()), HasSubstr("mlp.csv:1:1: error: a profile of Vidur without the column 'n_embd'"));
}

TEST_F(KernelTableFiles, LoadOurSchemaForEveryShippedGpu) {
  for (const char* gpu : {"h100", "a100", "h200", "l40s", "b200", "b300"}) {
    const auto read = read_kernel_tables(shipped(gpu), gpu);
    ASSERT_TRUE(read.has_value()) << core::format(read.error());
    EXPECT_GT(read->gemms.size(), 1000U) << gpu;
    EXPECT_GT(read->context_attention.size(), 500U) << gpu;
    EXPECT_GT(read->generation_attention.size(), 500U) << gpu;
    EXPECT_GT(read->all_reduces.size(), 50U) << gpu;
    EXPECT_GT(read->moes.size(), 100U) << gpu;
    EXPECT_THAT(read->engine, HasSubstr("vllm-")) << gpu;
  }
}

/// Every kind of table counts, so that a folder with one of them alone is none without tables.
TEST_F(KernelTableFiles, LoadAFolderOfAnyOneKind) {
  std::size_t kinds = 0;
  for (const fs::directory_entry& table : fs::directory_iterator(shipped("h200"))) {
    if (table.path().extension() != ".csv") continue;
    const fs::path alone = folder_ / table.path().stem().string() / "h100";
    fs::create_directories(alone);
    fs::copy(table.path(), alone / table.path().filename());
    const auto read = read_kernel_tables(alone, "h100");
    EXPECT_TRUE(read.has_value()) << core::format(read.error());
    const auto found = find_kernel_tables(alone, examples::h100());
    EXPECT_TRUE(found) << alone;
    ++kinds;
  }
  EXPECT_EQ(kinds, 11U);
}

// First rows of the shipped files, typed by hand.
TEST_F(KernelTableFiles, LoadModulesAndCollectives) {
  const auto read = read_kernel_tables(shipped("h200"), "h200");
  ASSERT_TRUE(read.has_value()) << core::format(read.error());
  using kernels::NumberFormat;
  EXPECT_TRUE(std::ranges::any_of(read->latent_generation, [](const kernels::LatentAttentionRow& row) {
    return row.format == NumberFormat::fp8_block && row.kv_format == NumberFormat::fp8 && row.heads == 16 && row.batch == 64 &&
           row.kv_tokens == 4096 && row.latency_us > 0.0;
  }));
  EXPECT_TRUE(std::ranges::any_of(read->linear_attention, [](const kernels::LinearAttentionRow& row) { return row.op == "kda"; }));
  EXPECT_TRUE(std::ranges::any_of(read->moes, [](const kernels::MoeRow& row) { return row.flag == "grouped_routing"; }));
  EXPECT_TRUE(std::ranges::any_of(read->generation_attention, [](const kernels::AttentionRow& row) { return row.window == 128; }));
  EXPECT_TRUE(std::ranges::any_of(read->gemms, [](const kernels::GemmRow& row) { return row.format == NumberFormat::int4; }));
  EXPECT_TRUE(std::ranges::any_of(read->collectives, [](const kernels::CollectiveRow& row) { return row.op == "alltoall"; }));
  const auto exchange = std::ranges::find_if(read->expert_exchanges, [](const kernels::ExpertExchangeRow& row) {
    return row.kind == "low_latency" && row.op == "combine" && row.ranks == 16 && row.hidden == 7168 && row.experts == 256 &&
           row.tokens == 128;
  });
  ASSERT_NE(exchange, read->expert_exchanges.end());
  EXPECT_EQ(exchange->experts_per_token, 8);
  EXPECT_DOUBLE_EQ(exchange->latency_us, 186.17);
}

// Field notes, section 9, computed there from the whole upstream tables; we ship a selection of their shapes.
TEST_F(KernelTableFiles, GiveTheKnownEfficiencyOfAnH100) {
  const auto read = read_kernel_tables(shipped("h100"), "h100");
  ASSERT_TRUE(read.has_value());
  const domain::GpuSpec gpu = examples::h100();
  const kernels::NormalisedKernels clean = kernels::normalise(*read, gpu);
  const kernels::KernelEfficiency efficiency = kernels::summarise(clean.kernels, gpu);
  EXPECT_NEAR(efficiency.weight_streaming_fraction.value(), 0.84, 0.03);
  EXPECT_NEAR(efficiency.gemm_compute_fraction.value(), 0.80, 0.02);
  EXPECT_NEAR(efficiency.kv_streaming_fraction.value(), 0.87, 0.02);
  EXPECT_NEAR(efficiency.context_attention_fraction.value(), 0.56, 0.03);
  ASSERT_EQ(efficiency.all_reduce.size(), 3U);
  EXPECT_NEAR(efficiency.all_reduce[0].floor_us, 4.2, 0.3);
  EXPECT_NEAR(efficiency.all_reduce[0].bus_gigabytes_per_s, 334, 10);
  EXPECT_NEAR(efficiency.all_reduce[2].bus_gigabytes_per_s, 469, 10);
}

TEST_F(KernelTableFiles, LookUpALayerOfTheShippedTables) {
  const auto read = read_kernel_tables(shipped("h100"), "h100");
  ASSERT_TRUE(read.has_value());
  const kernels::KernelTables tables(kernels::normalise(*read, examples::h100()).kernels);
  kernels::LookupReport report;
  // Llama-2-7B's fused gate and up projection (22016 x 4096) is not in the grid.
  const auto gate_up = tables.gemm(kernels::NumberFormat::bf16, 22016, 4096);
  ASSERT_TRUE(gate_up.has_value());
  const double latency_us = gate_up->latency_us(kernels::LookupMode::interpolate, report, 8.0);
  EXPECT_NEAR(latency_us, 2.0 * 22016 * 4096 / (0.84 * 3.35e6), 0.1 * latency_us);
  EXPECT_EQ(report.count(kernels::LookupEvent::nearest_shape), 1U);
}

std::string first_error(const core::Result<std::vector<kernels::GemmRow>>& result) {
  return result ? "no error" : core::format(result.error().front());
}

TEST_F(KernelTableFiles, NameTheLineOfABadNumber) {
  const fs::path path = folder_.write("gemm.csv", "dtype,m,n,k,latency_us\nbf16,8,4096,4096,12\nbf16,8,many,4096,12\n");
  EXPECT_THAT(first_error(read_gemm_table(path)), HasSubstr("gemm.csv:3:8: error: 'n'"));
}

TEST_F(KernelTableFiles, RefuseAnUnknownDtypeAMissingColumnAndAMissingHeader) {
  EXPECT_THAT(first_error(read_gemm_table(folder_.write("a.csv", "dtype,m,n,k,latency_us\nint3,8,4096,4096,12\n"))),
              HasSubstr("a.csv:2:1: error: 'dtype' is 'int3', which is no number format that we know (use bf16, fp8, fp8_block, "
                        "int4, mxfp4 or nvfp4)"));
  EXPECT_THAT(first_error(read_gemm_table(folder_.write("b.csv", "m,n,latency_us\n8,4096,12\n"))), HasSubstr("no column 'k'"));
  EXPECT_THAT(first_error(read_gemm_table(folder_.write("c.csv", "8,2048,6144,8.988,0.011\n16,2048,6144,8.816,0.023\n"))),
              HasSubstr("the table has no header (add a first line 'm,k,n,latency_us')"));
}

TEST_F(KernelTableFiles, RefuseAttentionWithoutHeads) {
  const auto read = read_context_attention_table(folder_.write("attention.csv", "dtype,seq_len,latency_us\nbf16,1024,38.755\n"));
  ASSERT_FALSE(read.has_value());
  EXPECT_THAT(core::format(read.error()), HasSubstr("neither columns nor the file's name 'attention.csv' give the heads"));
}

TEST_F(KernelTableFiles, LeaveOutEagerAllReduces) {
  const auto read = read_all_reduce_table(
      folder_.write("allreduce.csv", "kind,mode,ranks,bytes,latency_us\ncustom,eager,2,256,21.5\ncustom,graph,2,256,4.2\n"));
  ASSERT_TRUE(read.has_value());
  ASSERT_EQ(read->size(), 1U);
  EXPECT_EQ(read->front().latency_us, 4.2);
}

TEST_F(KernelTableFiles, SayWhatToNameWhenAFolderHasNoTables) {
  const auto read = read_kernel_tables(folder_.path(), "h100");
  ASSERT_FALSE(read.has_value());
  EXPECT_THAT(core::format(read.error()), HasSubstr("no kernel tables of 'h100' here (name a folder with gemm.csv"));
}

}  // namespace
}  // namespace rooftune::data
