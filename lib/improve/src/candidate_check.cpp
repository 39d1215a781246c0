#include "candidate_check.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <utility>

#include "parts.hpp"

namespace rooftune::improve {

template <class Archive, core::ValueOf<CheckedChange> Value>
static void fields(Archive& archive, Value& checked) {
  auto& [refusal, held] = checked;
  archive(refusal, held);
}

/// A change as it travels.
struct ChangeText {
  std::string spec;
  bool is_first_fit = false;
  bool only_turns_switches = false;
};

template <class Archive, core::ValueOf<ChangeText> Value>
static void fields(Archive& archive, Value& change) {
  auto& [spec, is_first_fit, only_turns_switches] = change;
  archive(spec, is_first_fit, only_turns_switches);
}

bool is_free(const calibrate::StudySpec& spec, std::string_view label) {
  return std::ranges::any_of(spec.free, [&](const params::FreeParameter& own) { return own.label() == label; });
}

std::string step_time_model_of(const calibrate::StudySpec& spec, const calibrate::StudyInputs& inputs) {
  return spec.step_time_model.value_or(inputs.start.value_or(params::Config{}).step_time_model);
}

CheckedChange CandidateCheck::operator()(const Change& change) const {
  CheckedChange checked;
  calibrate::StudySpec spec = change.spec;
  if (change.is_first_fit) checked.held = what_no_fold_can_tell(spec);
  checked.refusal = refusal_of(spec, change.only_turns_switches);
  return checked;
}

std::optional<std::string> CandidateCheck::refusal_of(const calibrate::StudySpec& spec, bool only_turns_switches) const {
  const auto prepared = calibrate::prepare(spec, inputs_);
  if (!prepared) return prepared.error().front().problem;
  if (spec == current_) return "these runs tell nothing about it";
  const auto folds = improve_folds(*prepared, improve_runs(*prepared, inputs_.gpus));
  if (!folds) return folds.error().front().problem;
  if (only_turns_switches && predicts_as_now(*prepared)) return std::string(kChangesNothing);
  const auto unchecked = newly_unchecked(unchecked_parameters(*prepared, *folds));
  if (unchecked.empty()) return std::nullopt;
  std::vector<std::string> labels;
  for (const UncheckedParameter& parameter : unchecked) labels.push_back(parameter.label);
  const std::string& unseen = unchecked.front().unseen;
  return fmt::format(
      "the test is about a {} that was never fitted, and {} {} such runs while no fold can learn {} from others: too "
      "few different {} to check how it carries on",
      unseen, fmt::join(labels, " and "), labels.size() == 1 ? "moves" : "move", labels.size() == 1 ? "it" : "them",
      unseen == "tp" ? "TP degrees" : unseen + "s");
}

std::vector<eval::Row> CandidateCheck::predictions(const calibrate::PreparedStudy& study) const {
  return eval::evaluate(study.dataset.subset(runs_.judged), study.start,
                        {.threads = {current_.threads}, .stepping = sim::Stepping::closed_form})
      .rows;
}

bool CandidateCheck::predicts_as_now(const calibrate::PreparedStudy& changed) const {
  std::call_once(once_, [&] { predicted_ = predictions(structure_); });
  return std::ranges::equal(predictions(changed), predicted_, [](const eval::Row& a, const eval::Row& b) {
    return a.experiment == b.experiment && a.metric == b.metric && a.stage == b.stage && a.predicted_ms == b.predicted_ms;
  });
}

void CandidateCheck::hold(calibrate::StudySpec& spec, const std::vector<std::string>& labels) const {
  const bool takes_over = step_time_model_of(spec, inputs_) != step_time_model_of(current_, inputs_);
  for (const std::string& label : labels) {
    const auto held = std::ranges::find(spec.free, label, [](const auto& parameter) { return parameter.label(); });
    if (held == spec.free.end() || is_free(current_, label)) continue;
    const auto measured = structure_.kernel_values.find(std::string(held->id.spec().id));
    const bool is_measured = measured != structure_.kernel_values.end() && held->where.matches_everything() &&
                             held->initial == std::clamp(measured->second, held->lower, held->upper);
    if (is_measured && takes_over) {
      spec.fixed[held->id] = {.value = held->initial, .standard_error = {}, .source = params::ValueSource::kernel_table};
    }
    spec.free.erase(held);
  }
}

/// What the runs do not depend on, and what no fold can check where the test will ask for it; it is held in `spec`. Nothing where the
/// study cannot be prepared, for which it is refused.
std::optional<std::vector<std::string>> CandidateCheck::what_no_fold_can_tell(calibrate::StudySpec& spec) const {
  std::vector<std::string> held;
  for (const bool by_folds : {false, true}) {
    const auto prepared = calibrate::prepare(spec, inputs_);
    if (!prepared) return std::nullopt;
    const ImproveRuns runs = improve_runs(*prepared, inputs_.gpus);
    const auto folds = improve_folds(*prepared, runs);
    if (!folds) return std::nullopt;
    std::vector<std::string> labels;
    if (by_folds) {
      for (const UncheckedParameter& parameter : unchecked_parameters(*prepared, *folds)) labels.push_back(parameter.label);
    } else {
      labels = idle_parameters(*prepared, runs);
    }
    hold(spec, labels);
    held.insert(held.end(), labels.begin(), labels.end());
  }
  return held;
}

/// More data is no reason against what the structure frees already.
std::vector<UncheckedParameter> CandidateCheck::newly_unchecked(std::vector<UncheckedParameter> unchecked) const {
  std::erase_if(unchecked, [&](const UncheckedParameter& item) { return is_free(current_, item.label); });
  return unchecked;
}

std::vector<CheckedChange> check_together(const CandidateCheck& check, const std::vector<Change>& changes,
                                          const calibrate::StudySpec& current, const Together& together) {
  const TrialRanks& ranks = together.ranks;
  core::RankedMap map{.name = kImprovement, .count = changes.size(), .threads = {current.threads}, .cancel = together.cancel};
  if (ranks.ranks != nullptr) {
    std::vector<ChangeText> texts;
    for (const Change& change : changes) {
      texts.push_back({.spec = ranks.text_of(change.spec),
                       .is_first_fit = change.is_first_fit,
                       .only_turns_switches = change.only_turns_switches});
    }
    map.context = core::packed(Part::candidates, ranks.text_of(current), texts);
  }
  return core::map_over_ranks<CheckedChange>(
      ranks.ranks, map, [&](std::size_t i) { return together.cancel.stop_requested() ? CheckedChange{} : check(changes[i]); },
      [](const CheckedChange&) {});
}

core::Ranks::Body served_candidates(core::Unpacker& context, const calibrate::StudyInputs& inputs, const TrialRanks& ranks) {
  /// The structure, which the check refers to.
  struct Served {
    calibrate::StudySpec current;
    calibrate::PreparedStudy structure;
    ImproveRuns runs;
    std::vector<Change> changes;
    std::optional<CandidateCheck> check;
  };
  std::string current;
  std::vector<ChangeText> texts;
  context(current, texts);
  const auto served = std::make_shared<Served>();
  served->current = ranks.spec_of(current);
  auto structure = calibrate::prepare(served->current, inputs);
  if (!structure) throw std::runtime_error(core::format(structure.error()));
  served->structure = *std::move(structure);
  served->runs = improve_runs(served->structure, inputs.gpus);
  for (const ChangeText& text : texts) {
    served->changes.push_back(
        {.spec = ranks.spec_of(text.spec), .is_first_fit = text.is_first_fit, .only_turns_switches = text.only_turns_switches});
  }
  served->check.emplace(served->current, served->structure, served->runs, inputs);
  return [served](std::size_t index) { return core::packed((*served->check)(served->changes.at(index))); };
}

}  // namespace rooftune::improve
