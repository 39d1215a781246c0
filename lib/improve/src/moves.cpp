#include "rooftune/improve/moves.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "first_fit.hpp"
#include "invention.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "rooftune/params/choice_of.hpp"
#include "rooftune/params/prior_knowledge.hpp"
#include "rooftune/params/term.hpp"

namespace rooftune::improve {
namespace {

/// A move makes a prior so many times as wide, or as narrow.
constexpr double kPriorStep = 2.0;

/// The moves that are tried in pairs: six pairs of four.
constexpr std::size_t kPairedMoves = 4;

constexpr std::string_view kAllCorrections = "all_corrections";

bool is_free(const calibrate::StudySpec& spec, params::ParameterId id) {
  return std::ranges::any_of(spec.free, [&](const params::FreeParameter& parameter) { return parameter.id == id; });
}

bool can_be_freed(std::string_view group, const params::Config& config) {
  return group == config.step_time_model || group == "frontend" || group == "engine";
}

/// Where a parameter of the structure stands before any fit: what folds start from.
double start_of(const calibrate::PreparedStudy& study, params::ParameterId id) {
  return params::current_value(study.start, params::make_free(id));
}

/// Whether the config says a value itself; otherwise the registry's holds.
bool says(const params::Config& config, params::ParameterId id) {
  return config.parameters.contains(id) ||
         std::ranges::any_of(config.hardware, [&](const params::HardwareEntry& entry) { return entry.parameters.contains(id); });
}

/// What is known of a parameter before any fit: what the start says, else what kernels of the GPU come to, else the registry.
double known_value(const calibrate::PreparedStudy& study, params::ParameterId id) {
  const auto measured = study.kernel_values.find(std::string(id.spec().id));
  if (measured != study.kernel_values.end() && !says(study.start, id)) return measured->second;
  return start_of(study, id);
}

/// Frees a parameter where it is known to be, with a prior as wide as that is known, so that folds that do not see it leave it there.
void free_parameter(calibrate::StudySpec& spec, const calibrate::PreparedStudy& study, params::ParameterId id) {
  params::FreeParameter parameter = params::make_free(id);
  parameter.initial = std::clamp(known_value(study, id), parameter.lower, parameter.upper);
  parameter.initial_is_given = true;
  if (!spec.improve || !spec.improve->naked.value_or(false)) parameter.prior = params::known_prior(parameter, parameter.initial);
  spec.fixed.erase(id);
  spec.free.push_back(parameter);
}

/// Whether a formula reads something of this group.
bool reads_group(const params::Expression& expression, std::string_view group) {
  return std::ranges::any_of(expression.variables(), [&](params::ParameterId id) { return id.spec().group() == group; });
}

/// Another step-time model in the place of the structure's: what belonged to the old one goes, and what a first fit of the new one
/// frees is free. What the study itself says about the new one stays.
void take_over(calibrate::StudySpec& spec, const calibrate::PreparedStudy& study, const std::string& model) {
  const std::string& old = study.start.step_time_model;
  spec.step_time_model = model;
  std::erase_if(spec.switches, [&](const auto& entry) { return entry.first.spec().group() == old; });
  std::erase_if(spec.fixed, [&](const auto& entry) { return entry.first.spec().group() == old; });
  std::erase_if(spec.free, [&](const params::FreeParameter& parameter) { return parameter.id.spec().group() == old; });
  std::erase_if(spec.tied, [&](const params::Tie& tie) { return tie.id.spec().group() == old || reads_group(tie.expression, old); });
  for (const params::FreeParameter& parameter : params::first_fit(model)) {
    if (!is_free(spec, parameter.id) && !spec.fixed.contains(parameter.id)) free_parameter(spec, study, parameter.id);
  }
  std::erase_if(spec.uncertainty.profile, [&](const std::string& label) {
    return std::ranges::none_of(spec.free, [&](const params::FreeParameter& parameter) { return parameter.label() == label; });
  });
}

/// A prior so many times as wide; false where no such parameter has one.
bool reprior(calibrate::StudySpec& spec, const std::string& label, double factor) {
  for (params::FreeParameter& parameter : spec.free) {
    if (parameter.label() != label || !parameter.prior) continue;
    parameter.prior->standard_deviation *= factor;
    return true;
  }
  return false;
}

/// Makes the first of `ids` carry the others along; false where one of them is not free for all deployments.
bool tie_parameters(calibrate::StudySpec& spec, const std::vector<std::string>& ids) {
  if (ids.size() < 2) return false;
  const auto find = [&](const std::string& id) {
    return std::ranges::find_if(spec.free, [&](const params::FreeParameter& parameter) {
      return parameter.id == params::parameter(id) && parameter.where.matches_everything();
    });
  };
  if (std::ranges::any_of(ids, [&](const std::string& id) { return find(id) == spec.free.end(); })) return false;
  for (std::size_t i = 1; i < ids.size(); ++i) {
    const auto tied = find(ids[i]);
    const std::vector<params::ParameterId> companions = tied->together_with;
    // It keeps the ratio that the start config has.
    spec.free.erase(tied);
    const auto leader = find(ids.front());
    leader->together_with.push_back(params::parameter(ids[i]));
    leader->together_with.insert(leader->together_with.end(), companions.begin(), companions.end());
  }
  return true;
}

/// A prior on a log scale becomes the one on the linear scale that agrees with it around its centre.
bool search_linearly(calibrate::StudySpec& spec, params::ParameterId id) {
  bool changed = false;
  for (params::FreeParameter& parameter : spec.free) {
    if (parameter.id != id || parameter.transform != params::Transform::log) continue;
    parameter.transform = params::Transform::linear;
    if (parameter.prior) parameter.prior->standard_deviation *= parameter.prior->centre;
    changed = true;
  }
  return changed;
}

/// Ranks a proposal by the strongest finding among the move's hints.
void follow_hints(Proposal& proposal, const Move& move, const Diagnosis& diagnosis) {
  for (const Hint& hint : move.suggested_by) {
    for (const Finding& finding : diagnosis.findings) {
      const bool is_pattern = finding.kind == FindingKind::bias || finding.kind == FindingKind::group;
      if (!is_pattern || finding.metric != hint.metric || (hint.factor != "any" && finding.factor != hint.factor)) continue;
      if (finding.strength <= proposal.strength) continue;
      proposal.strength = finding.strength;
      proposal.suggested_by = finding.text;
    }
  }
  for (const params::FreeParameter& coefficient : move.add) {
    const Finding* missing = diagnosis.about_parameter(FindingKind::missing_term, coefficient.id.spec().id);
    if (missing == nullptr || missing->strength <= proposal.strength) continue;
    proposal.strength = missing->strength;
    proposal.suggested_by = missing->text;
  }
  for (const std::string& name : move.free) {
    const Finding* held = diagnosis.about_parameter(FindingKind::held_parameter, name);
    if (held == nullptr || held->strength <= proposal.strength) continue;
    proposal.strength = held->strength;
    proposal.suggested_by = held->text;
  }
}

/// Moves that rules make: one for every switch, parameter and suspicious run that no entry of the catalogue covers.
class Rules {
 public:
  Rules(const calibrate::PreparedStudy& study, const params::Config& begun, const Diagnosis& diagnosis,
        const std::vector<Move>& catalogue)
      : study_(study), begun_(begun), diagnosis_(diagnosis), catalogue_(catalogue) {
    for (const Move& move : catalogue) {
      for (const auto& [id, choice] : move.switches) covered_.insert(id);
    }
  }

  [[nodiscard]] std::vector<Move> moves() {
    take_models_over();
    turn_switches();
    take_corrections_back();
    free_parameters();
    free_a_first_fit();
    fix_at_bounds();
    hold_parameters();
    tie_confounded();
    search_idle_costs_linearly();
    change_priors();
    invent_terms();
    quarantine_runs();
    assume_about_models();
    return std::move(moves_);
  }

 private:
  /// What no parameter of this structure can mend, another one may have right from the start.
  void take_models_over() {
    for (const latency::ModelEntry& model : latency::step_time_models()) {
      if (params::first_fit(model.name).empty() || model.name == begun_.step_time_model) continue;
      moves_.push_back({.id = fmt::format("take:{}", model.name),
                        .reason = fmt::format("another way to price a step: {}", model.summary),
                        .take = std::string(model.name)});
    }
  }

  void turn_switches() {
    for (std::size_t index = 0; index < params::switch_registry().size(); ++index) {
      const params::SwitchSpec& spec = params::SwitchId{index}.spec();
      // Where the catalogue says which way a switch is to be turned, the other ways have no reason.
      if (!can_be_freed(spec.group(), study_.start) || covered_.contains(std::string(spec.id))) continue;
      for (const std::string_view choice : spec.choices) {
        const std::string id = fmt::format("{}={}", spec.id, choice);
        moves_.push_back({.id = id, .reason = std::string(spec.meaning), .switches = {{std::string(spec.id), std::string(choice)}}});
      }
    }
  }

  /// Corrections come together, and one of them may be what another term had made up for.
  void take_corrections_back() {
    for (const Move& move : catalogue_) {
      if (move.burden != Burden::must_not_lose || !only_turns_switches(move)) continue;
      Move back{.id = "back:" + move.id, .reason = "errors may speak against it by now: " + move.reason};
      for (const auto& [name, word] : move.switches) {
        const params::SwitchId id = params::switch_id(name);
        const std::size_t now = params::choice_of(study_.start, id);
        const std::size_t before = params::choice_of(begun_, id);
        if (now == before || id.spec().choices[now] != word) continue;
        back.switches.emplace_back(name, id.spec().choices[before]);
      }
      if (back.switches.size() == move.switches.size()) moves_.push_back(std::move(back));
    }
  }

  void free_parameters() {
    for (std::size_t index = 0; index < params::parameter_registry().size(); ++index) {
      const params::ParameterId id{index};
      const params::ParameterSpec& spec = id.spec();
      const bool is_step_time = spec.group() != "engine" && can_be_freed(spec.group(), study_.start);
      if (!is_step_time || is_free(study_.spec, id) || spec.name() == "perLayerOverhead") continue;
      // Where nothing responds to it there is nothing to gain; the score test says so.
      if (diagnosis_.about_parameter(FindingKind::held_parameter, spec.id) == nullptr) continue;
      moves_.push_back({.id = fmt::format("free:{}", spec.id), .reason = std::string(spec.meaning), .free = {std::string(spec.id)}});
    }
  }

  /// With more data runs may tell about what nothing could tell when the structure came: all of it together.
  void free_a_first_fit() {
    Move move{.id = std::string(kFirstFit), .reason = "runs tell about more of what a first fit of this model frees"};
    for (const params::FreeParameter& parameter : params::first_fit(study_.start.step_time_model)) {
      if (!is_free(study_.spec, parameter.id) && !study_.spec.fixed.contains(parameter.id))
        move.free.emplace_back(parameter.id.spec().id);
    }
    if (move.free.size() > 1) moves_.push_back(std::move(move));
  }

  /// What is at a bound is a parameter that moves nothing.
  void fix_at_bounds() {
    for (const Finding& finding : diagnosis_.findings) {
      if (finding.kind != FindingKind::at_bound) continue;
      const params::ParameterId id = params::parameter(finding.parameter);
      const auto free = std::ranges::find_if(study_.spec.free, [&](const auto& parameter) { return parameter.id == id; });
      if (free == study_.spec.free.end() || !free->where.matches_everything()) continue;
      moves_.push_back(
          {.id = fmt::format("fix:{}", finding.parameter), .reason = finding.text, .fix = {{finding.parameter, finding.effect}}});
    }
  }

  /// A parameter that unseen runs do not need goes back to what is known of it. That is never nothing where a cost is known to exist:
  /// runs that cannot tell it from another are no reason to leave it out.
  void hold_parameters() {
    for (const params::FreeParameter& free : study_.spec.free) {
      if (!free.where.matches_everything() || !free.together_with.empty()) continue;
      const params::ParameterSpec& spec = free.id.spec();
      moves_.push_back({.id = fmt::format("hold:{}", spec.id),
                        .reason = fmt::format("unseen runs may not need what runs say beyond what is known of it: {}", spec.meaning),
                        .fix = {{std::string(spec.id), free.prior ? free.prior->centre : free.initial}}});
    }
  }

  /// What the training runs cannot tell apart is one number to them.
  void tie_confounded() {
    for (const Finding& finding : diagnosis_.findings) {
      if (finding.kind != FindingKind::confounded) continue;
      moves_.push_back({.id = fmt::format("tie:{}+{}", finding.parameter, finding.level),
                        .reason = finding.text,
                        .tie = {finding.parameter, finding.level}});
    }
  }

  /// On a log scale a cost can be small but never nothing.
  void search_idle_costs_linearly() {
    for (const Finding& finding : diagnosis_.findings) {
      if (finding.kind != FindingKind::at_bound) continue;
      moves_.push_back({.id = fmt::format("linear:{}", finding.parameter),
                        .reason = finding.text + "; on a log scale it can become small, but not nothing",
                        .linear = finding.parameter});
    }
  }

  /// A prior gains width where every fold pulls against it, and loses some where folds do not agree what it leaves open.
  void change_priors() {
    for (const Finding& finding : diagnosis_.findings) {
      const bool is_narrow = finding.kind == FindingKind::against_prior;
      if (!is_narrow && finding.kind != FindingKind::scattered) continue;
      moves_.push_back({.id = fmt::format("{}:{}", is_narrow ? "widen" : "narrow", finding.parameter),
                        .reason = finding.text,
                        .reprior = finding.parameter,
                        .reprior_factor = is_narrow ? kPriorStep : 1.0 / kPriorStep});
    }
  }

  /// Terms that the score test has found, each with its coefficient alone.
  void invent_terms() {
    for (const Finding& finding : diagnosis_.findings) {
      if (finding.kind != FindingKind::missing_term) continue;
      const params::ParameterId id = params::parameter(finding.parameter);
      moves_.push_back({.id = fmt::format("invent:{}", finding.parameter),
                        .reason = finding.text,
                        .add = {invented_coefficient(id, finding.effect)}});
    }
  }

  void quarantine_runs() {
    for (const Finding& finding : diagnosis_.findings) {
      if (finding.kind != FindingKind::suspicious && finding.kind != FindingKind::unreachable) continue;
      const std::string id = fmt::format("quarantine:{}", finding.level);
      if (std::ranges::any_of(moves_, [&](const Move& move) { return move.id == id; })) continue;
      moves_.push_back({.id = id, .reason = finding.text, .quarantine = finding.level});
    }
  }

  /// Layer splits of other simulators, and sampling where the model's config is silent. `prepare` refuses what it contradicts.
  void assume_about_models() {
    std::set<std::string> seen;
    for (const eval::Case& item : study_.dataset.cases) {
      if (!seen.insert(item.model.name).second) continue;
      if (item.model.experts() != nullptr) {
        moves_.push_back({.id = fmt::format("half_of_the_layers_have_experts:{}", item.model.name),
                          .reason = "another simulator splits this architecture's layers in halves, dense and with experts",
                          .suggested_by = {{.metric = "e2e_mean_ms", .factor = "model"}},
                          .assume = {{.model = item.model.name, .moe_layers = item.model.layers() / 2, .truncated_sampling = {}}}});
      }
      if (!item.model.sampling) {
        moves_.push_back({.id = fmt::format("samples_by_default:{}", item.model.name),
                          .reason = "its generation config is not known; many models ask for top-p or top-k",
                          .suggested_by = {{.metric = "e2e_mean_ms", .factor = "model"}},
                          .assume = {{.model = item.model.name, .moe_layers = {}, .truncated_sampling = true}}});
      }
    }
  }

  const calibrate::PreparedStudy& study_;
  const params::Config& begun_;
  const Diagnosis& diagnosis_;
  const std::vector<Move>& catalogue_;
  std::set<std::string> covered_;
  std::vector<Move> moves_;
};

/// Tried when a finding names the runs that the move brings in, or says anything about runs that fits do not see.
void follow_unseen_runs(Proposal& proposal, const calibrate::PreparedStudy& study, const ImproveRuns& runs,
                        const Diagnosis& diagnosis) {
  std::set<std::string> seen;
  for (const std::size_t index : runs.training) seen.insert(eval::group_of(study.dataset.cases[index], "tp"));
  for (const Finding& finding : diagnosis.findings) {
    if (finding.kind != FindingKind::group || finding.factor != "tp" || finding.strength <= proposal.strength) continue;
    proposal.strength = finding.strength;
    proposal.suggested_by = finding.text + (seen.contains(finding.level) ? "" : "; no fit sees such runs");
  }
}

}  // namespace

std::optional<Proposal> applied(const Move& move, const calibrate::PreparedStudy& study) {
  const params::Config& config = study.start;
  if (!move.step_time_model.empty() && move.step_time_model != config.step_time_model) return std::nullopt;
  Proposal proposal{.move = move.id,
                    .change = {},
                    .reason = move.reason,
                    .suggested_by = {},
                    .strength = 0.0,
                    .extra_parameters = 0,
                    .burden = move.burden,
                    .definition = move,
                    .spec = study.spec};
  calibrate::StudySpec& spec = proposal.spec;
  if (!spec.improve) spec.improve.emplace();
  std::vector<std::string> changes;
  if (!move.take.empty()) {
    if (move.take == config.step_time_model) return std::nullopt;
    changes.push_back(fmt::format("step-time model: {} -> {}", config.step_time_model, move.take));
    take_over(spec, study, move.take);
  }
  for (const auto& [name, word] : move.switches) {
    const params::SwitchId id = params::switch_id(name);
    const auto choice = params::find_choice(id, word);
    if (!choice || *choice == params::choice_of(config, id)) continue;
    changes.push_back(fmt::format("{}: {} -> {}", name, id.spec().choices[params::choice_of(config, id)], word));
    spec.switches[id] = *choice;
  }
  for (const std::string& name : move.free) {
    const params::ParameterId id = params::parameter(name);
    if (is_free(spec, id)) continue;
    changes.push_back(fmt::format("free {}", name));
    free_parameter(spec, study, id);
  }
  for (const params::FreeParameter& coefficient : move.add) {
    if (is_free(spec, coefficient.id)) continue;
    const params::Term& term = *params::find_term(coefficient.id);
    changes.push_back(
        fmt::format("add {} * ({}) {}", coefficient.id.spec().id, term.expression, core::word_of(params::kTermScales, term.scale)));
    spec.free.push_back(coefficient);
    spec.fixed.erase(coefficient.id);
  }
  for (const auto& [name, value] : move.fix) {
    const params::ParameterId id = params::parameter(name);
    const auto known = spec.fixed.find(id);
    const bool is_fixed_there = known != spec.fixed.end() && known->second.value == value;
    if (is_fixed_there || (!is_free(spec, id) && start_of(study, id) == value)) continue;
    changes.push_back(fmt::format("{} = {:.6g}", name, value));
    std::erase_if(spec.free, [&](const params::FreeParameter& parameter) { return parameter.id == id; });
    spec.fixed[id] = {.value = value, .standard_error = {}};
  }
  if (tie_parameters(spec, move.tie)) changes.push_back(fmt::format("one multiplier for {}", fmt::join(move.tie, ", ")));
  if (!move.linear.empty() && search_linearly(spec, params::parameter(move.linear))) {
    changes.push_back(fmt::format("search {} on a linear scale", move.linear));
  }
  if (!move.reprior.empty() && reprior(spec, move.reprior, move.reprior_factor)) {
    changes.push_back(fmt::format("prior of {} {:.3g} times as wide", move.reprior, move.reprior_factor));
  }
  if (move.loss && *move.loss != spec.objective.loss) {
    changes.push_back(fmt::format("loss: {} -> {}", core::word_of(eval::kLossKinds, spec.objective.loss),
                                  core::word_of(eval::kLossKinds, *move.loss)));
    spec.objective.loss = *move.loss;
  }
  if (move.rows && *move.rows != spec.objective.rows) {
    changes.push_back(fmt::format("fitted rows: {} -> {}", core::word_of(eval::kStageRows, spec.objective.rows),
                                  core::word_of(eval::kStageRows, *move.rows)));
    spec.objective.rows = *move.rows;
  }
  for (const calibrate::ModelAssumption& assumed : move.assume) {
    if (std::ranges::find(spec.data.assume, assumed) != spec.data.assume.end()) continue;
    changes.push_back(fmt::format(
        "assume {} of {}",
        assumed.moe_layers ? fmt::format("{} layers with experts", *assumed.moe_layers) : std::string("top-p or top-k sampling"),
        assumed.model));
    spec.data.assume.push_back(assumed);
  }
  if (move.extend && !spec.improve->extend.empty()) {
    std::vector<std::string> words;
    for (const calibrate::Selector& selector : spec.improve->extend.front())
      words.push_back(fmt::format("{} {}", selector.field, selector.value));
    changes.push_back(fmt::format("train on {} too", fmt::join(words, ", ")));
    spec.improve->train.push_back(spec.improve->extend.front());
    spec.improve->extend.erase(spec.improve->extend.begin());
  }
  if (!move.quarantine.empty()) {
    changes.push_back(fmt::format("run {} in quarantine", move.quarantine));
    spec.improve->quarantine.push_back(move.quarantine);
  }
  // "extend" moves need an entry to extend by; what else they do would not be seen by any run.
  const bool lacks_data = move.extend && study.spec.improve && study.spec.improve->extend.empty();
  if (changes.empty() || lacks_data) return std::nullopt;
  proposal.change = fmt::format("{}", fmt::join(changes, "; "));
  proposal.extra_parameters = static_cast<long>(spec.free.size()) - static_cast<long>(study.spec.free.size());
  return proposal;
}

bool only_turns_switches(const Move& move) {
  return !move.switches.empty() && move.free.empty() && move.fix.empty() && move.add.empty() && move.take.empty() && !move.extend &&
         move.quarantine.empty() && move.assume.empty() && move.tie.empty() && move.linear.empty() && move.reprior.empty() &&
         !move.loss && !move.rows;
}

bool matches_pattern(std::string_view id, std::string_view pattern) {
  return pattern.ends_with('*') ? id.starts_with(pattern.substr(0, pattern.size() - 1)) : id == pattern;
}

bool is_wanted(std::string_view id, const calibrate::ImproveSpec& improve) {
  const auto is_match = [&](const std::string& pattern) { return matches_pattern(id, pattern); };
  return (improve.moves.empty() || std::ranges::any_of(improve.moves, is_match)) && std::ranges::none_of(improve.without, is_match);
}

const std::vector<Move>& move_catalogue() {
  static const std::vector<Move> catalogue{
      // The engine: what a request meets before and between steps.
      {.id = "prefix_reuse",
       .reason = "prompts repeat, and a prompt whose blocks are still resident is not computed again (vLLM's prefix caching)",
       .suggested_by = {{"ttft_mean_ms"}, {"e2e_mean_ms", "workload"}},
       .switches = {{"engine.prefix_reuse", "on"}},
       .burden = Burden::must_not_lose},
      {.id = "admission_lag",
       .reason = "with asynchronous scheduling a request that arrives during step k joins step k+2, so its first token waits about "
                 "one step more",
       .suggested_by = {{"ttft_mean_ms"}},
       .switches = {{"engine.async_scheduling", "on"}},
       .burden = Burden::must_not_lose},
      {.id = "graph_padding",
       .reason = "decode batches run as the next larger captured CUDA graph, so small batches cost as much as padded ones",
       .suggested_by = {{"e2e_mean_ms", "load"}, {"tpot_mean_ms", "load"}},
       .switches = {{"engine.graph_padding", "vllm"}}},
      {.id = "sampler",
       .reason = "top-p and top-k sort the vocabulary in each step; models that ask for them by default pay for it",
       .step_time_model = "physics",
       .suggested_by = {{"e2e_mean_ms", "model"}, {"ttft_mean_ms", "model"}, {"tpot_mean_ms", "model"}},
       .switches = {{"physics.sampler", "on"}},
       .burden = Burden::must_not_lose},

      // Training data.
      {.id = "extend",
       .reason = "a term whose cost depends on TP shows only in runs of more than one TP degree",
       .suggested_by = {{"e2e_mean_ms", "tp"}, {"ttft_mean_ms", "tp"}},
       .extend = true,
       .burden = Burden::must_not_lose},
      {.id = "extend_and_scale_with_tp",
       .reason = "work does not shrink exactly with TP: shards lose efficiency and all-reduces come on top; the exponents and the "
                 "latency can be seen as soon as other TP degrees are fitted",
       .step_time_model = "roofline_v1",
       .suggested_by = {{"e2e_mean_ms", "tp"}, {"ttft_mean_ms", "tp"}},
       .free = {"roofline_v1.decodeTpScalingExponent", "roofline_v1.allReduceLatency"},
       .extend = true},

      // Roofline V1: mixed steps and what hand tuning had to add.
      {.id = "mixed_rule_additive",
       .reason = "one pass computes both phases, so their times add where neither hides behind the other",
       .step_time_model = "roofline_v1",
       .suggested_by = {{"ttft_mean_ms", "load"}, {"e2e_mean_ms", "load"}},
       .switches = {{"roofline_v1.mixed_rule", "additive"}}},
      {.id = "mixed_rule_max",
       .reason = "prefill is bound by compute and decode by memory, so in one pass the shorter hides behind the longer",
       .step_time_model = "roofline_v1",
       .suggested_by = {{"ttft_mean_ms", "load"}, {"e2e_mean_ms", "load"}},
       .switches = {{"roofline_v1.mixed_rule", "max"}}},
      {.id = "mixed_rule_p_norm",
       .reason = "compute and memory overlap in part: between the sum and the larger of both",
       .step_time_model = "roofline_v1",
       .suggested_by = {{"ttft_mean_ms", "load"}, {"e2e_mean_ms", "load"}},
       .switches = {{"roofline_v1.mixed_rule", "p_norm"}}},
      {.id = "prefill_overheads",
       .reason = "each prompt in a step costs host time: block tables, slot mapping, launches outside the CUDA graph",
       .step_time_model = "roofline_v1",
       .suggested_by = {{"ttft_mean_ms"}},
       .free = {"roofline_v1.prefillOverheadMicros", "roofline_v1.mixedPrefillOverheadMicros"}},
      {.id = "front_end",
       .reason = "HTTP and tokenisation before the queue, detokenisation and streaming after each token, are outside of every step",
       .suggested_by = {{"ttft_mean_ms"}},
       .free = {"frontend.constant_us", "frontend.per_output_token_us"}},

      // Roofline V2: its review findings, each a switch.
      {.id = "gemm_rows_are_tokens",
       .reason = "a prefill GEMM has a row for every token of the step, not for every request",
       .step_time_model = "roofline_mfu",
       .suggested_by = {{"ttft_mean_ms"}, {"e2e_mean_ms", "workload"}},
       .switches = {{"roofline_mfu.gemm_rows", "tokens"}},
       .burden = Burden::must_not_lose},
      {.id = "causal_half",
       .reason = "causal attention computes half of the square; the divisor 1.8 stood in for it",
       .step_time_model = "roofline_mfu",
       .suggested_by = {{"ttft_mean_ms"}},
       .switches = {{"roofline_mfu.causal_mask", "half"}},
       .fix = {{"roofline_mfu.prefill_attention_divisor", 1.0}},
       .burden = Burden::must_not_lose},
      {.id = "decode_context_sum",
       .reason = "paged attention reads every request's own context: the sum, not the number times the longest",
       .step_time_model = "roofline_mfu",
       .suggested_by = {{"e2e_mean_ms"}, {"tpot_mean_ms"}},
       .switches = {{"roofline_mfu.decode_context", "sum"}},
       .burden = Burden::must_not_lose},
      {.id = "shards",
       .reason = "a shard's GEMM is a smaller shape with an efficiency of its own, not the whole layer's time over tp",
       .step_time_model = "roofline_mfu",
       .suggested_by = {{"e2e_mean_ms", "tp"}, {"ttft_mean_ms", "tp"}, {"e2e_mean_ms", "model"}},
       .switches = {{"roofline_mfu.tp_split", "shards"}},
       .burden = Burden::must_not_lose},
      {.id = "memory_term",
       .reason = "a step takes no less than streaming its weights and KV cache",
       .step_time_model = "roofline_mfu",
       .suggested_by = {{"e2e_mean_ms"}, {"tpot_mean_ms"}},
       .switches = {{"roofline_mfu.memory_term", "on"}},
       .burden = Burden::must_not_lose},
      {.id = "lm_head",
       .reason = "the LM head is one more GEMM over the vocabulary for each sequence",
       .step_time_model = "roofline_mfu",
       .suggested_by = {{"e2e_mean_ms", "model"}},
       .switches = {{"roofline_mfu.lm_head", "on"}},
       .burden = Burden::must_not_lose},
      {.id = "fp8_rows_for_fp8_layers",
       .reason = "FP8 layers run at FP8 speed; bf16 rows of the table describe another kernel",
       .step_time_model = "roofline_mfu",
       .suggested_by = {{"e2e_mean_ms", "model"}, {"ttft_mean_ms", "model"}},
       .switches = {{"roofline_mfu.fp8_source", "fp8_table"}},
       .burden = Burden::must_not_lose},
      {.id = "interpolated_look_up",
       .reason = "between measured rows efficiency is smooth in log space; the nearest row is off by up to a factor of two in size",
       .step_time_model = "roofline_mfu",
       .suggested_by = {{"e2e_mean_ms"}, {"ttft_mean_ms"}},
       .switches = {{"roofline_mfu.lookup", "interpolate"}},
       .burden = Burden::must_not_lose},
      {.id = "own_prefill_size",
       .reason = "prefill attention at its own length instead of the next power of two",
       .step_time_model = "roofline_mfu",
       .suggested_by = {{"ttft_mean_ms"}},
       .switches = {{"roofline_mfu.prefill_bucket", "off"}},
       .burden = Burden::must_not_lose},
      {.id = "one_pass",
       .reason = "a mixed step is one pass over all its tokens: its linear layers run once, not once for each phase",
       .step_time_model = "roofline_mfu",
       .suggested_by = {{"ttft_mean_ms"}, {"e2e_mean_ms", "load"}},
       .switches = {{"roofline_mfu.mixed_rule", "joint"}},
       .burden = Burden::must_not_lose},
      {.id = "fused_gemms",
       .reason = "engines fuse Q, K and V, and gate and up, into one GEMM each",
       .step_time_model = "roofline_mfu",
       .suggested_by = {{"e2e_mean_ms"}, {"ttft_mean_ms"}},
       .switches = {{"roofline_mfu.gemm_shapes", "fused"}},
       .burden = Burden::must_not_lose},

      // What is minimised.
      {.id = "robust_loss",
       .reason = "a few runs that the structure cannot reach pull every parameter towards them; a Huber loss limits their pull",
       .suggested_by = {{"e2e_mean_ms", "workload"}, {"ttft_mean_ms", "workload"}},
       .loss = eval::LossKind::huber},
      {.id = "fit_stages",
       .reason = "single stages tell loads apart that the summary averages over",
       .suggested_by = {{"e2e_mean_ms", "load"}, {"ttft_mean_ms", "load"}},
       .rows = eval::StageRows::stages},
  };
  return catalogue;
}

namespace {

template <class Item>
void append(std::vector<Item>& all, const std::vector<Item>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

/// Several moves as one.
Move together(const std::vector<const Move*>& moves, std::string id) {
  Move all{.id = std::move(id), .burden = Burden::must_not_lose};
  for (const Move* move : moves) {
    all.reason += (all.reason.empty() ? "" : "; and ") + move->reason;
    append(all.switches, move->switches);
    append(all.free, move->free);
    append(all.fix, move->fix);
    append(all.add, move->add);
    all.extend = all.extend || move->extend;
    if (move->burden == Burden::must_gain) all.burden = Burden::must_gain;
  }
  return all;
}

/// Ties, losses, assumptions and quarantines stand for themselves.
bool may_be_combined(const Move& move) {
  return move.take.empty() && (!move.switches.empty() || !move.free.empty() || !move.fix.empty() || !move.add.empty());
}

/// Every correction that need not gain, where there are several.
std::optional<Proposal> all_corrections(const calibrate::PreparedStudy& study, const std::vector<Proposal>& proposals) {
  std::vector<const Move*> corrections;
  double strength = 0.0;
  for (const Proposal& proposal : proposals) {
    if (proposal.burden != Burden::must_not_lose || proposal.definition.switches.empty() || proposal.definition.extend) continue;
    corrections.push_back(&proposal.definition);
    strength = std::max(strength, proposal.strength);
  }
  if (corrections.size() < 2) return std::nullopt;
  auto all = applied(together(corrections, std::string(kAllCorrections)), study);
  all->strength = strength;
  all->suggested_by = "single corrections may cancel";
  return all;
}

}  // namespace

std::vector<Proposal> propose_combinations(const calibrate::PreparedStudy& study, const std::vector<Proposal>& proposals,
                                           const std::vector<std::string>& blocked) {
  std::vector<Proposal> singles = proposals;
  std::erase_if(singles, [](const Proposal& proposal) { return proposal.move == kAllCorrections; });
  std::vector<Proposal> combinations;
  const auto add = [&](const Move& move, double strength, const std::string& suggested_by) {
    auto proposal = applied(move, study);
    if (!proposal || std::ranges::any_of(combinations, [&](const Proposal& known) { return known.spec == proposal->spec; })) return;
    proposal->strength = strength;
    proposal->suggested_by = suggested_by;
    combinations.push_back(*std::move(proposal));
  };
  const auto add_pair = [&](const Proposal& first, const Proposal& second) {
    add(together({&first.definition, &second.definition}, fmt::format("{}+{}", first.move, second.move)),
        std::min(first.strength, second.strength), first.suggested_by);
  };
  std::vector<const Proposal*> switching;
  for (const Proposal& proposal : singles) {
    if (only_turns_switches(proposal.definition) && proposal.strength > 0.0) switching.push_back(&proposal);
  }
  for (const Proposal& first : singles) {
    if (std::ranges::find(blocked, first.move) == blocked.end() || !may_be_combined(first.definition)) continue;
    for (const Proposal& second : singles) {
      if (&first != &second && second.strength > 0.0 && may_be_combined(second.definition)) add_pair(first, second);
    }
  }
  if (switching.size() > kPairedMoves) switching.resize(kPairedMoves);
  for (std::size_t j = 1; j < switching.size(); ++j) {
    for (std::size_t i = 0; i < j; ++i) add_pair(*switching[i], *switching[j]);
  }
  return combinations;
}

std::vector<Proposal> propose(const calibrate::PreparedStudy& study, const params::Config& begun, const ImproveRuns& runs,
                              const Diagnosis& diagnosis, const std::vector<Move>& catalogue) {
  std::vector<Move> moves = catalogue;
  for (Move& move : Rules(study, begun, diagnosis, catalogue).moves()) moves.push_back(std::move(move));
  const calibrate::ImproveSpec improve = study.spec.improve.value_or(calibrate::ImproveSpec{});
  std::vector<Proposal> proposals;
  for (const Move& move : moves) {
    if (!is_wanted(move.id, improve)) continue;
    auto proposal = applied(move, study);
    if (!proposal) continue;
    follow_hints(*proposal, move, diagnosis);
    if (move.extend) follow_unseen_runs(*proposal, study, runs, diagnosis);
    if (!move.quarantine.empty() || !move.fix.empty()) {
      // Their reason is the finding itself; they come after what explains it.
      proposal->suggested_by = proposal->suggested_by.empty() ? move.reason : proposal->suggested_by;
    }
    const bool is_same = std::ranges::any_of(proposals, [&](const Proposal& other) { return other.spec == proposal->spec; });
    if (!is_same) proposals.push_back(*std::move(proposal));
  }
  std::ranges::stable_sort(proposals, [](const Proposal& a, const Proposal& b) {
    if (a.strength != b.strength) return a.strength > b.strength;
    return a.extra_parameters < b.extra_parameters;
  });
  if (auto all = all_corrections(study, proposals)) proposals.insert(proposals.begin(), *std::move(all));
  // Whether the structure is the right one at all comes before what could be changed about it.
  std::stable_partition(proposals.begin(), proposals.end(),
                        [](const Proposal& proposal) { return !proposal.definition.take.empty(); });
  return proposals;
}

}  // namespace rooftune::improve
