#include "rooftune/eval/calibrated_domain.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

#include "rooftune/core/letters.hpp"
#include "rooftune/domain/release.hpp"
#include "rooftune/domain/served_model.hpp"

namespace rooftune::eval {
namespace {

constexpr double kSlack = 1.1;
constexpr std::size_t kNamedExperiments = 4;

void widen(params::CalibratedDomain& domain, const std::string& name, double value) {
  const auto [range, added] = domain.ranges.try_emplace(name, params::CalibratedDomain::Range{value, value});
  range->second.lowest = std::min(range->second.lowest, value);
  range->second.highest = std::max(range->second.highest, value);
}

struct Extremes {
  std::int64_t lowest = std::numeric_limits<std::int64_t>::max();
  std::int64_t highest = std::numeric_limits<std::int64_t>::min();

  void add(std::int64_t value) {
    lowest = std::min(lowest, value);
    highest = std::max(highest, value);
  }
};

void widen(params::CalibratedDomain& domain, const std::string& name, const Extremes& seen) {
  if (seen.lowest > seen.highest) return;  // nothing
  widen(domain, name, static_cast<double>(seen.lowest));
  widen(domain, name, static_cast<double>(seen.highest));
}

bool has_word(const std::vector<std::string>& words, std::string_view word) {
  return std::ranges::any_of(words, [&](const std::string& known) { return core::same_word(known, word); });
}

void insert(params::CalibratedDomain& domain, const std::string& name, const std::string& value) {
  if (value.empty()) return;  // not said
  auto& values = domain.sets[name];
  if (!has_word(values, value)) values.push_back(value);
}

/// "vllm 0.15.1" of every build of that release; empty where no version is said.
std::string engine_version(const domain::Deployment& deployment) {
  const std::string& version = deployment.settings.version;
  if (version.empty()) return "";
  const auto release = domain::find_release(version);
  return fmt::format("{} {}", deployment.engine, release ? domain::release_text(*release) : version);
}

/// What one case asks for; `stages` holds its latencies by stage, measured or predicted.
void add_case(params::CalibratedDomain& domain, const Case& item, const std::vector<domain::Latencies>& stages) {
  const domain::Experiment& experiment = item.experiment;
  widen(domain, "tp", experiment.deployment.tp);
  widen(domain, "max_num_batched_tokens", experiment.deployment.settings.max_num_batched_tokens);
  if (!item.plans.empty()) {
    const auto plan = item.plan(0);
    std::array<Extremes, 3> tokens;
    for (const sim::StagePlan& stage : plan->stages) {
      for (const sim::PlannedRequest& request : stage.requests) {
        tokens[0].add(request.prompt_tokens);
        tokens[1].add(request.output_tokens);
        tokens[2].add(std::int64_t{request.prompt_tokens} + request.output_tokens);
      }
    }
    widen(domain, "prompt_tokens", tokens[0]);
    widen(domain, "output_tokens", tokens[1]);
    widen(domain, "context_tokens", tokens[2]);
  }
  const domain::Arrival& arrival = experiment.workload.arrival;
  for (std::size_t stage = 0; stage < experiment.workload.stages.size(); ++stage) {
    if (arrival.process == domain::ArrivalProcess::closed_loop) {
      widen(domain, "concurrency", arrival.concurrency);
      continue;
    }
    const double rate = experiment.workload.stages[stage].rate.value;
    if (rate > 0.0) widen(domain, "rate_per_s", rate);
    if (stage >= stages.size() || rate <= 0.0) continue;
    if (const auto e2e_ms = stages[stage][domain::Metric::e2e_mean]) widen(domain, "concurrency", rate * *e2e_ms * 1e-3);
  }
  insert(domain, "model", item.model.name);
  insert(domain, "gpu", item.gpu.name);
  // 16 bits are the same to all that is simulated.
  const std::string& precision = experiment.deployment.precision;
  insert(domain, "precision", domain::bits_of_precision(precision) == 16 ? "FP16" : precision);
  insert(domain, "engine_version", engine_version(experiment.deployment));
  insert(domain, "moe", item.model.experts() != nullptr ? "yes" : "no");
}

std::string text_of(const params::CalibratedDomain::Range& range) {
  const std::string lowest = fmt::format("{:.4g}", range.lowest);
  const std::string highest = fmt::format("{:.4g}", range.highest);
  return lowest == highest ? lowest : lowest + " to " + highest;
}

}  // namespace

params::CalibratedDomain calibrated_domain(const Dataset& dataset) {
  params::CalibratedDomain domain;
  for (const Case& item : dataset.cases) add_case(domain, item, item.experiment.measured.stages);
  for (auto& [name, values] : domain.sets) std::ranges::sort(values);
  return domain;
}

std::vector<DomainExit> domain_exits(const params::CalibratedDomain& calibrated, const Case& item,
                                     const std::vector<domain::Latencies>& predicted_stages) {
  if (calibrated.ranges.empty() && calibrated.sets.empty()) return {};
  params::CalibratedDomain asked;
  add_case(asked, item, predicted_stages);
  std::vector<DomainExit> exits;
  for (const auto& one : asked.ranges) {
    const std::string& field = one.first;
    const auto& range = one.second;
    const auto known = calibrated.ranges.find(field);
    if (known == calibrated.ranges.end()) continue;
    const auto& [lowest, highest] = known->second;
    const bool above = highest > 0.0 && range.highest > kSlack * highest;
    const bool below = range.lowest > 0.0 && kSlack * range.lowest < lowest;
    const auto leave = [&](DomainSide side, double value, double factor) {
      exits.push_back({.field = field,
                       .value = fmt::format("{:.4g}", value),
                       .calibrated = text_of(known->second),
                       .side = side,
                       .factor = factor,
                       .experiments = {item.experiment.id}});
    };
    if (below) leave(DomainSide::below, range.lowest, lowest / range.lowest);
    if (above) leave(DomainSide::above, range.highest, range.highest / highest);
  }
  for (const auto& [field, values] : asked.sets) {
    const auto known = calibrated.sets.find(field);
    if (field == "model" || known == calibrated.sets.end()) continue;
    for (const std::string& value : values) {
      if (has_word(known->second, value)) continue;
      exits.push_back({.field = field,
                       .value = value,
                       .calibrated = fmt::format("{}", fmt::join(known->second, ", ")),
                       .side = DomainSide::absent,
                       .factor = 1.0,
                       .experiments = {item.experiment.id}});
    }
  }
  return exits;
}

void merge(std::vector<DomainExit>& all, const std::vector<DomainExit>& more) {
  for (const DomainExit& exit : more) {
    const auto same = std::ranges::find_if(all, [&](const DomainExit& other) {
      return other.field == exit.field && other.calibrated == exit.calibrated && other.side == exit.side &&
             (exit.side != DomainSide::absent || other.value == exit.value);
    });
    if (same == all.end()) {
      all.push_back(exit);
      continue;
    }
    if (exit.factor > same->factor) {
      same->value = exit.value;
      same->factor = exit.factor;
    }
    for (const std::string& id : exit.experiments) {
      if (std::ranges::find(same->experiments, id) == same->experiments.end()) same->experiments.push_back(id);
    }
  }
}

std::string format(const DomainExit& exit) {
  const std::size_t named = std::min(exit.experiments.size(), kNamedExperiments);
  const std::vector<std::string> names(exit.experiments.begin(), exit.experiments.begin() + static_cast<std::ptrdiff_t>(named));
  std::string where = fmt::format("experiment{} {}", exit.experiments.size() > 1 ? "s" : "", fmt::join(names, ", "));
  if (exit.experiments.size() > named) where += fmt::format(" and {} more", exit.experiments.size() - named);
  if (exit.side == DomainSide::absent) {
    return fmt::format("outside the calibrated domain: {} is {}, calibrated was {} ({})", exit.field, exit.value, exit.calibrated,
                       where);
  }
  return fmt::format("outside the calibrated domain: {} is {}, {:.2g} times {} the calibrated {} ({})", exit.field, exit.value,
                     exit.factor, exit.side == DomainSide::above ? "above" : "below", exit.calibrated, where);
}

}  // namespace rooftune::eval
