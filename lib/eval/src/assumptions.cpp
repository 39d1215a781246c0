#include "rooftune/eval/assumptions.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <optional>
#include <string_view>

#include "rooftune/sim/simulate.hpp"

namespace rooftune::eval {
namespace {

using domain::EngineSettings;
using domain::Metric;

constexpr std::array kMeans{Metric::ttft_mean, Metric::e2e_mean, Metric::tpot_mean};

/// A setting that the version may decide: which switch overrules it, and what else it could be.
struct Alternative {
  std::string_view setting;
  std::string_view switch_id;  ///< empty: none
  /// Sets the other value and returns it in words.
  std::string (*exchange)(EngineSettings&);
};

std::string exchange_flag(std::optional<bool>& flag) {
  flag = !*flag;
  return *flag ? "on" : "off";
}

std::string exchange_number(int& number, int first, int second) {
  number = number == first ? second : first;
  return fmt::format("{}", number);
}

constexpr std::array<Alternative, 4> kAlternatives{
    {{"async_scheduling", "engine.async_scheduling", [](EngineSettings& s) { return exchange_flag(s.async_scheduling); }},
     {"scheduler_reserve_full_isl", "engine.reserve_full_isl",
      [](EngineSettings& s) { return exchange_flag(s.scheduler_reserve_full_isl); }},
     {"max_num_batched_tokens", "", [](EngineSettings& s) { return exchange_number(s.max_num_batched_tokens, 8192, 2048); }},
     {"max_num_seqs", "", [](EngineSettings& s) { return exchange_number(s.max_num_seqs, 1024, 256); }}}};

bool is_decided_by_switch(const params::Config& config, std::string_view id) {
  if (id.empty()) return false;
  const params::SwitchId found = params::switch_id(id);
  const auto chosen = config.switches.find(found);
  return chosen != config.switches.end() && found.spec().choices[chosen->second] != "auto";
}

/// The largest change of a mean, and of which.
struct Change {
  double percent = 0.0;
  Metric metric = Metric::ttft_mean;
  std::string other;
};

domain::Latencies predicted(const Case& item, const params::Config& config, const domain::Experiment& experiment) {
  const params::Resolved<double> parameters = params::resolve(config, experiment.deployment, item.gpu);
  const auto plan = item.plan(0);
  const sim::Scenario scenario{.experiment = experiment,
                               .model = item.model,
                               .gpu = item.gpu,
                               .plan = *plan,
                               .tables = item.tables.get(),
                               .draft = item.draft ? &*item.draft : nullptr};
  if (sim::refusal(config.step_time_model, scenario)) return {};
  return sim::simulate<double>(config.step_time_model, scenario, parameters, {}).summary.latencies;
}

Change change_of(const Case& item, const params::Config& config, const Alternative& alternative) {
  domain::Experiment exchanged = item.experiment;
  Change change{.other = alternative.exchange(exchanged.deployment.settings)};
  const domain::Latencies before = predicted(item, config, item.experiment);
  const domain::Latencies after = predicted(item, config, exchanged);
  for (const Metric metric : kMeans) {
    if (!before[metric] || !after[metric]) continue;
    const double percent = 100.0 * (*after[metric] / *before[metric] - 1.0);
    if (std::abs(percent) > std::abs(change.percent)) {
      change.percent = percent;
      change.metric = metric;
    }
  }
  return change;
}

void add(std::vector<Assumption>& assumptions, const Case& item, const sim::AssumedSetting& assumed, const Change& change) {
  auto known = std::ranges::find_if(
      assumptions, [&](const Assumption& one) { return one.setting == assumed.setting && one.value == assumed.value; });
  if (known == assumptions.end()) {
    known = assumptions.insert(assumptions.end(), {.setting = assumed.setting, .value = assumed.value, .source = assumed.source});
  }
  ++known->experiments;
  if (std::abs(change.percent) <= std::abs(known->change_percent)) return;
  known->experiment = item.experiment.id;
  known->other = change.other;
  known->metric = change.metric;
  known->change_percent = change.percent;
}

}  // namespace

std::vector<Assumption> moving_assumptions(const Dataset& dataset, const params::Config& config, core::ThreadCount threads) {
  std::vector<Assumption> assumptions;
  if (dataset.external) return assumptions;
  for (const Alternative& alternative : kAlternatives) {
    if (is_decided_by_switch(config, alternative.switch_id)) continue;
    const auto assumed_in = [&](std::size_t i) -> const sim::AssumedSetting* {
      const auto& assumed = dataset.cases[i].assumed;
      const auto found = std::ranges::find(assumed, alternative.setting, &sim::AssumedSetting::setting);
      return found == assumed.end() ? nullptr : &*found;
    };
    const auto changes = core::parallel_map<Change>(dataset.cases.size(), threads, [&](std::size_t i) {
      return assumed_in(i) == nullptr ? Change{} : change_of(dataset.cases[i], config, alternative);
    });
    for (std::size_t i = 0; i < changes.size(); ++i) {
      if (const sim::AssumedSetting* assumed = assumed_in(i)) add(assumptions, dataset.cases[i], *assumed, changes[i]);
    }
  }
  std::erase_if(assumptions, [](const Assumption& one) { return std::abs(one.change_percent) < kNoChangePercent; });
  return assumptions;
}

std::string format(const Assumption& assumption) {
  std::string metric(domain::metric_name(assumption.metric));
  metric.resize(metric.rfind('_'));
  return fmt::format("{} is not recorded in {} experiment{}: {} is assumed ({}); with {} the {} of '{}' would be {:+.1f} %",
                     assumption.setting, assumption.experiments, assumption.experiments == 1 ? "" : "s", assumption.value,
                     assumption.source, assumption.other, metric, assumption.experiment, assumption.change_percent);
}

}  // namespace rooftune::eval
