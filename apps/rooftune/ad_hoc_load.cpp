#include "ad_hoc_load.hpp"

#include <algorithm>

namespace rooftune::app {

domain::Experiment make_experiment(const AdHocLoad& load) {
  domain::Experiment experiment;
  experiment.id = "command line";
  experiment.deployment = {.model = load.model,
                           .hardware = load.gpu,
                           .tp = load.tp,
                           .dp = load.replicas,
                           .pp = 1,
                           .precision = "",
                           .settings = load.settings};
  domain::Workload& workload = experiment.workload;
  workload.name = "command line";
  workload.pattern = load.distinct_prompts > 0 ? domain::PromptPattern::cycled : domain::PromptPattern::unique;
  workload.distinct_prompts = load.distinct_prompts;
  workload.system_prompt_tokens = load.shared_prefix_tokens;
  workload.prompt.mean_tokens = load.prompt_tokens;
  workload.output.mean_tokens = load.output_tokens;
  workload.arrival.process = load.concurrency > 0 ? domain::ArrivalProcess::closed_loop : domain::ArrivalProcess::poisson;
  workload.arrival.concurrency = load.concurrency;
  const int requests = std::max(1, static_cast<int>(load.rate_per_s * load.duration_s + 0.5));
  workload.stages = {{.rate = {load.rate_per_s}, .duration = {load.duration_s}, .num_requests = requests}};
  return experiment;
}

void add_shape_options(CLI::App& command, AdHocLoad& load, const std::string& group) {
  const auto add = [&](const char* name, auto& value, const char* help) {
    return command.add_option(name, value, help)->capture_default_str()->group(group);
  };
  command.add_option("--model", load.model, "model, e.g. Llama-2-7b-hf")->group(group);
  add("--gpu", load.gpu, "GPU");
  add("--prompt-tokens", load.prompt_tokens, "length of every prompt")->check(CLI::PositiveNumber);
  add("--output-tokens", load.output_tokens, "length of every output")->check(CLI::PositiveNumber);
  add("--shared-prefix-tokens", load.shared_prefix_tokens, "leading tokens that all prompts share")->check(CLI::NonNegativeNumber);
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

void add_load_options(CLI::App& command, AdHocLoad& load) {
  constexpr auto kGroup = "Workload (instead of a study or ground truth)";
  const auto add = [&](const char* name, auto& value, const char* help) {
    return command.add_option(name, value, help)->capture_default_str()->group(kGroup);
  };
  add_shape_options(command, load, kGroup);
  add("--tp", load.tp, "tensor-parallel degree")->check(CLI::PositiveNumber);
  add("--replicas", load.replicas, "engines behind a round-robin router")->check(CLI::PositiveNumber);
  add("--rate", load.rate_per_s, "requests per second")->check(CLI::PositiveNumber);
  add("--duration", load.duration_s, "seconds of load")->check(CLI::PositiveNumber);
  add("--concurrency", load.concurrency, "closed loop with this many clients instead of a rate; 0: off")
      ->check(CLI::NonNegativeNumber);
}

}  // namespace rooftune::app
