#include "rooftune/runs/live_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "improve_json.hpp"
#include "rooftune/calibrate/calibration_objective.hpp"
#include "rooftune/eval/splits.hpp"
#include "rooftune/params/space.hpp"
#include "rooftune/runs/improve_journal.hpp"
#include "rooftune/runs/open_study.hpp"
#include "rooftune/text/files.hpp"
#include "rooftune/text/json_pieces.hpp"
#include "rooftune/text/json_text.hpp"
#include "sqlite_database.hpp"

namespace rooftune::runs {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::vector<double> doubles_of(const std::string& bytes) {
  std::vector<double> values(bytes.size() / sizeof(double));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(double));
  return values;
}

/// Of what a store keeps (stored_objective.cpp): the scalar, the number of residuals, the residuals, derivatives.
std::optional<double> objective_of(const std::vector<double>& numbers, const opt::Loss& loss) {
  if (numbers.size() < 2) return std::nullopt;
  const auto residuals = static_cast<std::size_t>(std::max(0.0, numbers[1]));
  if (residuals == 0) return numbers[0];
  double sum = 0.0;
  for (std::size_t i = 2; i < std::min(numbers.size(), residuals + 2); ++i) sum += opt::loss_value(loss, numbers[i]);
  return sum;
}

/// What the searches of a fit may take; empty for commands whose searches nobody counts beforehand.
std::optional<long> most_evaluations(const calibrate::StudySpec& study, const std::string& command) {
  if (command != "fit" || study.solver.empty()) return std::nullopt;
  long most = 0;
  for (const calibrate::SolverStage& stage : study.solver) most += stage.max_evaluations;
  return most * static_cast<long>(calibrate::make_multistart(study, {1}).starts);
}

std::string_view state_name(RunState state) {
  switch (state) {
    case RunState::begun: return "begun";
    case RunState::interrupted: return "interrupted";
    case RunState::finished: break;
  }
  return "finished";
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
  if (const auto manifest = read_manifest(folder_)) state_.state = manifest->state;
  if (!text::exists(folder_ / kJournalName)) return state_;
  if (state_.command == "improve") {
    read_journal();
  } else {
    read_store();
  }
  return state_;
}

void LiveRun::read_journal() {
  const auto journal = open_journal(folder_ / kJournalName);
  if (!journal) return;
  if (auto entries = (*journal)->read()) state_.journal = *std::move(entries);
}

void LiveRun::read_store() {
  try {
    int format = 0;
    SQLite::Database database = open_database(folder_ / kJournalName, DatabaseAccess::read_only, format);
    if (!database.tableExists("evaluations")) return;
    if (database.execAndGet("SELECT count(*) FROM evaluations").getInt64() == state_.evaluations) return;
    SQLite::Statement rows(database, "SELECT sha256, request, point, numbers, refusal FROM evaluations JOIN problems ON id = problem");
    while (rows.executeStep()) {
      const std::string problem = rows.getColumn(0).getString();
      const std::string point = rows.getColumn(2).getString();
      if (!seen_.insert(problem + rows.getColumn(1).getString() + point).second) continue;
      take_row(problem, doubles_of(point), doubles_of(rows.getColumn(3).getString()), !rows.getColumn(4).isNull());
    }
  } catch (const SQLite::Exception&) {
    // The run is writing, or about to begin: the next look sees more.
  }
}

void LiveRun::take_row(const std::string& problem, const std::vector<double>& point, const std::vector<double>& numbers,
                       bool is_refused) {
  auto search = std::ranges::find(state_.searches, problem, &LiveSearch::problem);
  if (search == state_.searches.end()) search = state_.searches.insert(search, {.problem = problem});
  ++state_.evaluations;
  ++search->evaluations;
  state_.refusals += is_refused ? 1 : 0;
  state_.newest = static_cast<std::size_t>(search - state_.searches.begin());
  state_.last = is_refused ? std::nullopt : objective_of(numbers, loss_);
  state_.last_point = point;
  if (state_.last && (!search->best || *state_.last < *search->best)) {
    search->best = state_.last;
    search->best_point = point;
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
            {"state", state_name(state_.state)},
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
            {"notices", state_.notices}};
  if (state_.journal) {
    json["rounds"] = state_.journal->rounds.size();
    if (study_ && study_->improve) json["most_rounds"] = study_->improve->rounds;
    json["waiting"] = waiting_moves(*state_.journal);
  }
  return text::json_text(json);
}

}  // namespace rooftune::runs
