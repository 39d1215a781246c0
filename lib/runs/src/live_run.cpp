#include "rooftune/runs/live_run.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "improve_json.hpp"
#include "rooftune/calibrate/calibration_objective.hpp"
#include "rooftune/eval/splits.hpp"
#include "rooftune/params/space.hpp"
#include "rooftune/runs/improve_journal.hpp"
#include "rooftune/runs/open_study.hpp"
#include "rooftune/text/files.hpp"
#include "rooftune/text/json_pieces.hpp"
#include "rooftune/text/json_text.hpp"

namespace rooftune::runs {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// What the searches of a fit may take; empty for commands whose searches nobody counts beforehand.
std::optional<long> most_evaluations(const calibrate::StudySpec& study, const std::string& command) {
  if (command != "fit" || study.solver.empty()) return std::nullopt;
  long most = 0;
  for (const calibrate::SolverStage& stage : study.solver) most += stage.max_evaluations;
  return most * static_cast<long>(calibrate::make_multistart(study, {1}).starts);
}

/// The moves that the latest screening found worth judging and that no round after it has judged; the first is judged now.
Json waiting_moves(const improve::JournalEntries& journal) {
  Json moves = Json::array();
  if (journal.outcome || journal.screenings.empty()) return moves;
  const improve::ScreeningRecord& latest = journal.screenings.back();
  for (const std::size_t index : latest.queue) {
    const improve::CandidateRecord& item = latest.candidates.at(index);
    const bool is_judged = std::ranges::any_of(journal.rounds, [&](const improve::RoundRecord& round) {
      return round.screening == latest.screening && round.move == item.move;
    });
    if (!is_judged) moves.push_back(item.move);
  }
  return moves;
}

}  // namespace

core::Result<LiveRun> LiveRun::open(const fs::path& folder) {
  const auto manifest = read_manifest(folder);
  if (!manifest) return tl::unexpected(manifest.error());
  LiveRun run(folder, {.command = manifest->command});
  if (!text::exists(folder / kStudyName)) return run;
  if (auto study = open_study(folder / kStudyName, {}, Simulators::any)) {
    const calibrate::PreparedStudy& prepared = study->prepared;
    if (manifest->command == "crossval" && prepared.spec.split) {
      const auto folds = eval::make_folds(prepared.dataset, *prepared.spec.split, prepared.spec.seed);
      if (folds) run.folds_ = folds->size();
    }
    run.study_ = std::move(study->prepared.spec);
    run.loss_ = calibrate::make_stages(*run.study_).front().options.loss;
  } else {
    run.state_.notices.push_back(
        fmt::format("Parameters have no names here, because the study cannot be read again: {}", core::format(study.error().front())));
  }
  return run;
}

const LiveState& LiveRun::look() {
  using Clock = std::chrono::steady_clock;
  if (const auto manifest = read_manifest(folder_)) state_.state = manifest->state;
  state_.progress = read_progress(folder_);
  const Clock::time_point begin = Clock::now();
  if (begin < next_reading_ || !text::exists(folder_ / kJournalName)) return state_;
  read_store();
  constexpr int kRest = 20;  // times as long as it took: 5 % of a core at most
  next_reading_ = Clock::now() + kRest * (Clock::now() - begin);
  return state_;
}

void LiveRun::read_store() {
  if (state_.command == "improve") {
    // Where it cannot be read just now, what it held before stays.
    if (auto entries = read_journal(folder_ / kJournalName)) state_.journal = *std::move(entries);
  } else {
    for (SeenEvaluation& one : read_new_evaluations(folder_ / kJournalName, seen_)) take(std::move(one));
  }
}

void LiveRun::take(SeenEvaluation one) {
  auto search = std::ranges::find(state_.searches, one.problem, &LiveSearch::problem);
  if (search == state_.searches.end()) search = state_.searches.insert(search, {.problem = one.problem});
  ++state_.evaluations;
  ++search->evaluations;
  state_.refusals += one.evaluation.refusal ? 1 : 0;
  state_.newest = static_cast<std::size_t>(search - state_.searches.begin());
  state_.last = calibrate::objective_of(one.evaluation, loss_);
  state_.last_point = std::move(one.point);
  if (state_.last && (!search->best || *state_.last < *search->best)) {
    search->best = state_.last;
    search->best_point = state_.last_point;
  }
}

std::string LiveRun::json() const {
  Json searches = Json::array();
  for (const LiveSearch& search : state_.searches) {
    constexpr std::size_t kShownDigits = 12;
    searches.push_back({{"problem", search.problem.substr(0, kShownDigits)},
                        {"evaluations", search.evaluations},
                        {"best", text::or_null(search.best)}});
  }
  Json parameters = Json::array();
  const LiveSearch* newest = state_.newest ? &state_.searches[*state_.newest] : nullptr;
  if (study_ && newest != nullptr && study_->free.size() == state_.last_point.size()) {
    for (std::size_t i = 0; i < study_->free.size(); ++i) {
      const params::FreeParameter& parameter = study_->free[i];
      const auto value = [&](const std::vector<double>& point) {
        return i < point.size() ? Json(params::from_transformed(parameter, point[i])) : Json(nullptr);
      };
      parameters.push_back(
          {{"parameter", parameter.label()}, {"best", value(newest->best_point)}, {"last", value(state_.last_point)}});
    }
  }
  const auto most = study_ ? most_evaluations(*study_, state_.command) : std::nullopt;
  Json json{{"schema", "rooftune/live/1"},
            {"state", run_state_name(state_.state)},
            {"command", state_.command},
            {"evaluations", state_.evaluations},
            {"refusals", state_.refusals},
            {"most_evaluations", text::or_null(most)},
            {"folds", text::or_null(folds_)},
            {"searches", std::move(searches)},
            {"newest", state_.newest ? Json(*state_.newest) : Json(nullptr)},
            {"last", text::or_null(state_.last)},
            {"parameters", std::move(parameters)},
            {"rounds", nullptr},
            {"most_rounds", nullptr},
            {"waiting", Json::array()},
            {"progress", nullptr},
            {"notices", state_.notices}};
  if (const auto& progress = state_.progress) {
    json["progress"] = {{"parts", progress->parts},
                        {"finished", progress->finished},
                        {"of", progress->of},
                        {"objective", text::or_null(progress->objective)},
                        {"computed", progress->computed},
                        {"found", progress->found},
                        {"is_stored_elsewhere", !text::exists(folder_ / kJournalName)}};
  }
  if (state_.journal) {
    json["rounds"] = state_.journal->rounds.size();
    if (study_ && study_->improve) json["most_rounds"] = study_->improve->rounds;
    json["waiting"] = waiting_moves(*state_.journal);
  }
  return text::json_text(json);
}

}  // namespace rooftune::runs
