#include "rooftune/improve/improve.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "candidate_check.hpp"
#include "first_fit.hpp"
#include "rooftune/calibrate/posterior.hpp"
#include "rooftune/core/contract.hpp"
#include "rooftune/eval/noise.hpp"
#include "rooftune/improve/trial.hpp"

namespace rooftune::improve {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Parameters that residuals of the result ask to free, and that its next measurements are to tell about.
constexpr std::size_t kAskedParameters = 3;

/// Candidates that always reach the second rung of a screening, however bad the first was for all.
constexpr std::size_t kLeastFinalists = 2;

TrialOptions verdict_options(const calibrate::ImproveSpec& improve) {
  return {.folds = {}, .seeds = improve.seeds, .starts = improve.starts};
}

/// Folds of the structure, the worst predicted first: where there is most to gain.
std::vector<std::string> folds_by_error(const calibrate::PreparedStudy& study, const ImproveRuns& runs, const Trial& trial) {
  const auto folds = improve_folds(study, runs);
  std::vector<std::pair<double, std::string>> ranked;
  for (const JudgedFold& fold : *folds) {
    if (!fold.unseen.empty()) continue;  // those object to verdicts
    double sum = 0.0;
    int rows = 0;
    for (const std::size_t index : fold.test) {
      for (const RunError& error : trial.errors.front()) {
        if (!error.unseen.empty() || error.experiment != study.dataset.cases[index].experiment.id) continue;
        sum += error.log_error_percent;
        ++rows;
      }
    }
    ranked.emplace_back(rows > 0 ? sum / rows : 0.0, fold.name);
  }
  std::ranges::stable_sort(ranked, std::ranges::greater{}, [](const auto& entry) { return entry.first; });
  std::vector<std::string> names;
  for (auto& [error, name] : ranked) names.push_back(std::move(name));
  return names;
}

/// Does to `free` what led from `base` to `changed`: parameters freed, tied or with another transform, and those no longer free.
void move_free_parameters(std::vector<params::FreeParameter>& free, const std::vector<params::FreeParameter>& base,
                          const std::vector<params::FreeParameter>& changed) {
  const auto find = [](auto& list, const params::FreeParameter& parameter) {
    return std::ranges::find_if(list, [&](const auto& other) { return other.id == parameter.id && other.where == parameter.where; });
  };
  for (const params::FreeParameter& parameter : base) {
    if (find(changed, parameter) != changed.end()) continue;
    if (const auto gone = find(free, parameter); gone != free.end()) free.erase(gone);
  }
  for (const params::FreeParameter& parameter : changed) {
    const auto before = find(base, parameter);
    if (before != base.end() && *before == parameter) continue;
    const auto known = find(free, parameter);
    if (known == free.end()) {
      free.push_back(parameter);
    } else {
      *known = parameter;
    }
  }
}

/// The state of a campaign, and its steps. Everything that decides is deterministic, so a journal can be continued anywhere.
class Campaign {
 public:
  Campaign(calibrate::StudySpec spec, const calibrate::StudyInputs& inputs, Journal& journal, const ImproveHooks& hooks,
           const std::vector<Move>& catalogue)
      : start_(std::move(spec)), inputs_(inputs), journal_(journal), hooks_(hooks), catalogue_(catalogue) {}

  core::Result<Improvement> run() {
    if (auto begun = begin(); !begun) return tl::unexpected(begun.error());
    while (!entries_.outcome && !is_cancelled()) {
      if (auto reason = budget_spent()) {
        if (auto ended = end(*reason); !ended) return tl::unexpected(ended.error());
      } else if (const CandidateRecord* next = next_in_queue()) {
        if (auto judged = judge_on_top(*next); !judged) return tl::unexpected(judged.error());
      } else if (auto screened = diagnose_and_screen(); !screened) {
        return tl::unexpected(screened.error());
      }
    }
    return conclude();
  }

 private:
  /// Takes up what the journal holds, or fits the structure as the study has it.
  core::Result<void> begin() {
    auto entries = journal_.read();
    if (!entries) return tl::unexpected(entries.error());
    entries_ = *std::move(entries);
    for (const RoundRecord& round : entries_.rounds) {
      if (hooks_.on_round) hooks_.on_round(round);
      if (round.fate != RoundFate::reverted) structure_ = round.round;
    }
    auto begun = calibrate::prepare(start_, inputs_);
    if (!begun) return tl::unexpected(begun.error());
    begun_ = *std::move(begun);
    current_ = entries_.rounds.empty() ? start_ : round_of(structure_).spec;
    say("fitting the structure on every fold");
    const Clock::time_point begin = Clock::now();
    if (auto taken = take_structure(); !taken) return taken;
    if (!entries_.rounds.empty() || is_cancelled()) return {};
    RoundRecord round;
    round.move = "start";
    round.change = fmt::format("{}, {} free parameters", study_.start.step_time_model, current_.free.size());
    round.free_parameters = static_cast<long>(current_.free.size());
    round.before_percent = round.after_percent = trial_.mean_score_percent();
    round.groups = judge(trial_, trial_, rules()).groups;
    round.fits = trial_.fits;
    round.evaluations = trial_.evaluations;
    round.spec = current_;
    return record(std::move(round), seconds_since(begin));
  }

  /// Prepares and fits `current_`; its trial is what changes are compared with.
  core::Result<void> take_structure() {
    auto prepared = calibrate::prepare(current_, inputs_);
    if (!prepared) return tl::unexpected(prepared.error());
    study_ = *std::move(prepared);
    runs_ = improve_runs(study_, inputs_.gpus);
    if (auto folds = improve_folds(study_, runs_); !folds) return tl::unexpected(folds.error());
    Trial trial =
        std::move(run_trials({{.spec = current_, .options = verdict_options(rules())}}, inputs_, hooks_.ranks, hooks_.cancel).front());
    if (is_cancelled()) return {};
    trial_ = std::move(trial);
    if (trial_.failure) return core::fail({}, fmt::format("the structure cannot be fitted: {}", *trial_.failure), "narrow its bounds");
    return {};
  }

  [[nodiscard]] std::optional<std::string> budget_spent() const {
    const calibrate::ImproveSpec& improve = rules();
    if (judged_rounds() >= improve.rounds) return fmt::format("the budget of {} rounds is spent", improve.rounds);
    if (improve.max_evaluations && evaluations() >= *improve.max_evaluations) {
      return fmt::format("the budget of {} evaluations is spent", *improve.max_evaluations);
    }
    if (improve.max_seconds && seconds_since(begin_) >= *improve.max_seconds) {
      return fmt::format("the {} seconds are over (another machine gets elsewhere)", *improve.max_seconds);
    }
    return std::nullopt;
  }

  /// The next survivor of the last screening that waits for its verdict; null where none does. What was kept since may do
  /// already what it does.
  [[nodiscard]] const CandidateRecord* next_in_queue() const {
    if (entries_.screenings.empty()) return nullptr;
    const ScreeningRecord& screening = entries_.screenings.back();
    // What was screened for another step-time model says nothing about this one.
    if (model_of(round_of(screening.structure).spec) != model_of(current_)) return nullptr;
    for (const std::size_t index : screening.queue) {
      const CandidateRecord& item = screening.candidates[index];
      const bool is_judged = std::ranges::any_of(entries_.rounds, [&](const RoundRecord& round) {
        return round.screening == screening.screening && round.move == item.move;
      });
      if (!is_judged && on_top(item) != current_) return &item;
    }
    return nullptr;
  }

  /// Finds out what is wrong with the structure and which moves hold anything for it. Ends the campaign where nothing is left.
  core::Result<void> diagnose_and_screen() {
    const Clock::time_point begin = Clock::now();
    say("diagnosing");
    const Diagnosed* const found = diagnosed(hooks_.cancel);
    if (found == nullptr) return {};
    const Diagnosis& diagnosis = found->diagnosis;
    std::vector<Proposal> proposals = propose(study_, begun_.start, runs_, diagnosis, catalogue_);
    const std::set<std::string> tried = tried_on_structure();
    const auto is_tried = [&](const Proposal& proposal) { return tried.contains(proposal.move); };
    ScreeningRecord record;
    record.screening = static_cast<int>(entries_.screenings.size()) + 1;
    record.structure = structure_;
    record.findings = diagnosis.findings;
    std::vector<Proposal> from_outside = ask_outside(record, tried);
    if (std::ranges::all_of(proposals, is_tried)) proposals = propose_combinations(study_, proposals, blocked_moves());
    std::erase_if(proposals, is_tried);
    if (is_cancelled()) return {};
    if (proposals.empty() && from_outside.empty()) return end_without_moves(std::move(record), seconds_since(begin));

    // Beside what one screening may hold come other structures, which are few and tried once, and what takes no fit at all.
    int places = rules().candidates;
    record.candidates = candidates(from_outside);
    for (std::size_t next = 0; next < proposals.size() && places > 0 && !is_cancelled();) {
      // None takes more than one place, so that all of these are looked at whatever becomes of them.
      const std::span<const Proposal> batch =
          std::span(proposals).subspan(next, std::min(proposals.size() - next, static_cast<std::size_t>(places)));
      next += batch.size();
      std::vector<CandidateRecord> looked_at = candidates(batch);
      for (std::size_t i = 0; i < batch.size(); ++i) {
        if (batch[i].definition.take.empty() && looked_at[i].why != kChangesNothing) --places;
        record.candidates.push_back(std::move(looked_at[i]));
      }
    }
    screen(record);
    if (is_cancelled()) return {};
    const double seconds = seconds_since(begin);
    if (hooks_.on_screening) hooks_.on_screening(record);
    auto added = journal_.add(record, seconds);
    entries_.screenings.push_back(std::move(record));
    return added;
  }

  /// Moves of the study's proposer that were not tried yet; what else it says is only written down.
  std::vector<Proposal> ask_outside(ScreeningRecord& record, const std::set<std::string>& tried) const {
    std::vector<Proposal> proposals;
    // Where it had nothing to say for this structure, it is not asked again.
    const bool was_asked = !entries_.screenings.empty() && entries_.screenings.back().structure == structure_ &&
                           std::ranges::none_of(entries_.screenings.back().outside,
                                                [](const OutsideRecord& item) { return item.fate == OutsideFate::proposed; });
    if (hooks_.proposer == nullptr || was_asked) return proposals;
    say("asking the proposer");
    const Answer answer = hooks_.proposer->ask({.study = study_, .findings = record.findings, .journal = entries_});
    if (answer.failure) record.outside.push_back({.fate = OutsideFate::failed, .move = {}, .text = *answer.failure});
    for (const std::string& why : answer.unusable) record.outside.push_back({.fate = OutsideFate::unusable, .move = {}, .text = why});
    for (const Move& move : answer.moves) {
      auto proposal = applied(move, study_);
      const auto note = [&](OutsideFate fate, std::string text) {
        record.outside.push_back({.fate = fate, .move = move.id, .text = std::move(text)});
      };
      if (!proposal) {
        note(OutsideFate::repeated, "it changes nothing");
      } else if (tried.contains(move.id) || was_screened(proposal->spec)) {
        note(OutsideFate::repeated, "it was tried on this structure");
      } else if (std::ranges::any_of(proposals, [&](const Proposal& other) { return other.spec == proposal->spec; })) {
        note(OutsideFate::repeated, "it is proposed twice");
      } else if (std::ranges::any_of(proposals, [&](const Proposal& other) { return other.move == proposal->move; })) {
        note(OutsideFate::repeated, "another proposal of this answer has its id");  // verdicts go by it
      } else {
        note(OutsideFate::proposed, proposal->change);
        proposal->suggested_by = "the proposer";
        proposals.push_back(*std::move(proposal));
      }
    }
    return proposals;
  }

  /// Whether a candidate was screened for the structure as it is that would have made the same of it.
  [[nodiscard]] bool was_screened(const calibrate::StudySpec& spec) const {
    return std::ranges::any_of(entries_.screenings, [&](const ScreeningRecord& screening) {
      return screening.structure == structure_ &&
             std::ranges::any_of(screening.candidates, [&](const CandidateRecord& item) { return item.spec == spec; });
    });
  }

  core::Result<void> end_without_moves(ScreeningRecord record, double seconds) {
    if (!record.outside.empty()) {
      if (hooks_.on_screening) hooks_.on_screening(record);
      if (auto added = journal_.add(record, seconds); !added) return added;
      entries_.screenings.push_back(std::move(record));
    }
    return end("nothing in the catalogue helps" + beside_the_noise());
  }

  /// Whether more is left than two runs of one server would differ by: repeats, and what other arrivals alone do.
  [[nodiscard]] std::string beside_the_noise() const {
    if (current_.simulator) return "";
    const core::ThreadCount threads{current_.threads};
    const eval::Noise noise = eval::noise_of(study_.dataset.subset(runs_.judged), study_.start, threads);
    bool is_noise = true;
    std::vector<std::string> figures;
    for (const auto& [metric, weight] : current_.objective.metrics) {
      const auto left = trial_.held_out.overall.find(metric);
      const auto arrivals = noise.arrival_percent.find(metric);
      const auto repeats = noise.repeats.find(metric);
      if (left == trial_.held_out.overall.end() || arrivals == noise.arrival_percent.end() || repeats == noise.repeats.end())
        return "";
      // Of a twin experiment nothing was measured twice; it says its noise.
      const double repeated = current_.data.simulated_by ? 100.0 * current_.data.simulated_by->noise : repeats->second.percent;
      const double floor = std::hypot(repeated, arrivals->second);
      is_noise = is_noise && left->second.mean_ape_percent <= floor;
      figures.push_back(fmt::format("{} {:.1f} of {:.1f} %", domain::metric_name(metric), left->second.mean_ape_percent, floor));
    }
    return fmt::format("; {} two runs differ by ({})", is_noise ? "what is left is what" : "more is left than",
                       fmt::join(figures, ", "));
  }

  /// What contradicts the data or the models' own configs is refused before any fit.
  [[nodiscard]] std::vector<CandidateRecord> candidates(std::span<const Proposal> proposals) const {
    const CandidateCheck check(current_, study_, runs_, inputs_);
    std::vector<Change> changes;
    for (const Proposal& proposal : proposals) {
      changes.push_back({.spec = proposal.spec,
                         .is_first_fit = !proposal.definition.take.empty() || proposal.move == kFirstFit,
                         .only_turns_switches = only_turns_switches(proposal.definition)});
    }
    const std::vector<CheckedChange> checked =
        check_together(check, changes, current_, {.ranks = hooks_.ranks, .cancel = hooks_.cancel});
    std::vector<CandidateRecord> records;
    for (std::size_t i = 0; i < proposals.size(); ++i) records.push_back(candidate(proposals[i], checked[i], check));
    return records;
  }

  [[nodiscard]] CandidateRecord candidate(const Proposal& proposal, const CheckedChange& checked, const CandidateCheck& check) const {
    CandidateRecord candidate{.move = proposal.move,
                              .change = proposal.change,
                              .reason = proposal.reason,
                              .suggested_by = proposal.suggested_by,
                              .strength = proposal.strength,
                              .extra_parameters = proposal.extra_parameters,
                              .burden = proposal.burden,
                              .fate = checked.refusal ? CandidateFate::refused : CandidateFate::screened_out,
                              .why = checked.refusal.value_or(""),
                              .folds = 0,
                              .score_percent = {},
                              .before_percent = {},
                              .spec = proposal.spec};
    if (!checked.held) return candidate;
    check.hold(candidate.spec, *checked.held);
    candidate.extra_parameters = static_cast<long>(candidate.spec.free.size()) - static_cast<long>(current_.free.size());
    std::vector<std::string> freed;
    for (const params::FreeParameter& parameter : candidate.spec.free) {
      if (!is_free(current_, parameter.label())) freed.push_back(parameter.label());
    }
    const bool takes_over = model_of(candidate.spec) != model_of(current_);
    candidate.change = fmt::format("{}free {}", takes_over ? candidate.change + "; " : "", fmt::join(freed, ", "));
    return candidate;
  }

  /// Successive halving over folds: a third of them for all candidates, all of them for the better half; one seed and one start.
  void screen(ScreeningRecord& record) {
    std::vector<std::size_t> field;
    for (std::size_t i = 0; i < record.candidates.size(); ++i) {
      if (record.candidates[i].fate != CandidateFate::refused) field.push_back(i);
    }
    const std::vector<std::string> folds = folds_by_error(study_, runs_, trial_);
    const std::vector<std::string> worst(folds.begin(), folds.begin() + static_cast<std::ptrdiff_t>((folds.size() + 2) / 3));
    say(fmt::format("screening {} moves on {} of {} folds", field.size(), worst.size(), folds.size()));
    try_candidates(record, field, worst);
    const auto gain = [&](std::size_t i) {
      const CandidateRecord& item = record.candidates[i];
      return item.score_percent ? *item.before_percent - *item.score_percent - price(item) : -1e300;
    };
    std::ranges::stable_sort(field, std::ranges::greater{}, gain);
    // The better half goes on, and whatever need not gain and does not lose.
    const std::size_t half = std::max(kLeastFinalists, (field.size() + 1) / 2);
    std::vector<std::size_t> finalists;
    for (std::size_t place = 0; place < field.size(); ++place) {
      const bool need_not_gain = record.candidates[field[place]].burden == Burden::must_not_lose;
      if (place < half || (need_not_gain && gain(field[place]) >= least_gain(record.candidates[field[place]]))) {
        finalists.push_back(field[place]);
      }
    }
    field = std::move(finalists);
    if (worst.size() < folds.size()) {
      say(fmt::format("screening the better {} on all {} folds", field.size(), folds.size()));
      try_candidates(record, field, folds);
    }
    std::ranges::stable_sort(field, std::ranges::greater{}, gain);
    for (const std::size_t i : field) {
      if (gain(i) < least_gain(record.candidates[i])) continue;
      record.candidates[i].fate = CandidateFate::judged;
      record.queue.push_back(i);
    }
  }

  /// One seed cannot tell a small loss from none: what need not gain gets its verdict unless it loses more than a group may.
  [[nodiscard]] double least_gain(const CandidateRecord& item) const {
    if (item.burden == Burden::must_gain || !item.before_percent) return std::numeric_limits<double>::min();
    return -rules().tolerance_fraction * *item.before_percent;
  }

  [[nodiscard]] double price(const CandidateRecord& item) const {
    return rules().price_percent * static_cast<double>(item.extra_parameters);
  }

  void try_candidates(ScreeningRecord& record, const std::vector<std::size_t>& field, const std::vector<std::string>& folds) {
    std::vector<TrialRequest> requests;
    for (const std::size_t i : field) {
      requests.push_back({.spec = record.candidates[i].spec, .options = {.folds = folds, .seeds = 1, .starts = 1}});
    }
    const std::vector<Trial> trials = run_trials(requests, inputs_, hooks_.ranks, hooks_.cancel);
    for (std::size_t k = 0; k < field.size(); ++k) {
      CandidateRecord& item = record.candidates[field[k]];
      record.evaluations += trials[k].evaluations;
      item.folds = static_cast<int>(trials[k].fits.size());
      item.score_percent.reset();
      item.before_percent.reset();
      if (trials[k].failure) {
        item.why = *trials[k].failure;
        continue;
      }
      item.score_percent = trials[k].score_on(trial_);
      item.before_percent = trial_.score_on(trials[k]);
    }
  }

  /// Judges a survivor of the screening on top of what was kept since.
  core::Result<void> judge_on_top(const CandidateRecord& item) {
    const Clock::time_point begin = Clock::now();
    say(fmt::format("judging {}", item.move));
    RoundRecord round;
    round.round = static_cast<int>(entries_.rounds.size());
    round.screening = entries_.screenings.back().screening;
    round.move = item.move;
    round.change = item.change;
    round.reason = item.reason;
    round.suggested_by = item.suggested_by;
    round.spec = on_top(item);
    round.free_parameters = static_cast<long>(round.spec.free.size());
    Trial trial = std::move(
        run_trials({{.spec = round.spec, .options = verdict_options(rules())}}, inputs_, hooks_.ranks, hooks_.cancel).front());
    if (is_cancelled()) return {};
    const Verdict verdict = judge(trial_, trial, rules(), item.burden);
    round.fate = verdict.keep ? RoundFate::kept : RoundFate::reverted;
    round.why = verdict.why;
    round.extra_parameters = verdict.extra_parameters;
    round.before_percent = verdict.before_percent;
    round.after_percent = verdict.after_percent;
    round.gain_percent = verdict.gain_percent;
    round.noise_percent = verdict.noise_percent;
    round.groups = verdict.groups;
    round.fits = trial.fits;
    round.evaluations = trial.evaluations;
    if (round.fate == RoundFate::kept) {
      current_ = round.spec;
      structure_ = round.round;
      trial_ = std::move(trial);
      diagnosed_.reset();
      auto prepared = calibrate::prepare(current_, inputs_);
      ROOFTUNE_EXPECTS(prepared.has_value());
      study_ = *std::move(prepared);
      runs_ = improve_runs(study_, inputs_.gpus);
    }
    return record(std::move(round), seconds_since(begin));
  }

  /// The candidate's change made to the structure as it is now: it was screened on the one before.
  [[nodiscard]] calibrate::StudySpec on_top(const CandidateRecord& item) const {
    const calibrate::StudySpec& base = round_of(entries_.screenings.back().structure).spec;
    if (base == current_) return item.spec;
    if (model_of(item.spec) != model_of(base)) return taken_over_on_top(item.spec);
    calibrate::StudySpec spec = current_;
    for (const auto& [id, choice] : item.spec.switches) {
      const auto known = base.switches.find(id);
      if (known == base.switches.end() || known->second != choice) spec.switches[id] = choice;
    }
    for (const auto& [id, value] : item.spec.fixed) {
      const auto known = base.fixed.find(id);
      if (known != base.fixed.end() && known->second == value) continue;
      spec.fixed[id] = value;
      std::erase_if(spec.free, [&, id = id](const params::FreeParameter& parameter) { return parameter.id == id; });
    }
    move_free_parameters(spec.free, base.free, item.spec.free);
    for (const params::FreeParameter& parameter : spec.free) spec.fixed.erase(parameter.id);
    if (!(item.spec.objective == base.objective)) spec.objective = item.spec.objective;
    if (!(item.spec.data == base.data)) spec.data = item.spec.data;
    const calibrate::ImproveSpec before = base.improve.value_or(calibrate::ImproveSpec{});
    if (item.spec.improve->train != before.train && spec.improve->train == before.train) {
      spec.improve->train = item.spec.improve->train;
      spec.improve->extend = item.spec.improve->extend;
    }
    for (const std::string& id : item.spec.improve->quarantine) {
      if (std::ranges::find(spec.improve->quarantine, id) == spec.improve->quarantine.end()) spec.improve->quarantine.push_back(id);
    }
    return spec;
  }

  /// Another step-time model with what was kept since: data, objective, quarantine, and what is shared by all models.
  [[nodiscard]] calibrate::StudySpec taken_over_on_top(const calibrate::StudySpec& taken) const {
    calibrate::StudySpec spec = taken;
    const std::string old = model_of(current_);
    for (const auto& [id, choice] : current_.switches) {
      if (id.spec().group() != old) spec.switches[id] = choice;
    }
    for (const auto& [id, value] : current_.fixed) {
      if (id.spec().group() == old) continue;
      spec.fixed[id] = value;
      std::erase_if(spec.free, [&, id = id](const params::FreeParameter& parameter) { return parameter.id == id; });
    }
    for (const params::FreeParameter& parameter : current_.free) {
      const auto same = std::ranges::find_if(spec.free, [&](const auto& other) { return other.label() == parameter.label(); });
      if (parameter.id.spec().group() != old && same != spec.free.end()) *same = parameter;
    }
    spec.objective = current_.objective;
    spec.data = current_.data;
    spec.improve = current_.improve;
    return spec;
  }

  [[nodiscard]] std::string model_of(const calibrate::StudySpec& spec) const { return step_time_model_of(spec, inputs_); }

  core::Result<void> record(RoundRecord round, double seconds) {
    if (auto added = journal_.add(round, seconds); !added) return added;
    if (hooks_.on_round) hooks_.on_round(round);
    entries_.rounds.push_back(std::move(round));
    return {};
  }

  core::Result<void> end(const std::string& reason) {
    OutcomeRecord outcome{.structure = structure_, .reason = reason, .machine_dependent = rules().max_seconds.has_value()};
    if (auto added = journal_.add(outcome); !added) return added;
    entries_.outcome = std::move(outcome);
    return {};
  }

  /// Fits start and result on their training runs, and scores both on runs that nothing has seen.
  core::Result<Improvement> conclude() {
    Improvement improvement{.journal = entries_, .start = start_, .result = current_, .before = {}, .after = {}};
    improvement.interrupted = !entries_.outcome;
    if (entries_.rounds.empty()) return improvement;
    say(improvement.interrupted ? "fitting the best structure so far" : "fitting the result");
    if (!improvement.interrupted) {
      improvement.after = diagnosed({})->fit;
    } else {
      improvement.after = diagnosed_ ? diagnosed_->fit : fit_training(study_);
    }
    improvement.before = structure_ == 0 ? improvement.after : fit_training(begun_);
    const eval::EvaluationOptions options{.threads = {current_.threads}, .stepping = sim::Stepping::closed_form};
    if (!runs_.test.empty()) {
      improvement.test_before = eval::evaluate(begun_.dataset.subset(runs_.test), improvement.before.tuned, options);
      improvement.test_after = eval::evaluate(study_.dataset.subset(runs_.test), improvement.after.tuned, options);
    }
    improvement.held_out = trial_.held_out;
    if (improvement.interrupted) return improvement;
    improvement.left = diagnosed({})->diagnosis.findings;
    say("looking for the next measurement");
    if (auto offered = offer_measurements(improvement); !offered) return tl::unexpected(offered.error());
    return improvement;
  }

  /// What one more run could teach: about the parameters that are free, and those that wait for data.
  core::Result<void> offer_measurements(Improvement& improvement) const {
    if (current_.simulator) return {};
    std::vector<params::FreeParameter> free = current_.free;
    const auto add = [&](const params::FreeParameter& parameter) {
      const auto is_same = [&](const params::FreeParameter& other) { return other.label() == parameter.label(); };
      if (std::ranges::none_of(free, is_same)) free.push_back(parameter);
    };
    for (const ScreeningRecord& screening : entries_.screenings) {
      if (screening.structure != structure_) continue;
      for (const CandidateRecord& item : screening.candidates) {
        if (item.fate != CandidateFate::refused) continue;
        for (const params::FreeParameter& parameter : item.spec.free) add(parameter);
      }
    }
    std::size_t asked = 0;
    for (const Finding& finding : improvement.left) {
      if (finding.kind != FindingKind::held_parameter || asked == kAskedParameters) continue;
      params::FreeParameter parameter = params::make_free(params::parameter(finding.parameter));
      parameter.initial = std::clamp(params::current_value(improvement.after.tuned, parameter), parameter.lower, parameter.upper);
      if (parameter.transform == params::Transform::log)
        parameter.prior = params::Prior{.centre = parameter.initial, .standard_deviation = 1.0};
      add(parameter);
      ++asked;
    }
    const eval::Dataset training = study_.dataset.subset(runs_.training);
    const core::ThreadCount threads{current_.threads};
    const eval::ResidualFunction residuals(training, improvement.after.tuned, free, current_.objective, threads);
    if (free.empty() || !residuals.differentiable()) return {};
    calibrate::CandidateSpec candidates = current_.onboard ? current_.onboard->candidates : calibrate::CandidateSpec{};
    const auto dataset = plan::candidate_dataset(study_, inputs_, candidates, training.cases.front().gpu.name);
    if (!dataset) return tl::unexpected(dataset.error());
    std::vector<double> point;
    for (const params::FreeParameter& parameter : free) {
      const double value = std::clamp(params::current_value(improvement.after.tuned, parameter), parameter.lower, parameter.upper);
      point.push_back(params::to_transformed(parameter, value));
      improvement.next_is_about.push_back(parameter.label());
    }
    const double noise = current_.objective.noise;
    const opt::GaussianBelief belief = calibrate::posterior_belief(residuals, point, noise);
    improvement.next = plan::recommend_runs(candidates, *dataset, improvement.after.tuned, free, belief, noise, threads);
    return {};
  }

  /// The structure on its training runs, and what is wrong with it.
  struct Diagnosed {
    calibrate::FitResult fit;
    Diagnosis diagnosis;
  };

  /// Null once that was cancelled.
  [[nodiscard]] const Diagnosed* diagnosed(const std::stop_token& cancel) {
    if (!diagnosed_) {
      Diagnosed made{.fit = fit_training(study_, cancel), .diagnosis = {}};
      if (!cancel.stop_requested())
        made.diagnosis = diagnose(study_, runs_, made.fit.tuned, trial_, {.ranks = hooks_.ranks, .cancel = cancel});
      if (cancel.stop_requested()) return nullptr;
      diagnosed_ = std::move(made);
    }
    return &*diagnosed_;
  }

  [[nodiscard]] calibrate::FitResult fit_training(const calibrate::PreparedStudy& study, const std::stop_token& cancel = {}) const {
    calibrate::PreparedStudy training = study;
    training.dataset = study.dataset.subset(improve_runs(study, inputs_.gpus).training);
    if (!study.spec.free.empty()) return calibrate::fit(training, {.cancel = cancel, .progress = {}});
    calibrate::FitResult as_given;  // plain defaults: nothing to fit
    as_given.start = as_given.tuned = study.start;
    as_given.tuned.domain = calibrated_domain(training.dataset);
    as_given.before = as_given.after =
        eval::evaluate(training.dataset, study.start, {.threads = {study.spec.threads}, .stepping = sim::Stepping::closed_form});
    as_given.usable = true;
    return as_given;
  }

  [[nodiscard]] const calibrate::ImproveSpec& rules() const { return *start_.improve; }
  [[nodiscard]] const RoundRecord& round_of(int round) const { return entries_.rounds[static_cast<std::size_t>(round)]; }
  [[nodiscard]] int judged_rounds() const { return static_cast<int>(entries_.rounds.size()) - 1; }

  [[nodiscard]] long evaluations() const {
    long sum = 0;
    for (const ScreeningRecord& screening : entries_.screenings) sum += screening.evaluations;
    for (const RoundRecord& round : entries_.rounds) sum += round.evaluations;
    return sum;
  }

  /// Moves that had their chance with the structure as it is: screened for it, or judged on top of it.
  [[nodiscard]] std::set<std::string> tried_on_structure() const {
    std::set<std::string> tried;
    for (const ScreeningRecord& screening : entries_.screenings) {
      const calibrate::StudySpec& base = round_of(screening.structure).spec;
      for (const CandidateRecord& item : screening.candidates) {
        // A structure that was no match for this one does not become one because this one was improved.
        const bool takes_over = model_of(item.spec) != model_of(base);
        if (screening.structure == structure_ || (takes_over && model_of(base) == model_of(current_))) tried.insert(item.move);
      }
    }
    for (const RoundRecord& round : entries_.rounds) {
      if (round.round > structure_ && round.fate == RoundFate::reverted) tried.insert(round.move);
    }
    return tried;
  }

  /// Moves that gained beyond their noise on the structure as it is, and were reverted for the sake of a group.
  [[nodiscard]] std::vector<std::string> blocked_moves() const {
    std::vector<std::string> blocked;
    for (const RoundRecord& round : entries_.rounds) {
      const bool is_blocked = round.round > structure_ && round.fate == RoundFate::reverted &&
                              round.gain_percent > std::max(round.noise_percent, rules().min_gain_percent);
      if (is_blocked) blocked.push_back(round.move);
    }
    return blocked;
  }

  /// What was being done then is of no use: it leaves no entry, and a resumed campaign does it again.
  [[nodiscard]] bool is_cancelled() const { return hooks_.cancel.stop_requested(); }

  void say(const std::string& doing) const {
    if (hooks_.progress) hooks_.progress(doing);
  }

  calibrate::StudySpec start_;
  const calibrate::StudyInputs& inputs_;
  Journal& journal_;
  const ImproveHooks& hooks_;
  const std::vector<Move>& catalogue_;
  Clock::time_point begin_ = Clock::now();
  JournalEntries entries_;
  calibrate::PreparedStudy begun_;  ///< what the search started from
  calibrate::StudySpec current_;
  int structure_ = 0;  ///< the round that `current_` comes from
  calibrate::PreparedStudy study_;
  ImproveRuns runs_;
  Trial trial_;
  std::optional<Diagnosed> diagnosed_;  ///< of the structure, once it was asked for
};

}  // namespace

core::Result<void> JournalInMemory::add(const ScreeningRecord& record, double /*seconds*/) {
  entries_.screenings.push_back(record);
  return {};
}

core::Result<void> JournalInMemory::add(const RoundRecord& record, double /*seconds*/) {
  entries_.rounds.push_back(record);
  return {};
}

core::Result<void> JournalInMemory::add(const OutcomeRecord& record) {
  entries_.outcome = record;
  return {};
}

const RoundRecord& Improvement::kept_last() const {
  return *std::ranges::find_if(journal.rounds.rbegin(), journal.rounds.rend(),
                               [](const RoundRecord& round) { return round.fate != RoundFate::reverted; });
}

core::Result<Improvement> improve(const calibrate::StudySpec& spec, const calibrate::StudyInputs& inputs, Journal& journal,
                                  const ImproveHooks& hooks, const std::vector<Move>& catalogue) {
  calibrate::StudySpec start = spec;
  if (!start.improve) start.improve.emplace();
  if (!start.split) start.split.emplace();
  return Campaign(std::move(start), inputs, journal, hooks, catalogue).run();
}

Trial replay(const RoundRecord& round, const calibrate::StudyInputs& inputs) {
  return std::move(
      run_trials({{.spec = round.spec, .options = verdict_options(round.spec.improve.value_or(calibrate::ImproveSpec{}))}}, inputs)
          .front());
}

}  // namespace rooftune::improve
