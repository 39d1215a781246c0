// The load generator against a server of our own on loopback: bounded in requests and time, no other network.
#include "rooftune/observe/observe.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "../../lib/observe/src/completion_stream.hpp"
#include "rooftune/importers/import.hpp"
#include "rooftune/observe/trace_files.hpp"
#include "support/streaming_server.hpp"
#include "support/temporary_folder.hpp"

namespace rooftune::observe {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;
using testing_support::StreamingServer;

domain::Experiment experiment(double rate_per_s, int requests) {
  domain::Experiment result;
  result.id = "observed";
  result.workload.prompt.mean_tokens = 64;
  result.workload.output.mean_tokens = 8;
  result.workload.arrival.process = domain::ArrivalProcess::poisson;
  result.workload.stages = {{.rate = {rate_per_s}, .duration = {requests / rate_per_s}, .num_requests = requests}};
  return result;
}

ObserveOptions options_for(const StreamingServer& server) {
  ObserveOptions options;
  options.url = server.url();
  options.model = "test";
  options.request_timeout_s = 5.0;
  options.stage_limit_s = 20.0;
  return options;
}

Observation observed(const domain::Experiment& load, const ObserveOptions& options) {
  auto observation = observe(sim::make_request_plan(load, 1, 0), options);
  if (observation) return *std::move(observation);
  ADD_FAILURE() << core::format(observation.error());
  return {};
}

TEST(Observe, TimesWhatTheServerTakes) {
  const StreamingServer server({.step_us = 10'000.0});
  const Observation observation = observed(experiment(20.0, 20), options_for(server));
  ASSERT_THAT(observation.requests, SizeIs(20));
  for (const ObservedRequest& request : observation.requests) {
    EXPECT_EQ(request.status, RequestStatus::ok) << request.problem;
    EXPECT_EQ(request.output_tokens, 8);
    EXPECT_EQ(request.server_prompt_tokens, 64);
    EXPECT_GE(request.first_token_s - request.sent_s, 0.010) << "one step at least";
    // From the sending on, which no busy machine can see too late; the first token it can.
    EXPECT_GE(request.last_token_s - request.sent_s, 0.078) << "eight steps";
  }
}

TEST(Observe, SendsPromptsThatShareWhatThePlanSays) {
  domain::Experiment load = experiment(100.0, 12);
  load.workload.system_prompt_tokens = 40;
  load.workload.prompt_groups = 2;
  const StreamingServer server({});
  const Observation observation = observed(load, options_for(server));
  ASSERT_THAT(server.prompts(), SizeIs(12));
  std::set<std::vector<int>> beginnings;
  std::set<std::vector<int>> prompts;
  for (const std::vector<int>& prompt : server.prompts()) {
    ASSERT_THAT(prompt, SizeIs(64));
    beginnings.insert({prompt.begin(), prompt.begin() + 40});
    prompts.insert(prompt);
  }
  EXPECT_THAT(beginnings, SizeIs(2)) << "one for each group";
  EXPECT_THAT(prompts, SizeIs(12));
  EXPECT_EQ(observation.requests.front().shared_tokens, 40);
}

TEST(Observe, KeepsTheClientsOfAClosedLoopBusyAndNoMore) {
  domain::Experiment load = experiment(1.0, 24);
  load.workload.arrival = {.process = domain::ArrivalProcess::closed_loop, .concurrency = 4};
  const StreamingServer server({.step_us = 3'000.0});
  const Observation observation = observed(load, options_for(server));
  EXPECT_THAT(observation.requests, SizeIs(24));
  EXPECT_EQ(observation.self.most_in_flight, 4);
  EXPECT_EQ(observation.concurrency, 4);
}

TEST(Observe, ClientsOfAClosedLoopAreFreeWhenAFailureIsKnown) {
  domain::Experiment load = experiment(1.0, 4);
  load.workload.arrival = {.process = domain::ArrivalProcess::closed_loop, .concurrency = 1};
  const StreamingServer server({.silent_every = 2});
  ObserveOptions options = options_for(server);
  options.request_timeout_s = 0.5;
  const Observation observation = observed(load, options);
  ASSERT_THAT(observation.requests, SizeIs(4));
  const ObservedRequest& silent = observation.requests[1];
  ASSERT_EQ(silent.status, RequestStatus::timeout);
  EXPECT_EQ(silent.first_token_s, 0.0);
  EXPECT_GE(observation.requests[2].planned_s, silent.sent_s + 0.49);
  EXPECT_EQ(observation.self.lateness_max_ms, 0.0) << "clients that send when they are free are never late";
  EXPECT_THAT(trace_header(observation, options), Not(HasSubstr("lateness")));
}

TEST(Observe, CountsThatNoRequestHasAreNone) {
  CompletionStream stream;
  EXPECT_EQ(stream.feed("data: {\"choices\":[{\"text\":\"a\"}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n"), 1);
  EXPECT_EQ(stream.feed("data: {\"choices\":[{\"text\":\"\"}],\"usage\":{\"prompt_tokens\":4294967301}}\n\ndata: [DO"), 0);
  EXPECT_EQ(stream.feed("NE]\n\ndata: {\"usage\":{\"completion_tokens\":-1}}\n"), 0);
  EXPECT_EQ(stream.feed("data: {\"choices\":[7],\"usage\":{\"prompt_tokens\":18446744073709551615}}\n"), 0);
  EXPECT_TRUE(stream.ended());
  EXPECT_EQ(stream.prompt_tokens(), 7);
  EXPECT_EQ(stream.completion_tokens(), 3);
}

TEST(Observe, WritesWhatServersSayAsText) {
  Observation observation;
  observation.requests.push_back({.status = RequestStatus::error, .problem = "=1,\"\x1b[31m"});
  EXPECT_THAT(trace_table(observation), HasSubstr(R"(,error,"'=1,""\x1b[31m",)"));
  ObserveOptions options;
  options.model = "a\nb\x1b\"";
  EXPECT_THAT(trace_header(observation, options), HasSubstr(R"(  model: "a\nb\u001b\"")"));
}

TEST(Observe, ThrowsTheWarmUpAway) {
  const StreamingServer server({});
  ObserveOptions options = options_for(server);
  options.warm_up_requests = 5;
  const Observation observation = observed(experiment(100.0, 10), options);
  EXPECT_THAT(observation.requests, SizeIs(10));
  EXPECT_THAT(server.prompts(), SizeIs(15));
}

TEST(Observe, KeepsRefusedAndBrokenAnswersAsFailures) {
  const StreamingServer server({.refuse_every = 5, .break_off_every = 7});
  const Observation observation = observed(experiment(100.0, 30), options_for(server));
  const auto count = [&](std::string_view problem) {
    return std::ranges::count_if(observation.requests, [&](const ObservedRequest& request) {
      return request.status == RequestStatus::error && request.problem.find(problem) != std::string::npos;
    });
  };
  EXPECT_EQ(count("HTTP status 503"), 6);
  EXPECT_LE(count("the answer broke off"), 4) << "or the connection's own words";
  EXPECT_EQ(std::ranges::count(observation.requests, RequestStatus::ok, &ObservedRequest::status), 30 - 6 - 4);
}

TEST(Observe, GivesUpAnAnswerThatDoesNotEnd) {
  const StreamingServer server({.step_us = 400'000.0});
  ObserveOptions options = options_for(server);
  options.request_timeout_s = 0.6;
  const auto observation = observe(sim::make_request_plan(experiment(100.0, 3), 1, 0), options);
  ASSERT_FALSE(observation);
  EXPECT_THAT(core::format(observation.error()), HasSubstr("none of 3 requests was answered: no end within the time limit"));
}

TEST(Observe, SaysWhenNobodyListens) {
  ObserveOptions options;
  {
    const StreamingServer server({});
    options = options_for(server);
  }
  const auto observation = observe(sim::make_request_plan(experiment(100.0, 2), 1, 0), options);
  ASSERT_FALSE(observation);
  EXPECT_THAT(core::format(observation.error()), HasSubstr("serves the model 'test'"));
}

TEST(Observe, RefusesAPlanWithoutRequests) {
  const StreamingServer server({});
  sim::RequestPlan plan = sim::make_request_plan(experiment(100.0, 2), 1, 0);
  plan.stages.clear();
  const auto observation = observe(plan, options_for(server));
  ASSERT_FALSE(observation);
  EXPECT_THAT(core::format(observation.error()), HasSubstr("none of 0 requests was answered: there are none"));
}

TEST(Observe, RefusesConversations) {
  domain::Experiment load = experiment(10.0, 8);
  load.workload.pattern = domain::PromptPattern::conversations;
  load.workload.turns_per_conversation = 2;
  const StreamingServer server({});
  const auto observation = observe(sim::make_request_plan(load, 1, 0), options_for(server));
  ASSERT_FALSE(observation);
  EXPECT_THAT(core::format(observation.error()),
              HasSubstr("conversations cannot be sent: their later prompts hold what the server answers (plan prompts that are known "
                        "beforehand)"));
}

TEST(Observe, WritesATraceThatImports) {
  const testing_support::TemporaryFolder folder;
  domain::Experiment load = experiment(50.0, 20);
  load.workload.system_prompt_tokens = 16;
  const StreamingServer server({.step_us = 5'000.0, .refuse_every = 10});
  const ObserveOptions options = options_for(server);
  const Observation observation = observed(load, options);
  folder.write("trace/trace_data.csv", trace_table(observation));
  folder.write("trace/trace_header.yaml", trace_header(observation, options));
  importers::ImportOptions said;
  said.gpu = "H100";
  said.tp = 1;
  said.settings = {{"version", "0.15.1"}, {"max_model_len", "4096"}, {"max_num_batched_tokens", "8192"}, {"max_num_seqs", "256"}};
  const auto imported = importers::import_benchmarks(importers::ImportFormat::blis_trace, std::vector{folder / "trace"}, said);
  ASSERT_TRUE(imported) << core::format(imported.error());
  const domain::Experiment& experiment = imported->experiments.at(0).experiment;
  EXPECT_EQ(experiment.deployment.model, "test");
  ASSERT_THAT(experiment.workload.trace, SizeIs(18));
  EXPECT_EQ(experiment.workload.trace[0].input_tokens, 64);
  EXPECT_EQ(experiment.workload.trace[0].shared_prefix_tokens, 16);
  EXPECT_EQ(experiment.measured.summary.failed, 2);
}

}  // namespace
}  // namespace rooftune::observe
