#include "recorded_schedules.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>
#include <tuple>

#include "rooftune/latency/step_time.hpp"
#include "rooftune/sim/engine_releases.hpp"

namespace rooftune::sim::recorded {
namespace {

using nlohmann::json;

/// "0.15.1-async-pre-unique" of "0.15.1-async-pre-unique-70003".
std::string group_of(std::string id) {
  while (true) {
    const std::size_t dash = id.rfind('-');
    if (dash == std::string::npos || dash + 1 == id.size()) return id;
    if (id.find_first_not_of("0123456789", dash + 1) != std::string::npos) return id;
    id.erase(dash);
  }
}

void read_requests(const json& text, Workload& workload) {
  const json& requests = text.at("requests");
  const auto concurrency = text.contains("concurrency") && !text["concurrency"].is_null() ? text["concurrency"].get<int>() : 0;
  workload.plan.concurrency = concurrency;
  workload.numbers.resize(requests.size());
  std::iota(workload.numbers.begin(), workload.numbers.end(), std::int64_t{0});
  const auto arrival_of = [&](std::int64_t number) {
    const json& arrival = requests.at(static_cast<std::size_t>(number)).at(0);
    return concurrency > 0 || arrival.is_null() ? 0.0 : arrival.get<double>();
  };
  std::ranges::stable_sort(workload.numbers, {}, arrival_of);
  StagePlan& stage = workload.plan.stages.emplace_back();
  for (const std::int64_t number : workload.numbers) {
    const json& from = requests.at(static_cast<std::size_t>(number));
    PlannedRequest request{.arrival_us = arrival_of(number), .prompt_tokens = from.at(1), .output_tokens = from.at(2)};
    request.chain = from.size() > 3 ? from[3].get<int>() : -1;
    request.extends_chain = request.chain >= 0 && from.size() > 5 && from[5].get<int>() != 0;
    if (request.chain >= 0) {
      request.chain_tokens = request.extends_chain ? request.prompt_tokens : std::min(from.at(4).get<int>(), request.prompt_tokens);
    }
    stage.requests.push_back(request);
  }
}

Workload read_workload(const json& text) {
  Workload workload;
  workload.id = text.at("id");
  workload.group = group_of(workload.id);
  const std::string version = text.at("version");
  const json& settings = text.at("settings");
  EngineSetup& setup = workload.setup;
  setup.kv_blocks = settings.at("kv_blocks");
  setup.block_tokens = settings.at("block_size");
  setup.max_num_seqs = settings.at("max_num_seqs");
  setup.max_num_batched_tokens = settings.at("max_num_batched_tokens");
  setup.max_model_len = settings.at("max_model_len");
  setup.long_prefill_token_threshold = settings.value("long_prefill_token_threshold", 0);
  setup.chunked_prefill = settings.value("enable_chunked_prefill", true);
  setup.prefix_caching = settings.value("enable_prefix_caching", true);
  setup.async_scheduling = settings.at("async_scheduling");
  apply_version(version, setup);
  setup.reserve_full_isl = settings.value("scheduler_reserve_full_isl", setup.reserve_full_isl);
  setup.watermark_blocks = static_cast<std::int64_t>(settings.value("watermark", 0.0) * static_cast<double>(setup.kv_blocks));

  const json& times = text.at("step_time");
  workload.times = {.constant_us = times.at("constant_us"),
                    .per_token_us = times.value("per_token_us", 0.0),
                    .per_computed_token_us = times.value("per_computed_token_us", 0.0)};
  for (const json& chain : text.at("chains")) {
    workload.plan.chains.push_back({.parent = chain.at(0), .parent_tokens = chain.at(0).get<int>() < 0 ? 0 : chain.at(1).get<int>()});
  }
  read_requests(text, workload);
  if (text.contains("turnaround_us") && !text["turnaround_us"].is_null()) workload.turnaround_us = text["turnaround_us"];

  for (const json& from : text.at("expect").at("steps")) {
    Step& step = workload.steps.emplace_back();
    step.start_us = from.at(0);
    for (const json& request : from.at(1)) {
      step.requests.push_back({.index = request.at(0), .computed_tokens = request.at(1), .new_tokens = request.at(2)});
    }
    step.kv_blocks_in_use = from.at(2);
  }
  const bool tells_preemptions = domain::find_release(version).value_or(kDevelopment) >= domain::Release{0, 12, 0};
  for (const json& from : text.at("expect").at("requests")) {
    Outcome& outcome = workload.requests.emplace_back();
    outcome.first_token_us = from.at(0);
    outcome.finished_us = from.at(1);
    outcome.cached_tokens = from.at(2);
    if (tells_preemptions) outcome.preemptions = from.at(3).get<std::int64_t>();
  }
  return workload;
}

class RecordedStepTime final : public latency::StepTime<double> {
 public:
  explicit RecordedStepTime(const StepTimes& times) : times_(times) {}
  [[nodiscard]] latency::StepPiece<double> piece(const latency::Batch& batch) override {
    std::int64_t tokens = batch.decode_requests;
    std::int64_t computed = batch.decode_context_tokens;
    for (const latency::PrefillChunk& chunk : batch.prefills) {
      tokens += chunk.new_tokens;
      computed += chunk.context_tokens;
    }
    return {.duration_us = times_.constant_us + times_.per_token_us * static_cast<double>(tokens) +
                           times_.per_computed_token_us * static_cast<double>(computed),
            .slope_us_per_token = times_.per_computed_token_us,
            .valid_steps = batch.prefills.empty() ? latency::kEveryStep : 1};
  }
  [[nodiscard]] latency::StepBreakdown breakdown(const latency::Batch& batch) override {
    return {.total_us = piece(batch).duration_us, .terms = {}, .bound = "recorded"};
  }

 private:
  StepTimes times_;
};

/// Keeps what the engine did.
class Recorder final : public Observer {
 public:
  Recorder(const Workload& workload, bool schedules) : workload_(workload), schedules_(schedules) {
    requests.resize(workload.numbers.size());
  }
  [[nodiscard]] bool wants_schedules() const override { return schedules_; }
  void on_schedule(const ScheduleEvent& event) override {
    Step& step = steps.emplace_back();
    step.start_us = event.start_us;
    step.kv_blocks_in_use = event.kv_blocks_in_use;
    for (ScheduledTokens request : event.requests) {
      request.index = number(request.index);
      step.requests.push_back(request);
    }
  }
  void on_finished(const RequestEvent& event) override {
    requests[static_cast<std::size_t>(number(event.index))] = {.first_token_us = event.first_token_us,
                                                               .finished_us = event.finished_us,
                                                               .cached_tokens = event.cached_tokens,
                                                               .preemptions = event.preemptions};
  }
  std::vector<Step> steps;
  std::vector<Outcome> requests;

 private:
  [[nodiscard]] std::int64_t number(std::int64_t place) const { return workload_.numbers[static_cast<std::size_t>(place)]; }
  const Workload& workload_;
  bool schedules_;
};

/// Recorded times have three decimals.
bool same_us(double a, double b) { return std::abs(a - b) <= 2e-3; }

bool same(const ScheduledTokens& a, const ScheduledTokens& b) {
  return std::tie(a.index, a.computed_tokens, a.new_tokens) == std::tie(b.index, b.computed_tokens, b.new_tokens);
}

std::string text_of(const Step& step) {
  std::string requests;
  for (const ScheduledTokens& request : step.requests) {
    requests += fmt::format("{}[{},{},{}]", requests.empty() ? "" : " ", request.index, request.computed_tokens, request.new_tokens);
  }
  return fmt::format("{:.3f} us {} with {} blocks", step.start_us, requests, step.kv_blocks_in_use);
}

std::string text_of(const Outcome& outcome) {
  return fmt::format("first token {:.3f}, finished {:.3f}, cached {}, preemptions {}", outcome.first_token_us, outcome.finished_us,
                     outcome.cached_tokens, outcome.preemptions.value_or(0));
}

std::string difference_of_steps(const Workload& workload, const std::vector<Step>& steps) {
  for (std::size_t i = 0; i < std::min(steps.size(), workload.steps.size()); ++i) {
    const Step& ours = steps[i];
    const Step& theirs = workload.steps[i];
    const bool agrees = same_us(ours.start_us, theirs.start_us) && ours.kv_blocks_in_use == theirs.kv_blocks_in_use &&
                        std::ranges::equal(ours.requests, theirs.requests, same);
    if (!agrees) return fmt::format("step {}: {}, recorded {}", i, text_of(ours), text_of(theirs));
  }
  if (steps.size() != workload.steps.size()) return fmt::format("{} steps, recorded {}", steps.size(), workload.steps.size());
  return "";
}

std::string difference_of_requests(const Workload& workload, const std::vector<Outcome>& outcomes) {
  for (std::size_t i = 0; i < workload.requests.size(); ++i) {
    const Outcome& ours = outcomes.at(i);
    const Outcome& theirs = workload.requests[i];
    const bool agrees = same_us(ours.first_token_us, theirs.first_token_us) && same_us(ours.finished_us, theirs.finished_us) &&
                        ours.cached_tokens == theirs.cached_tokens && (!theirs.preemptions || ours.preemptions == theirs.preemptions);
    if (!agrees) return fmt::format("request {}: {}, recorded {}", i, text_of(ours), text_of(theirs));
  }
  return "";
}

Recorder replay(const Workload& workload, bool schedules) {
  Recorder recorder(workload, schedules);
  RecordedStepTime times(workload.times);
  Engine<double> engine(workload.setup, workload.plan.chains, times, {.turnaround_us = workload.turnaround_us, .observer = &recorder});
  (void)engine.run_stage(workload.plan.stages.front(), workload.plan.concurrency, 0.0);
  return recorder;
}

}  // namespace

std::vector<Workload> read(const std::filesystem::path& file) {
  std::ifstream stream(file);
  if (!stream) throw std::runtime_error(fmt::format("{}: cannot be read", file.string()));
  std::vector<Workload> workloads;
  int number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      workloads.push_back(read_workload(json::parse(line)));
    } catch (const json::exception& error) {
      throw std::runtime_error(fmt::format("{}:{}: {}", file.string(), number, error.what()));
    }
  }
  return workloads;
}

void apply_version(const std::string& version, EngineSetup& setup) {
  domain::Deployment deployment;
  deployment.settings.version = version;
  const SettledDeployment settled = settle(deployment, {}, {});
  setup.reserve_full_isl = *settled.deployment.settings.scheduler_reserve_full_isl;
  setup.free_unhashed_first = settled.freed_unhashed_first;
}

std::string first_difference(const Workload& workload) {
  const Recorder stepped = replay(workload, true);
  if (std::string difference = difference_of_steps(workload, stepped.steps); !difference.empty()) return difference;
  if (std::string difference = difference_of_requests(workload, stepped.requests); !difference.empty()) return difference;
  const Recorder advanced = replay(workload, false);
  if (std::string difference = difference_of_requests(workload, advanced.requests); !difference.empty()) {
    return "in closed form: " + difference;
  }
  return "";
}

}  // namespace rooftune::sim::recorded
