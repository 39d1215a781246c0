#include "rooftune/eval/splits.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <numeric>
#include <set>

#include "rooftune/core/letters.hpp"
#include "rooftune/core/random.hpp"

namespace rooftune::eval {
namespace {

/// "Llama-3.1-70B-Instruct" -> "Llama-3.1": the name up to the part that holds the size.
std::string family_of(std::string_view model) {
  std::string family;
  std::size_t start = 0;
  while (start < model.size()) {
    const std::size_t end = std::min(model.find('-', start), model.size());
    const std::string_view part = model.substr(start, end - start);
    const bool is_size =
        part.size() > 1 && std::isdigit(static_cast<unsigned char>(part.front())) != 0 && core::lower(part.back()) == 'b';
    if (is_size) break;
    family += (family.empty() ? "" : "-") + std::string(part);
    start = end + 1;
  }
  return family.empty() ? std::string(model) : family;
}

/// Share of the decode slots that the measured load keeps busy (Little's law), as a level.
std::string load_of(const Case& item) {
  const auto& experiment = item.experiment;
  double busiest = 0.0;
  for (std::size_t stage = 0; stage < experiment.workload.stages.size() && stage < experiment.measured.stages.size(); ++stage) {
    const double e2e_s = experiment.measured.stages[stage][domain::Metric::e2e_mean].value_or(0.0) * 1e-3;
    busiest = std::max(busiest, experiment.workload.stages[stage].rate.value * e2e_s);
  }
  const double share = busiest / experiment.deployment.settings.max_num_seqs;
  return share < 0.15 ? "low" : (share < 0.4 ? "medium" : "high");
}

std::vector<std::size_t> shuffled(std::size_t count, std::uint64_t seed, int replicate) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  auto engine = core::make_stream(
      {.seed = seed, .experiment_id = "", .stage = 0, .purpose = core::StreamPurpose::splits, .replicate = replicate});
  for (std::size_t i = count; i > 1; --i) {
    std::swap(order[i - 1], order[static_cast<std::size_t>(core::uniform01(engine) * static_cast<double>(i))]);
  }
  return order;
}

/// Groups with their members, in order of first appearance.
struct Groups {
  std::vector<std::string> names;
  std::vector<std::vector<std::size_t>> members;
};

Groups collect(const Dataset& dataset, std::string_view group) {
  Groups groups;
  for (std::size_t i = 0; i < dataset.cases.size(); ++i) {
    const std::string name = group_of(dataset.cases[i], group);
    const auto found = std::ranges::find(groups.names, name);
    const auto index = static_cast<std::size_t>(found - groups.names.begin());
    if (found == groups.names.end()) {
      groups.names.push_back(name);
      groups.members.emplace_back();
    }
    groups.members[index].push_back(i);
  }
  return groups;
}

Fold fold_without(const Dataset& dataset, const Groups& groups, const std::vector<std::size_t>& left_out, std::string_view field) {
  Fold fold;
  for (const std::size_t group : left_out) {
    fold.name += fmt::format("{}{}={}", fold.name.empty() ? "" : ",", field, groups.names[group]);
    fold.test.insert(fold.test.end(), groups.members[group].begin(), groups.members[group].end());
  }
  std::ranges::sort(fold.test);
  for (std::size_t i = 0; i < dataset.cases.size(); ++i) {
    if (!std::ranges::binary_search(fold.test, i)) fold.training.push_back(i);
  }
  return fold;
}

void note_lost_coverage(const Dataset& dataset, Fold& fold) {
  const auto note = [&](const char* what, const auto& has) {
    const auto any = [&](const std::vector<std::size_t>& indices) {
      return std::ranges::any_of(indices, [&](std::size_t i) { return has(dataset.cases[i]); });
    };
    if (any(fold.test) && !any(fold.training)) fold.lost_coverage.emplace_back(what);
  };
  note("the only MoE models", [](const Case& item) { return item.model.experts() != nullptr; });
  note("the only dense models", [](const Case& item) { return item.model.experts() == nullptr; });
  note("the only MHA models", [](const Case& item) { return item.model.attention_kind() == domain::AttentionKind::multi_head; });
  note("the only GQA models", [](const Case& item) { return item.model.attention_kind() == domain::AttentionKind::grouped_query; });
  note("the only tensor-parallel runs", [](const Case& item) { return item.experiment.deployment.tp > 1; });
  note("the only single-GPU runs", [](const Case& item) { return item.experiment.deployment.tp == 1; });
  note("the only models that sample with top-p or top-k",
       [](const Case& item) { return item.model.sampling && item.model.sampling->truncates(); });
  std::set<std::string> gpus;
  for (const std::size_t i : fold.training) gpus.insert(dataset.cases[i].gpu.name);
  for (const std::size_t i : fold.test) {
    if (gpus.insert(dataset.cases[i].gpu.name).second) fold.lost_coverage.push_back("the only runs on " + dataset.cases[i].gpu.name);
  }
}

core::Result<std::vector<Fold>> too_few(std::size_t found, std::size_t needed, const SplitSpec& split) {
  return core::fail({}, fmt::format("{} by {} needs {} groups, the data has {}", split.kind, split.group, needed, found),
                    "select more experiments or another group");
}

/// Deals groups to folds, the largest group to the emptiest fold, as scikit-learn's GroupKFold.
std::vector<std::vector<std::size_t>> deal_by_size(const Groups& groups, std::size_t folds) {
  std::vector<std::size_t> order(groups.names.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return groups.members[a].size() > groups.members[b].size(); });
  std::vector<std::vector<std::size_t>> dealt(folds);
  std::vector<std::size_t> load(folds, 0);
  for (const std::size_t group : order) {
    const auto emptiest = static_cast<std::size_t>(std::ranges::min_element(load) - load.begin());
    dealt[emptiest].push_back(group);
    load[emptiest] += groups.members[group].size();
  }
  return dealt;
}

std::vector<std::vector<std::size_t>> combinations(std::size_t count, std::size_t chosen) {
  std::vector<std::vector<std::size_t>> all;
  std::vector<bool> mask(count, false);
  std::fill(mask.begin(), mask.begin() + static_cast<std::ptrdiff_t>(chosen), true);
  do {
    std::vector<std::size_t>& one = all.emplace_back();
    for (std::size_t i = 0; i < count; ++i) {
      if (mask[i]) one.push_back(i);
    }
  } while (std::prev_permutation(mask.begin(), mask.end()));
  return all;
}

core::Result<std::vector<Fold>> predefined_folds(const Dataset& dataset, const SplitSpec& split) {
  std::map<int, Fold> folds;
  core::Diagnostics problems;
  for (const auto& [id, index] : split.predefined) {
    const auto found = std::ranges::find(dataset.cases, id, [](const Case& item) { return item.experiment.id; });
    if (found == dataset.cases.end()) {
      problems.push_back({.position = {},
                          .problem = fmt::format("predefined split names experiment '{}', which is not selected", id),
                          .remedy = "select it or leave it out",
                          .severity = core::Severity::error});
    } else if (index >= 0) {
      folds[index].test.push_back(static_cast<std::size_t>(found - dataset.cases.begin()));
    }
  }
  if (!problems.empty()) return tl::unexpected(problems);
  if (folds.empty()) return too_few(0, 1, split);
  std::vector<Fold> result;
  for (auto& [index, fold] : folds) {
    fold.name = fmt::format("fold={}", index);
    std::ranges::sort(fold.test);
    for (std::size_t i = 0; i < dataset.cases.size(); ++i) {
      if (!std::ranges::binary_search(fold.test, i)) fold.training.push_back(i);
    }
    result.push_back(std::move(fold));
  }
  return result;
}

}  // namespace

std::string group_of(const Case& item, std::string_view group) {
  const auto& experiment = item.experiment;
  if (group == "model") return item.model.name;
  if (group == "family") return family_of(item.model.name);
  if (group == "tp") return std::to_string(experiment.deployment.tp);
  if (group == "workload") return experiment.workload.name;
  if (group == "gpu") return item.gpu.name;
  if (group == "load") return load_of(item);
  if (group == "sweep" && !experiment.sweep.empty()) return experiment.sweep;
  return experiment.id;
}

core::Result<std::vector<Fold>> make_folds(const Dataset& dataset, const SplitSpec& split, std::uint64_t seed) {
  core::Result<std::vector<Fold>> folds = std::vector<Fold>{};
  const std::string_view field = split.kind == "KFold" ? std::string_view("experiment") : std::string_view(split.group);
  const Groups groups = collect(dataset, field);
  const auto count = static_cast<std::size_t>(std::max(0, split.folds));
  const auto add = [&](const std::vector<std::size_t>& left_out) { folds->push_back(fold_without(dataset, groups, left_out, field)); };
  if (split.kind == "PredefinedSplit") {
    folds = predefined_folds(dataset, split);
  } else if (split.kind == "LeaveOneGroupOut" || split.kind == "LeavePGroupsOut") {
    const std::size_t out = split.kind == "LeaveOneGroupOut" ? 1 : static_cast<std::size_t>(std::max(1, split.groups_out));
    if (groups.names.size() <= out) return too_few(groups.names.size(), out + 1, split);
    for (const auto& left_out : combinations(groups.names.size(), out)) add(left_out);
  } else if (split.kind == "GroupShuffleSplit") {
    if (groups.names.size() < 2) return too_few(groups.names.size(), 2, split);
    const auto tested = static_cast<std::size_t>(std::clamp(
        std::lround(split.test_fraction * static_cast<double>(groups.names.size())), 1L, static_cast<long>(groups.names.size()) - 1));
    for (std::size_t i = 0; i < count; ++i) {
      std::vector<std::size_t> order = shuffled(groups.names.size(), seed, static_cast<int>(i));
      order.resize(tested);
      add(order);
      folds->back().name = fmt::format("shuffle={}", i);
    }
  } else {
    if (count < 2 || groups.names.size() < count) return too_few(groups.names.size(), std::max<std::size_t>(2, count), split);
    std::vector<std::vector<std::size_t>> dealt;
    if (split.kind == "GroupKFold") {
      dealt = deal_by_size(groups, count);
    } else {
      dealt.resize(count);
      const std::vector<std::size_t> order = shuffled(groups.names.size(), seed, 0);
      for (std::size_t i = 0; i < order.size(); ++i) dealt[i % count].push_back(order[i]);
    }
    for (std::size_t i = 0; i < dealt.size(); ++i) {
      add(dealt[i]);
      folds->back().name = fmt::format("fold={}", i);
    }
  }
  if (folds) {
    for (Fold& fold : *folds) note_lost_coverage(dataset, fold);
  }
  return folds;
}

}  // namespace rooftune::eval
