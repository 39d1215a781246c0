#include "rooftune/sim/request_plan.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "rooftune/core/random.hpp"

namespace rooftune::sim {
namespace {

using core::RandomEngine;
using core::StreamPurpose;
using domain::ArrivalProcess;
using domain::Experiment;
using domain::LengthDistribution;
using domain::PromptPattern;
using domain::Stage;
using domain::Workload;

double exponential(RandomEngine& engine) { return -std::log1p(-core::uniform01(engine)); }

/// Marsaglia polar method; spelled out because std::normal_distribution differs between libraries.
double standard_normal(RandomEngine& engine) {
  while (true) {
    const double u = 2.0 * core::uniform01(engine) - 1.0;
    const double v = 2.0 * core::uniform01(engine) - 1.0;
    const double s = u * u + v * v;
    if (s > 0.0 && s < 1.0) return u * std::sqrt(-2.0 * std::log(s) / s);
  }
}

std::int32_t draw_length(const LengthDistribution& length, RandomEngine& engine) {
  double tokens = length.mean_tokens;
  if (length.standard_deviation_tokens > 0.0) tokens += length.standard_deviation_tokens * standard_normal(engine);
  return static_cast<std::int32_t>(std::lround(std::clamp(tokens, std::max(1.0, length.min_tokens), length.max_tokens)));
}

std::vector<double> cumulative(std::vector<double> gaps) {
  std::partial_sum(gaps.begin(), gaps.end(), gaps.begin());
  return gaps;
}

/// Arrival times in seconds after the stage's start.
std::vector<double> draw_arrivals(const Workload& workload, const Stage& stage, RandomEngine& engine) {
  const auto count = static_cast<std::size_t>(stage.num_requests);
  std::vector<double> gaps(count, 0.0);
  const double mean_gap_s = stage.rate.value > 0.0 ? 1.0 / stage.rate.value : 0.0;
  switch (workload.arrival.process) {
    case ArrivalProcess::conditioned_poisson: {
      // inference-perf's "constant" load: exponential gaps rescaled so that the last request leaves at the stage's end.
      for (double& gap : gaps) gap = exponential(engine);
      const double total = std::accumulate(gaps.begin(), gaps.end(), 0.0);
      for (double& gap : gaps) gap *= stage.duration.value / total;
      break;
    }
    case ArrivalProcess::poisson:
      for (double& gap : gaps) gap = mean_gap_s * exponential(engine);
      break;
    case ArrivalProcess::gamma: {
      const double variation = workload.arrival.gamma_coefficient_of_variation;
      const double shape = 1.0 / (variation * variation);
      std::gamma_distribution<double> distribution(shape, mean_gap_s / shape);
      for (double& gap : gaps) gap = distribution(engine);
      break;
    }
    case ArrivalProcess::constant: std::ranges::fill(gaps, mean_gap_s); break;
    case ArrivalProcess::closed_loop:
    case ArrivalProcess::trace: break;
  }
  return cumulative(std::move(gaps));
}

/// The prompts that a cycled workload repeats: fixed lengths, and a leaf chain each under its group's system prompt.
struct CycledPrompts {
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> chain;
};

CycledPrompts draw_cycled_prompts(const Experiment& experiment, std::uint64_t seed, int replicate, std::vector<PrefixChain>& chains) {
  const Workload& workload = experiment.workload;
  const int distinct = std::max(1, workload.distinct_prompts);
  auto lengths = core::make_stream(
      {.seed = seed, .experiment_id = experiment.id, .stage = 0, .purpose = StreamPurpose::prompt_lengths, .replicate = replicate});
  auto order = core::make_stream(
      {.seed = seed, .experiment_id = experiment.id, .stage = 0, .purpose = StreamPurpose::prompt_order, .replicate = replicate});
  const int groups = workload.system_prompt_tokens > 0 ? std::max(1, workload.prompt_groups) : 0;
  for (int group = 0; group < groups; ++group) chains.push_back({});
  std::vector<int> group_of(static_cast<std::size_t>(distinct));
  for (int i = 0; i < distinct; ++i) group_of[static_cast<std::size_t>(i)] = groups > 0 ? i % groups : -1;
  for (std::size_t i = group_of.size(); i > 1; --i) {
    std::swap(group_of[i - 1], group_of[static_cast<std::size_t>(core::uniform01(order) * static_cast<double>(i))]);
  }
  CycledPrompts prompts;
  for (int i = 0; i < distinct; ++i) {
    const double half_range = workload.prompt.mean_tokens * workload.prompt_spread_fraction / 2.0;
    const double drawn = workload.prompt.mean_tokens + half_range * (2.0 * core::uniform01(lengths) - 1.0);
    prompts.tokens.push_back(static_cast<std::int32_t>(std::max(1L, std::lround(drawn))));
    prompts.chain.push_back(static_cast<std::int32_t>(chains.size()));
    chains.push_back(
        {.parent = group_of[static_cast<std::size_t>(i)], .parent_tokens = groups > 0 ? workload.system_prompt_tokens : 0});
  }
  return prompts;
}

RequestPlan plan_from_trace(const Experiment& experiment) {
  const Workload& workload = experiment.workload;
  RequestPlan plan;
  plan.stages.resize(workload.stages.size());
  std::int64_t last_group = -1;
  for (const auto& traced : workload.trace) last_group = std::max(last_group, traced.prefix_group);
  plan.chains.resize(static_cast<std::size_t>(last_group + 1));
  for (const auto& traced : workload.trace) {
    plan.stages[static_cast<std::size_t>(traced.stage)].requests.push_back(
        {.arrival_us = traced.arrival_s * 1e6,
         .prompt_tokens = traced.input_tokens,
         .output_tokens = traced.output_tokens,
         .chain = static_cast<std::int32_t>(traced.prefix_group),
         .chain_tokens = traced.prefix_group < 0 ? 0 : std::min(traced.shared_prefix_tokens, traced.input_tokens)});
  }
  for (StagePlan& stage : plan.stages) {
    std::ranges::stable_sort(stage.requests, {}, &PlannedRequest::arrival_us);
    if (stage.requests.size() > 1 && stage.requests.back().arrival_us > 0.0) {
      stage.requests_per_us = static_cast<double>(stage.requests.size()) / stage.requests.back().arrival_us;
    }
  }
  return plan;
}

}  // namespace

RequestPlan make_request_plan(const Experiment& experiment, std::uint64_t seed, int replicate) {
  const Workload& workload = experiment.workload;
  if (workload.arrival.process == ArrivalProcess::trace) return plan_from_trace(experiment);

  RequestPlan plan;
  if (workload.arrival.process == ArrivalProcess::closed_loop) plan.concurrency = std::max(1, workload.arrival.concurrency);
  CycledPrompts cycled;
  if (workload.pattern == PromptPattern::cycled) {
    cycled = draw_cycled_prompts(experiment, seed, replicate, plan.chains);
  } else if (workload.pattern == PromptPattern::unique && workload.system_prompt_tokens > 0) {
    plan.chains.resize(static_cast<std::size_t>(std::max(1, workload.prompt_groups)));
  }
  for (std::size_t stage_index = 0; stage_index < workload.stages.size(); ++stage_index) {
    const Stage& stage = workload.stages[stage_index];
    const auto stream = [&](StreamPurpose purpose) {
      return core::make_stream({.seed = seed,
                                .experiment_id = experiment.id,
                                .stage = static_cast<int>(stage_index),
                                .purpose = purpose,
                                .replicate = replicate});
    };
    RandomEngine arrivals = stream(StreamPurpose::arrivals);
    RandomEngine prompt_lengths = stream(StreamPurpose::prompt_lengths);
    RandomEngine output_lengths = stream(StreamPurpose::output_lengths);
    const std::vector<double> arrival_s = draw_arrivals(workload, stage, arrivals);
    StagePlan& planned = plan.stages.emplace_back();
    planned.requests_per_us = plan.concurrency > 0 ? 0.0 : stage.rate.value * 1e-6;
    planned.requests.reserve(arrival_s.size());
    std::int32_t conversation_tokens = 0;
    for (std::size_t i = 0; i < arrival_s.size(); ++i) {
      PlannedRequest request{.arrival_us = arrival_s[i] * 1e6, .output_tokens = draw_length(workload.output, output_lengths)};
      switch (workload.pattern) {
        case PromptPattern::cycled: {
          // The index restarts in every stage, as the load generator's data source does.
          const std::size_t prompt = i % cycled.tokens.size();
          request.prompt_tokens = cycled.tokens[prompt];
          request.chain = cycled.chain[prompt];
          request.chain_tokens = request.prompt_tokens;
          break;
        }
        case PromptPattern::unique:
          request.prompt_tokens = draw_length(workload.prompt, prompt_lengths);
          if (!plan.chains.empty()) {
            request.chain = static_cast<std::int32_t>(i % plan.chains.size());
            request.chain_tokens = std::min(workload.system_prompt_tokens, request.prompt_tokens);
          }
          break;
        case PromptPattern::conversations: {
          const auto turn = static_cast<int>(i) % std::max(1, workload.turns_per_conversation);
          if (turn == 0) {
            plan.chains.push_back({});
            conversation_tokens = 0;
          }
          request.prompt_tokens = conversation_tokens + draw_length(workload.prompt, prompt_lengths);
          request.chain = static_cast<std::int32_t>(plan.chains.size()) - 1;
          request.chain_tokens = request.prompt_tokens;
          request.extends_chain = true;
          conversation_tokens = request.prompt_tokens + request.output_tokens;
          break;
        }
      }
      planned.requests.push_back(request);
    }
  }
  return plan;
}

}  // namespace rooftune::sim
