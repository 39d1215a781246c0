#include "rooftune/runs/ad_hoc_load.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace rooftune::runs {

domain::Experiment make_experiment(const AdHocLoad& load) { return make_experiment(load, "command line", load.rate_per_s); }

domain::Experiment make_experiment(const AdHocLoad& load, std::string id, double rate_per_s) {
  domain::Experiment experiment;
  experiment.id = std::move(id);
  experiment.deployment = {.model = load.model,
                           .hardware = load.gpu,
                           .tp = load.tp,
                           .dp = load.replicas,
                           .pp = load.pp,
                           .precision = "",
                           .settings = load.settings};
  domain::Workload& workload = experiment.workload;
  workload.name = "command line";
  workload.pattern = load.distinct_prompts > 0 ? domain::PromptPattern::cycled : domain::PromptPattern::unique;
  workload.distinct_prompts = load.distinct_prompts;
  workload.system_prompt_tokens = load.shared_prefix_tokens;
  workload.prompt_groups = load.prompt_groups;
  workload.prompt = load.prompt;
  workload.output = load.output;
  workload.arrival = load.arrival;
  if (load.arrival.concurrency > 0) workload.arrival.process = domain::ArrivalProcess::closed_loop;
  const int requests = std::max(1, static_cast<int>(std::lround(rate_per_s * load.duration_s)));
  workload.stages = {{.rate = {rate_per_s}, .duration = {load.duration_s}, .num_requests = requests}};
  return experiment;
}

}  // namespace rooftune::runs
