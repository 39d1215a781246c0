#include "rooftune/domain/release.hpp"

#include <gtest/gtest.h>

namespace rooftune::domain {
namespace {

TEST(Release, IsFoundInWhatServersAndFilesCallIt) {
  EXPECT_EQ(find_release("0.15.1"), (Release{0, 15, 1}));
  EXPECT_EQ(find_release("0.14"), (Release{0, 14, 0}));
  EXPECT_EQ(find_release("v0.11.0rc2"), (Release{0, 11, 0}));
  EXPECT_EQ(find_release("0.19.0-cu130"), (Release{0, 19, 0}));
  EXPECT_EQ(find_release("0.10.2 (blank in data)"), (Release{0, 10, 2}));
  EXPECT_EQ(find_release("vllm-0.14.0"), (Release{0, 14, 0}));
  EXPECT_EQ(find_release("vllm-v0.14.0"), (Release{0, 14, 0}));
  EXPECT_EQ(find_release("vllm/vllm-openai:v0.15.1"), (Release{0, 15, 1}));
  EXPECT_EQ(find_release("nccl-2.29.2"), (Release{2, 29, 2}));
  EXPECT_EQ(release_text({0, 15, 1}), "0.15.1");
}

TEST(Release, IsNotGuessed) {
  for (const char* text : {"", "v", "-", "main", "main-2026-06-24", "nightly", "nightly-5b8c30d62b75", "unknown", "15", "0."})
    EXPECT_EQ(find_release(text), std::nullopt) << text;
}

TEST(EngineName, IsOneHoweverItIsWritten) {
  EXPECT_EQ(engine_name("vLLM"), "vllm");
  EXPECT_EQ(engine_name("SGLang"), "sglang");
  EXPECT_EQ(engine_name("TensorRT-LLM"), "TensorRT-LLM");
}

}  // namespace
}  // namespace rooftune::domain
