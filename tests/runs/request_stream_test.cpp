#include "rooftune/runs/request_stream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rooftune::runs {
namespace {

using testing::HasSubstr;

TEST(RequestStream, ReadsCsvByItsHeader) {
  RequestStream stream("requests.csv");
  EXPECT_FALSE(stream.line("note,arrival_s,input_tokens,output_tokens,ttft_ms,e2e_ms").value());
  const auto request = stream.line("a,1.5,100,20,40,400\r");
  ASSERT_TRUE(request) << core::format(request.error());
  EXPECT_EQ((*request)->arrival_s, 1.5);
  EXPECT_EQ((*request)->input_tokens, 100);
  EXPECT_EQ((*request)->e2e_ms, 400.0);
  EXPECT_FALSE(stream.line("").value());
}

TEST(RequestStream, ReadsOneJsonObjectALine) {
  RequestStream stream("requests.jsonl");
  const auto request = stream.line(R"({"arrival_s": 1.5, "input_tokens": 100, "output_tokens": 20, "ttft_ms": 40, "e2e_ms": 400})");
  ASSERT_TRUE(request) << core::format(request.error());
  EXPECT_EQ((*request)->ttft_ms, 40.0);
}

TEST(RequestStream, NamesTheLineOfABadRequest) {
  RequestStream stream("requests.csv");
  EXPECT_TRUE(stream.line("arrival_s,input_tokens,output_tokens,ttft_ms,e2e_ms"));
  EXPECT_TRUE(stream.line("0,100,20,40,400"));
  const auto bad = stream.line("1,100,-3,40,400");
  ASSERT_FALSE(bad);
  EXPECT_THAT(core::format(bad.error()), HasSubstr("requests.csv:3:"));
}

}  // namespace
}  // namespace rooftune::runs
