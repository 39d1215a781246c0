#include "load_options.hpp"

#include <array>
#include <map>

#include "rooftune/core/word.hpp"

namespace rooftune::app {
namespace {

constexpr std::array<core::Word<domain::ArrivalProcess>, 4> kArrivals{{
    {"poisson", domain::ArrivalProcess::poisson},
    {"conditioned_poisson", domain::ArrivalProcess::conditioned_poisson},
    {"gamma", domain::ArrivalProcess::gamma},
    {"constant", domain::ArrivalProcess::constant},
}};

}  // namespace

void add_shape_options(CLI::App& command, runs::AdHocLoad& load, const std::string& group) {
  const auto add = [&](const char* name, auto& value, const char* help) {
    return command.add_option(name, value, help)->capture_default_str()->group(group);
  };
  command.add_option("--model", load.model, "model, e.g. Llama-2-7b-hf")->group(group);
  add("--gpu", load.gpu, "GPU");
  add("--prompt-tokens", load.prompt.mean_tokens, "mean length of a prompt, shared prefix included")->check(CLI::PositiveNumber);
  add("--output-tokens", load.output.mean_tokens, "mean length of an output")->check(CLI::PositiveNumber);
  add("--shared-prefix-tokens", load.shared_prefix_tokens, "leading tokens that the prompts of a group share")
      ->check(CLI::NonNegativeNumber);
  add("--distinct-prompts", load.distinct_prompts, "prompts that are sent in turn; 0: every prompt differs")
      ->check(CLI::NonNegativeNumber);
  add("--max-num-seqs", load.settings.max_num_seqs, "engine setting")->check(CLI::PositiveNumber);
  add("--max-num-batched-tokens", load.settings.max_num_batched_tokens, "engine setting")->check(CLI::PositiveNumber);
  add("--max-model-len", load.settings.max_model_len, "engine setting")->check(CLI::PositiveNumber);
  command
      .add_option("--kv-blocks", load.settings.total_kv_blocks, "KV blocks of 16 tokens; default: estimated from memory and weights")
      ->check(CLI::PositiveNumber)
      ->group(group);
}

void add_load_options(CLI::App& command, runs::AdHocLoad& load) {
  constexpr auto kGroup = "Workload (instead of a study or ground truth)";
  const auto add = [&](const char* name, auto& value, const char* help) {
    return command.add_option(name, value, help)->capture_default_str()->group(kGroup);
  };
  add_shape_options(command, load, kGroup);
  add("--tp", load.tp, "tensor-parallel degree")->check(CLI::PositiveNumber);
  add("--pp", load.pp, "pipeline stages")->check(CLI::PositiveNumber);
  add("--replicas", load.replicas, "engines behind a router")->check(CLI::PositiveNumber);
  add("--router", load.router, "how requests reach replicas")->check(CLI::IsMember({"round_robin", "least_loaded"}));
  add("--rate", load.rate_per_s, "requests per second")->check(CLI::PositiveNumber);
  command.add_option("--rates", load.rates_per_s, "a sweep: simulate each of these rates by itself, e.g. --rates 1,2,4,8")
      ->delimiter(',')
      ->check(CLI::PositiveNumber)
      ->group(kGroup);
  command.add_option("--arrivals", load.arrival.process, "poisson, conditioned_poisson (as inference-perf sends), gamma or constant")
      ->transform(CLI::CheckedTransformer(std::map<std::string, domain::ArrivalProcess>(kArrivals.begin(), kArrivals.end())))
      ->group(kGroup);
  add("--gamma-variation", load.arrival.gamma_coefficient_of_variation, "gamma arrivals: standard deviation of a gap over its mean")
      ->check(CLI::PositiveNumber);
  add("--duration", load.duration_s, "seconds of load")->check(CLI::PositiveNumber);
  add("--concurrency", load.arrival.concurrency, "closed loop with this many clients instead of a rate; 0: off")
      ->check(CLI::NonNegativeNumber);
  add("--prompt-tokens-sd", load.prompt.standard_deviation_tokens, "standard deviation of the length of a prompt")
      ->check(CLI::NonNegativeNumber);
  add("--prompt-tokens-min", load.prompt.min_tokens, "shortest prompt")->check(CLI::PositiveNumber);
  add("--prompt-tokens-max", load.prompt.max_tokens, "longest prompt")->check(CLI::PositiveNumber);
  add("--output-tokens-sd", load.output.standard_deviation_tokens, "standard deviation of the length of an output")
      ->check(CLI::NonNegativeNumber);
  add("--output-tokens-min", load.output.min_tokens, "shortest output")->check(CLI::PositiveNumber);
  add("--output-tokens-max", load.output.max_tokens, "longest output")->check(CLI::PositiveNumber);
  add("--prompt-groups", load.prompt_groups, "groups that share a prefix each")->check(CLI::PositiveNumber);
}

}  // namespace rooftune::app
