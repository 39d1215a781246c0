#include "rooftune/runs/open_simulation.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace rooftune::runs {

core::Result<domain::Experiment> only_experiment(const OpenedStudy& study) {
  const auto& cases = study.prepared.dataset.cases;
  if (cases.size() != 1) {
    std::vector<std::string> ids;
    for (const eval::Case& item : cases) ids.push_back(item.experiment.id);
    return core::fail({}, fmt::format("{} experiments are selected: {}", ids.size(), fmt::join(ids, ", ")),
                      "choose one with --select id=...");
  }
  return *std::ranges::find(study.inputs.experiments, cases.front().experiment.id, &domain::Experiment::id);
}

core::Result<OpenedStudy> open_simulation(const std::optional<std::string>& study, const AdHocLoad& load,
                                          const StudyOverrides& overrides) {
  const bool is_ad_hoc = !load.model.empty();
  if (is_ad_hoc && (study || !overrides.ground_truth.empty())) {
    return core::fail({}, "both a workload (--model) and measured experiments are given", "give one of them");
  }
  if (is_ad_hoc) {
    auto experiments = make_experiments(load);
    if (!experiments) return tl::unexpected(experiments.error());
    auto opened = open_experiments(std::move(*experiments), overrides);
    if (opened) {
      const params::SwitchId router = params::switch_id("engine.router");
      opened->prepared.start.switches[router] = *params::find_choice(router, load.router);
    }
    return opened;
  }
  if (!study && overrides.ground_truth.empty()) {
    return core::fail({}, "nothing to simulate", "name a study, --ground-truth FILE with --select id=..., or a workload with --model");
  }
  auto opened = study ? open_study(*study, overrides) : open_ground_truth(overrides);
  if (!opened) return opened;
  if (const auto only = only_experiment(*opened); !only) return tl::unexpected(only.error());
  return opened;
}

}  // namespace rooftune::runs
