#include "rooftune/sim/request_plan.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <random>
#include <utility>

#include "draw_lengths.hpp"
#include "rooftune/core/random.hpp"

namespace rooftune::sim {
namespace {

using core::RandomEngine;
using core::StreamPurpose;
using domain::ArrivalProcess;
using domain::Experiment;
using domain::PromptPattern;
using domain::RateRamp;
using domain::Stage;
using domain::TracedRequest;
using domain::Workload;

/// The stage under which warm-up requests draw: no stage of a workload has this index.
constexpr int kWarmUpStage = -1;
/// No engine generates more tokens per second than this, for all its clients or for one of them: bounds of how many requests a
/// closed loop can send in a given time.
constexpr double kMostTokensPerSecond = 4e5;
constexpr double kMostTokensPerSecondOfClient = 4e3;

double exponential(RandomEngine& engine) { return -std::log1p(-core::uniform01(engine)); }

std::vector<double> cumulative(std::vector<double> gaps) {
  std::partial_sum(gaps.begin(), gaps.end(), gaps.begin());
  return gaps;
}

/// Arrival times in seconds after the stage's start.
std::vector<double> draw_arrivals(const Workload& workload, const Stage& stage, std::size_t count, RandomEngine& engine) {
  std::vector<double> gaps(count, 0.0);
  const double mean_gap_s = stage.rate.value > 0.0 ? 1.0 / stage.rate.value : 0.0;
  const domain::Arrival& arrival = workload.arrival;
  switch (arrival.process) {
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
      const double variation = arrival.gamma_coefficient_of_variation;
      const double shape = 1.0 / (variation * variation);
      std::gamma_distribution<double> distribution(shape, mean_gap_s / shape);
      for (double& gap : gaps) gap = distribution(engine);
      break;
    }
    case ArrivalProcess::constant: std::ranges::fill(gaps, mean_gap_s); break;
    case ArrivalProcess::closed_loop:
    case ArrivalProcess::trace: break;
  }
  if (arrival.rate_ramp != RateRamp::none && mean_gap_s > 0.0) {
    const auto last = static_cast<int>(count);
    for (int i = 0; i < last; ++i) {
      gaps[static_cast<std::size_t>(i)] *= stage.rate.value / domain::ramped_rate(arrival, i, last).value;
    }
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

/// Turns of one conversation, in order.
using Conversation = std::vector<PlannedRequest>;

void append(StagePlan& stage, const Conversation& conversation) {
  for (const PlannedRequest& turn : conversation) {
    stage.requests.push_back(turn);
    stage.requests.back().follows = &turn != conversation.data();
  }
}

/// Chains of a table's rows: one for each prefix group, one for each conversation.
class TraceChains {
 public:
  TraceChains(const std::vector<TracedRequest>& rows, std::vector<PrefixChain>& chains) : chains_(chains) {
    std::int64_t last_group = -1;
    for (const TracedRequest& row : rows) last_group = std::max(last_group, row.prefix_group);
    chains_.resize(static_cast<std::size_t>(last_group + 1));
  }

  PlannedRequest request(const TracedRequest& row) {
    PlannedRequest request{.arrival_us = row.arrival_s * 1e6, .prompt_tokens = row.input_tokens, .output_tokens = row.output_tokens};
    if (row.conversation >= 0) {
      const auto [known, is_new] = conversation_.emplace(row.conversation, static_cast<std::int32_t>(chains_.size()));
      if (is_new) chains_.push_back({.parent = static_cast<std::int32_t>(row.prefix_group), .parent_tokens = shared(row)});
      request.chain = known->second;
      request.chain_tokens = row.input_tokens;
      request.extends_chain = true;
    } else if (row.prefix_group >= 0) {
      request.chain = static_cast<std::int32_t>(row.prefix_group);
      request.chain_tokens = shared(row);
    }
    return request;
  }

 private:
  static std::int32_t shared(const TracedRequest& row) {
    return row.prefix_group < 0 ? 0 : std::min(row.shared_prefix_tokens, row.input_tokens);
  }

  std::vector<PrefixChain>& chains_;
  std::map<std::int64_t, std::int32_t> conversation_;
};

/// The table's requests of every stage, by arrival; the turns of a conversation together.
std::vector<StagePlan> traced_stages(const Workload& workload, std::vector<PrefixChain>& chains) {
  TraceChains trace_chains(workload.trace, chains);
  std::vector<StagePlan> stages(workload.stages.size());
  if (std::ranges::none_of(workload.trace, [](const TracedRequest& row) { return row.conversation >= 0; })) {
    for (const TracedRequest& row : workload.trace) {
      stages[static_cast<std::size_t>(row.stage)].requests.push_back(trace_chains.request(row));
    }
    for (StagePlan& stage : stages) std::ranges::stable_sort(stage.requests, {}, &PlannedRequest::arrival_us);
    return stages;
  }
  std::vector<std::vector<Conversation>> conversations(workload.stages.size());
  std::map<std::pair<int, std::int64_t>, std::size_t> place;
  for (const TracedRequest& row : workload.trace) {
    auto& own = conversations[static_cast<std::size_t>(row.stage)];
    const PlannedRequest request = trace_chains.request(row);
    const auto [known, is_new] = place.emplace(std::pair{row.stage, row.conversation}, own.size());
    if (row.conversation >= 0 && !is_new) {
      own[known->second].push_back(request);
    } else {
      own.push_back({request});
    }
  }
  for (std::size_t stage = 0; stage < stages.size(); ++stage) {
    std::ranges::stable_sort(conversations[stage], {}, [](const Conversation& turns) { return turns.front().arrival_us; });
    for (const Conversation& turns : conversations[stage]) append(stages[stage], turns);
  }
  return stages;
}

/// How many requests a closed loop that lasts `stage.duration` can send at most.
int most_requests(const Workload& workload, const Stage& stage, int clients, int replicas) {
  const double tokens = std::max(1.0, workload.output.mean_tokens);
  const double by_clients = clients * kMostTokensPerSecondOfClient / tokens;
  const double by_engine = replicas * kMostTokensPerSecond / tokens;
  return clients + static_cast<int>(std::ceil(stage.duration.value * std::min(by_clients, by_engine)));
}

/// Draws an experiment's requests, stage after stage.
class Planner {
 public:
  Planner(const Experiment& experiment, std::uint64_t seed, int replicate)
      : experiment_(experiment), workload_(experiment.workload), seed_(seed), replicate_(replicate) {}

  RequestPlan plan() {
    const bool closed = workload_.arrival.process == ArrivalProcess::closed_loop;
    if (workload_.pattern == PromptPattern::cycled) {
      cycled_ = draw_cycled_prompts(experiment_, seed_, replicate_, plan_.chains);
    } else if (workload_.system_prompt_tokens > 0 && (workload_.pattern == PromptPattern::unique || has_sessions())) {
      plan_.chains.resize(static_cast<std::size_t>(std::max(1, workload_.prompt_groups)));
      shared_chains_ = plan_.chains.size();
    }
    if (!workload_.trace.empty()) traced_ = traced_stages(workload_, plan_.chains);
    if (closed) plan_.turnaround_us = workload_.arrival.turnaround_us;
    for (std::size_t i = 0; i < workload_.stages.size(); ++i) {
      const int clients = closed ? clients_of(workload_.stages[i]) : 0;
      plan_.concurrency = std::max(plan_.concurrency, clients);
      plan_.stages.push_back(stage(workload_.stages[i], static_cast<int>(i), clients));
    }
    if (workload_.warm_up && workload_.warm_up->requests > 0) plan_.warm_up = warm_up(*workload_.warm_up);
    return std::move(plan_);
  }

 private:
  struct Streams {
    RandomEngine arrivals;
    RandomEngine prompt_lengths;
    RandomEngine output_lengths;
    RandomEngine turns;
  };

  [[nodiscard]] Streams streams(int stage) const {
    const auto stream = [&](StreamPurpose purpose) {
      return core::make_stream(
          {.seed = seed_, .experiment_id = experiment_.id, .stage = stage, .purpose = purpose, .replicate = replicate_});
    };
    return {stream(StreamPurpose::arrivals), stream(StreamPurpose::prompt_lengths), stream(StreamPurpose::output_lengths),
            stream(StreamPurpose::turns)};
  }

  [[nodiscard]] int clients_of(const Stage& stage) const {
    return std::max(1, stage.concurrency > 0 ? stage.concurrency : workload_.arrival.concurrency);
  }

  /// Whether a turn waits for the reply to the one before. Else requests come when their arrival says, conversation or not.
  [[nodiscard]] bool has_sessions() const {
    return workload_.pattern == PromptPattern::conversations &&
           (workload_.arrival.process == ArrivalProcess::closed_loop || workload_.turns || workload_.think_time.mean.value > 0.0);
  }

  StagePlan stage(const Stage& stage, int index, int clients) {
    StagePlan planned = traced_.empty() ? drawn_stage(stage, index, clients) : traced_stage(stage, index);
    planned.concurrency = clients;
    if (clients > 0) {
      if (workload_.arrival.start == domain::ClientStart::ramp) ramp(planned, clients);
      if (stage.num_requests == 0) planned.send_until_us = stage.duration.value * 1e6;
    } else if (workload_.arrival.process != ArrivalProcess::trace) {
      planned.requests_per_us = stage.rate.value * 1e-6;
    } else if (planned.requests.size() > 1) {
      planned.requests_per_us = trace_rate(planned);
    }
    return planned;
  }

  /// The clients start one after the other, each with the next conversation.
  void ramp(StagePlan& planned, int clients) const {
    const double gap_us = clients > 1 ? workload_.arrival.ramp.value * 1e6 / (clients - 1) : 0.0;
    int client = 0;
    for (PlannedRequest& request : planned.requests) {
      if (request.follows) continue;
      request.arrival_us = gap_us * client;
      if (++client == clients) break;
    }
  }

  /// Requests that follow nobody, per time until the last of them.
  static double trace_rate(const StagePlan& planned) {
    double count = 0.0;
    double last_us = 0.0;
    for (const PlannedRequest& request : planned.requests) {
      if (request.follows) continue;
      count += 1.0;
      last_us = request.arrival_us;
    }
    return last_us > 0.0 ? count / last_us : 0.0;
  }

  /// Gives those that follow nobody the arrivals that the load generator draws.
  void draw_arrivals_of(StagePlan& planned, const Stage& stage, RandomEngine& engine) const {
    const auto count = std::ranges::count(planned.requests, false, &PlannedRequest::follows);
    const std::vector<double> arrival_s = draw_arrivals(workload_, stage, static_cast<std::size_t>(count), engine);
    auto next = arrival_s.begin();
    for (PlannedRequest& request : planned.requests) {
      if (!request.follows) request.arrival_us = *next++ * 1e6;
    }
  }

  /// Lengths and prefixes from the table; arrivals from it too, or drawn.
  StagePlan traced_stage(const Stage& stage, int index) {
    StagePlan planned = std::move(traced_[static_cast<std::size_t>(index)]);
    if (workload_.arrival.process != ArrivalProcess::trace) {
      Streams random = streams(index);
      draw_arrivals_of(planned, stage, random.arrivals);
    }
    return planned;
  }

  StagePlan drawn_stage(const Stage& stage, int index, int clients) {
    Streams random = streams(index);
    const int requests = stage.num_requests > 0
                             ? stage.num_requests
                             : most_requests(workload_, stage, clients, std::max(1, domain::schedulers(experiment_.deployment)));
    const auto count = static_cast<std::size_t>(requests);
    if (has_sessions()) return sessions(stage, count, random);
    const std::vector<double> arrival_s = draw_arrivals(workload_, stage, count, random.arrivals);
    DrawnLengths numpy;
    if (workload_.numpy_seed) numpy = draw_numpy_lengths(workload_, count);
    StagePlan planned;
    planned.requests.reserve(count);
    std::int32_t conversation_tokens = 0;
    for (std::size_t i = 0; i < count; ++i) {
      PlannedRequest request{
          .arrival_us = arrival_s[i] * 1e6,
          .output_tokens = workload_.numpy_seed ? numpy.output_tokens[i] : draw_length(workload_.output, random.output_lengths)};
      switch (workload_.pattern) {
        case PromptPattern::cycled: {
          // The index restarts in every stage, as the load generator's data source does.
          const std::size_t prompt = i % cycled_.tokens.size();
          request.prompt_tokens = cycled_.tokens[prompt];
          request.chain = cycled_.chain[prompt];
          request.chain_tokens = request.prompt_tokens;
          break;
        }
        case PromptPattern::unique:
          request.prompt_tokens = workload_.numpy_seed ? numpy.prompt_tokens[i] : draw_length(workload_.prompt, random.prompt_lengths);
          if (shared_chains_ > 0) {
            request.chain = static_cast<std::int32_t>(i % shared_chains_);
            request.chain_tokens = std::min(workload_.system_prompt_tokens, request.prompt_tokens);
          }
          break;
        case PromptPattern::conversations: {
          const auto turn = static_cast<int>(i) % std::max(1, workload_.turns_per_conversation);
          if (turn == 0) {
            plan_.chains.push_back({});
            conversation_tokens = 0;
          }
          request.prompt_tokens = conversation_tokens + draw_length(workload_.prompt, random.prompt_lengths);
          request.chain = static_cast<std::int32_t>(plan_.chains.size()) - 1;
          request.chain_tokens = request.prompt_tokens;
          request.extends_chain = true;
          conversation_tokens = request.prompt_tokens + request.output_tokens;
          break;
        }
      }
      planned.requests.push_back(request);
    }
    return planned;
  }

  /// `count` requests as conversations; the last one may be cut short. In an open loop the rate is that of conversations.
  StagePlan sessions(const Stage& stage, std::size_t count, Streams& random) {
    StagePlan planned;
    planned.requests.reserve(count);
    for (std::size_t index = 0; planned.requests.size() < count; ++index) {
      append(planned, conversation(index, count - planned.requests.size(), random));
    }
    draw_arrivals_of(planned, stage, random.arrivals);
    return planned;
  }

  Conversation conversation(std::size_t index, std::size_t most_turns, Streams& random) {
    PrefixChain chain;
    std::int32_t tokens = 0;
    if (shared_chains_ > 0) {
      chain = {.parent = static_cast<std::int32_t>(index % shared_chains_), .parent_tokens = workload_.system_prompt_tokens};
      tokens = workload_.system_prompt_tokens;
    }
    plan_.chains.push_back(chain);
    const int turns = workload_.turns ? draw_length(*workload_.turns, random.turns) : std::max(1, workload_.turns_per_conversation);
    Conversation conversation;
    while (conversation.size() < std::min(static_cast<std::size_t>(turns), most_turns)) {
      const std::int32_t question = draw_length(workload_.prompt, random.prompt_lengths) - workload_.system_prompt_tokens;
      PlannedRequest request{.output_tokens = draw_length(workload_.output, random.output_lengths)};
      if (!conversation.empty()) request.arrival_us = think_us(random.turns);
      request.prompt_tokens = tokens + std::max(1, question);
      request.chain = static_cast<std::int32_t>(plan_.chains.size()) - 1;
      request.chain_tokens = request.prompt_tokens;
      request.extends_chain = true;
      tokens = request.prompt_tokens + request.output_tokens;
      conversation.push_back(request);
    }
    return conversation;
  }

  double think_us(RandomEngine& engine) const {
    const double mean_us = workload_.think_time.mean.value * 1e6;
    if (mean_us <= 0.0) return 0.0;
    return workload_.think_time.shape == domain::ThinkTime::Shape::exponential ? mean_us * exponential(engine) : mean_us;
  }

  /// Warm-up requests are a closed loop of their own.
  StagePlan warm_up(const domain::WarmUp& warm_up) {
    StagePlan planned;
    if (warm_up.prompt == domain::WarmUp::Prompt::first && !plan_.stages.empty() && !plan_.stages.front().requests.empty()) {
      PlannedRequest& first = plan_.stages.front().requests.front();
      if (first.chain < 0 || first.chain_tokens < first.prompt_tokens) {
        plan_.chains.push_back({.parent = first.chain, .parent_tokens = first.chain_tokens});
        first.chain = static_cast<std::int32_t>(plan_.chains.size()) - 1;
        first.chain_tokens = first.prompt_tokens;
      }
      PlannedRequest copy = first;
      copy.arrival_us = 0.0;
      planned.requests.assign(static_cast<std::size_t>(warm_up.requests), copy);
    } else {
      planned = drawn_stage({.rate = {}, .duration = {}, .num_requests = warm_up.requests}, kWarmUpStage, warm_up.concurrency);
      for (PlannedRequest& request : planned.requests) request.arrival_us = 0.0;
    }
    planned.concurrency = warm_up.concurrency;
    return planned;
  }

  const Experiment& experiment_;
  const Workload& workload_;
  std::uint64_t seed_;
  int replicate_;
  RequestPlan plan_;
  CycledPrompts cycled_;
  std::size_t shared_chains_ = 0;  ///< the first so many chains are prompts that groups share
  std::vector<StagePlan> traced_;  ///< from the table, if there is one
};

/// Every request has a stream of accepted draft tokens of its own.
void draw_acceptance(RequestPlan& plan, std::string_view experiment_id, std::uint64_t seed, int replicate) {
  const auto draw_stage = [&](StagePlan& stage, int index) {
    RandomEngine random = core::make_stream({.seed = seed,
                                             .experiment_id = experiment_id,
                                             .stage = index,
                                             .purpose = core::StreamPurpose::acceptance,
                                             .replicate = replicate});
    for (PlannedRequest& request : stage.requests) request.draw = static_cast<std::uint32_t>(random() >> 32U);
  };
  for (std::size_t stage = 0; stage < plan.stages.size(); ++stage) draw_stage(plan.stages[stage], static_cast<int>(stage));
  if (plan.warm_up) draw_stage(*plan.warm_up, kWarmUpStage);
}

}  // namespace

double mean_context_tokens(const RequestPlan& plan) {
  double tokens = 0.0;
  double requests = 0.0;
  for (const StagePlan& stage : plan.stages) {
    for (const PlannedRequest& request : stage.requests) tokens += request.prompt_tokens + 0.5 * request.output_tokens;
    requests += static_cast<double>(stage.requests.size());
  }
  return requests > 0.0 ? tokens / requests : 0.0;
}

RequestPlan make_request_plan(const Experiment& experiment, std::uint64_t seed, int replicate) {
  RequestPlan plan = Planner(experiment, seed, replicate).plan();
  if (experiment.deployment.settings.speculative) draw_acceptance(plan, experiment.id, seed, replicate);
  return plan;
}

}  // namespace rooftune::sim
