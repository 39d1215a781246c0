#include "rooftune/runs/ad_hoc_load.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "rooftune/core/limits.hpp"
#include "rooftune/data/request_table.hpp"

namespace rooftune::runs {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

/// The whole text is a number.
template <class Number>
bool reads(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

std::optional<bool> chosen(const std::string& word) {
  if (word == "auto") return std::nullopt;
  return word == "on";
}

/// Uniform from `ratio` of the mean length to it, in whole tokens, as `vllm bench serve --random-range-ratio` once had it.
domain::LengthDistribution in_range(const domain::LengthDistribution& length, double ratio) {
  const double longest = std::floor(length.mean_tokens);
  const double shortest = std::max(1.0, std::floor(ratio * longest));
  return {
      .mean_tokens = 0.5 * (shortest + longest), .min_tokens = shortest, .max_tokens = longest, .shape = domain::LengthShape::uniform};
}

domain::Workload workload_of(const AdHocLoad& load) {
  domain::Workload workload;
  workload.name = "command line";
  workload.pattern = load.distinct_prompts > 0 ? domain::PromptPattern::cycled : domain::PromptPattern::unique;
  workload.distinct_prompts = load.distinct_prompts;
  workload.system_prompt_tokens = load.shared_prefix_tokens;
  workload.prompt_groups = load.prompt_groups;
  workload.prompt = load.range_ratio ? in_range(load.prompt, *load.range_ratio) : load.prompt;
  workload.output = load.range_ratio ? in_range(load.output, *load.range_ratio) : load.output;
  if (load.numpy_seed) workload.numpy_seed = static_cast<std::uint32_t>(*load.numpy_seed);
  workload.arrival = load.arrival;
  if (load.arrival.ramp.value > 0.0) workload.arrival.start = domain::ClientStart::ramp;
  if (load.turns > 1) {
    workload.pattern = domain::PromptPattern::conversations;
    workload.turns = domain::LengthDistribution{.mean_tokens = static_cast<double>(load.turns)};
    workload.think_time.mean = {load.think_time_s};
  }
  return workload;
}

/// One load: requests at a rate, under a ramp, or from `clients` clients.
domain::Experiment experiment_of(const AdHocLoad& load, std::string id, double rate_per_s, int clients) {
  domain::Experiment experiment;
  experiment.id = std::move(id);
  experiment.deployment = {.model = load.model,
                           .hardware = load.gpu,
                           .tp = load.tp,
                           .dp = load.replicas,
                           .pp = load.pp,
                           .precision = "",
                           .engine = load.engine.engine,
                           .settings = load.engine.settings()};
  experiment.deployment.settings.block_size = domain::default_block_size(load.engine.engine);
  if (load.prefill_decode) experiment.deployment.prefill_decode = parse_prefill_decode(*load.prefill_decode).value();
  experiment.workload = workload_of(load);
  domain::Arrival& arrival = experiment.workload.arrival;
  domain::Stage stage;
  if (clients > 0) {
    arrival.process = domain::ArrivalProcess::closed_loop;
    arrival.concurrency = clients;
    if (load.num_prompts) {
      stage.num_requests = *load.num_prompts;
    } else {
      stage.duration = {load.duration_s};
    }
  } else {
    const int requests = load.num_prompts.value_or(
        std::max(1, static_cast<int>(std::lround(std::min<double>(rate_per_s * load.duration_s, core::limits::kRequests)))));
    if (arrival.rate_ramp != domain::RateRamp::none) rate_per_s = domain::mean_rate(arrival, requests).value;
    stage = {.rate = {rate_per_s}, .duration = {load.num_prompts ? requests / rate_per_s : load.duration_s}, .num_requests = requests};
  }
  if (!load.table.empty()) {
    // The table counts its requests; without clients its arrivals are replayed.
    experiment.workload.trace = load.table;
    stage.num_requests = static_cast<int>(load.table.size());
    if (clients == 0) arrival.process = domain::ArrivalProcess::trace;
  }
  experiment.workload.stages = {stage};
  if (load.num_warmups) {
    experiment.workload.warm_up =
        domain::WarmUp{.requests = *load.num_warmups,
                       .concurrency = std::max(1, clients),
                       .prompt = load.warm_up_prompt == "first" ? domain::WarmUp::Prompt::first : domain::WarmUp::Prompt::next};
  }
  return experiment;
}

/// What contradicts itself among the flags.
core::Diagnostics contradictions(const AdHocLoad& load) {
  core::Diagnostics problems;
  const auto report = [&](std::string text, std::string remedy) {
    problems.push_back({.position = {}, .problem = std::move(text), .remedy = std::move(remedy)});
  };
  const bool closed = !load.concurrency.empty();
  if (closed && !load.rates_per_s.empty()) report("both clients (--concurrency) and rates (--rates) are given", "give one of them");
  if (!closed && load.arrival.ramp.value > 0.0) report("--client-ramp starts clients, but there are none", "give --concurrency");
  if (load.numpy_seed && !load.range_ratio) report("--numpy-seed draws lengths in a range, but none is given", "give --range-ratio");
  if (load.ramp_up_strategy) {
    const bool has_rates = load.arrival.first_rate.value > 0.0 && load.arrival.last_rate.value > 0.0;
    if (!has_rates) report("a ramp of the rate needs both its ends", "give --ramp-up-start-rps and --ramp-up-end-rps");
    if (!load.num_prompts) report("a ramp of the rate goes from the first request to the last", "give --num-prompts");
    if (closed || !load.rates_per_s.empty()) report("a ramp of the rate goes with neither clients nor --rates", "leave one out");
    if (load.arrival.process != domain::ArrivalProcess::poisson && load.arrival.process != domain::ArrivalProcess::gamma) {
      report("a ramp of the rate goes with Poisson or gamma arrivals", "give --arrivals poisson");
    }
  } else if (load.arrival.first_rate.value > 0.0 || load.arrival.last_rate.value > 0.0) {
    report("the ends of a ramp are given, but not how it goes", "give --ramp-up-strategy linear or exponential");
  }
  const runs::EngineFlags& engine = load.engine;
  if (!engine.speculation && (!engine.draft_model.empty() || engine.draft_layers != 1)) {
    report("a drafter (--draft-model, --draft-layers) is given, but not how it drafts", "give --speculation");
  }
  if (load.turns > 1 && load.distinct_prompts > 0) report("conversations (--turns) repeat no prompts", "leave --distinct-prompts out");
  return problems;
}

}  // namespace

domain::EngineSettings EngineFlags::settings() const {
  domain::EngineSettings settings{.version = version,
                                  .max_model_len = max_model_len.value_or(0),
                                  .max_num_batched_tokens = max_num_batched_tokens.value_or(0),
                                  .max_num_seqs = max_num_seqs.value_or(0),
                                  .gpu_mem_util = gpu_memory_utilization,
                                  .total_kv_blocks = kv_blocks};
  settings.cpu_offload = cpu_kv_blocks > 0;
  settings.cpu_kv_blocks = cpu_kv_blocks;
  settings.enable_prefix_caching = prefix_caching == "on";
  settings.long_prefill_token_threshold = long_prefill_token_threshold;
  settings.async_scheduling = chosen(async_scheduling);
  settings.scheduler_reserve_full_isl = chosen(reserve_full_isl);
  settings.kv_cache_dtype = kv_cache_dtype;
  settings.cudagraph_mode = cudagraph_mode;
  settings.enable_expert_parallel = enable_expert_parallel;
  if (speculation) {
    settings.speculative = parse_speculation(*speculation).value();
    settings.speculative->draft_model = draft_model;
    settings.speculative->draft_layers = draft_layers;
  }
  settings.data_parallel_size = data_parallel_size;
  if (all2all_backend) settings.all2all_backend = domain::find_all2all_backend(*all2all_backend);
  return settings;
}

core::Result<domain::PrefillDecode> parse_prefill_decode(std::string_view text) {
  const auto wrong = [&] {
    return core::fail({}, fmt::format("pools '{}' are not ENGINESxGPUS+ENGINESxGPUS", text),
                      "write for example 2x4+1x8: two prefill engines of 4 GPUs and one decode engine of 8");
  };
  const std::vector<std::string_view> pools = split(text, '+');
  if (pools.size() != 2) return wrong();
  domain::PrefillDecode apart;
  for (const auto& [pool, own] : {std::pair{pools[0], &apart.prefill}, std::pair{pools[1], &apart.decode}}) {
    const std::vector<std::string_view> numbers = split(pool, 'x');
    if (numbers.size() != 2 || !reads(numbers[0], own->engines) || !reads(numbers[1], own->tp)) return wrong();
    const auto possible = [](int number) { return number >= 1 && number <= core::limits::kParallelDegree; };
    if (!possible(own->engines) || !possible(own->tp)) return wrong();
  }
  return apart;
}

core::Result<domain::Speculation> parse_speculation(std::string_view text) {
  const auto wrong = [&] {
    return core::fail({}, fmt::format("speculation '{}' is not METHOD:TOKENS:LENGTH", text),
                      "write for example eagle3:3:2.4, or eagle3:3:0.8/0.6/0.4 with the share of the steps that accept at least so "
                      "many tokens");
  };
  const std::vector<std::string_view> parts = split(text, ':');
  domain::Speculation speculation;
  if (parts.size() != 3 || parts[0].empty()) return wrong();
  speculation.method = parts[0];
  if (!reads(parts[1], speculation.num_speculative_tokens) || speculation.num_speculative_tokens < 1) return wrong();
  if (parts[2].find('/') == std::string_view::npos && speculation.num_speculative_tokens > 1) {
    double length = 0.0;
    if (!reads(parts[2], length) || !(length >= 1.0)) return wrong();
    speculation.mean_accepted_length = length;
    return speculation;
  }
  for (const std::string_view part : split(parts[2], '/')) {
    double share = 0.0;
    if (!reads(part, share) || !(share >= 0.0)) return wrong();
    speculation.acceptance_per_position.push_back(share);
  }
  // Of one drafted token, 1.8 is a length and 0.8 a share.
  if (speculation.acceptance_per_position.size() == 1 && speculation.acceptance_per_position.front() > 1.0) {
    speculation.mean_accepted_length = speculation.acceptance_per_position.front();
    speculation.acceptance_per_position.clear();
  }
  if (std::ranges::any_of(speculation.acceptance_per_position, [](double share) { return share > 1.0; })) return wrong();
  return speculation;
}

core::Result<std::vector<domain::Experiment>> make_experiments(const AdHocLoad& given) {
  if (given.engine.speculation) {
    if (const auto speculation = parse_speculation(*given.engine.speculation); !speculation)
      return tl::unexpected(speculation.error());
  }
  if (given.prefill_decode) {
    if (const auto apart = parse_prefill_decode(*given.prefill_decode); !apart) return tl::unexpected(apart.error());
  }
  if (auto problems = contradictions(given); !problems.empty()) return tl::unexpected(std::move(problems));
  AdHocLoad load = given;
  if (load.replay) {
    auto table = data::read_request_table(*load.replay);
    if (!table) return tl::unexpected(table.error());
    load.table = std::move(table->requests);
    for (domain::TracedRequest& request : load.table) request.stage = 0;
  }
  if (load.ramp_up_strategy) {
    load.arrival.rate_ramp = *load.ramp_up_strategy == "linear" ? domain::RateRamp::linear : domain::RateRamp::exponential;
  }
  const double fastest = load.rates_per_s.empty() ? load.rate_per_s : *std::ranges::max_element(load.rates_per_s);
  if (!load.num_prompts && load.concurrency.empty() && fastest * load.duration_s > core::limits::kRequests) {
    return core::fail({},
                      fmt::format("{:g} requests/s for {:g} s are {:g} requests", fastest, load.duration_s, fastest * load.duration_s),
                      fmt::format("simulate at most {}: shorten --duration", core::limits::kRequests));
  }
  std::vector<domain::Experiment> experiments;
  for (const int clients : load.concurrency) {
    experiments.push_back(experiment_of(load, fmt::format("{} clients", clients), 0.0, clients));
  }
  for (const double rate : load.rates_per_s) experiments.push_back(experiment_of(load, fmt::format("rate {:g}", rate), rate, 0));
  if (experiments.empty()) experiments.push_back(experiment_of(load, "command line", load.rate_per_s, 0));
  if (experiments.size() == 1) experiments.front().id = "command line";
  return experiments;
}

}  // namespace rooftune::runs
