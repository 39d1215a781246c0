#include "rooftune/runs/improve_file.hpp"

#include <fmt/format.h>

#include "improve_json.hpp"
#include "next_run_json.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/text/csv_text.hpp"
#include "rooftune/text/json_pieces.hpp"
#include "rooftune/text/json_text.hpp"

namespace rooftune::runs {
namespace {

using Json = nlohmann::ordered_json;

Json candidate_json(const improve::CandidateRecord& item) {
  return {{"move", item.move},
          {"change", item.change},
          {"reason", item.reason},
          {"suggested_by", item.suggested_by},
          {"extra_parameters", item.extra_parameters},
          {"burden", core::word_of(improve::kBurdens, item.burden)},
          {"fate", core::word_of(improve::kCandidateFates, item.fate)},
          {"why", item.why},
          {"folds", item.folds},
          {"before_percent", text::or_null(item.before_percent)},
          {"score_percent", text::or_null(item.score_percent)}};
}

Json outside_json(const improve::OutsideRecord& item) {
  return {{"fate", core::word_of(improve::kOutsideFates, item.fate)}, {"move", item.move}, {"text", item.text}};
}

Json group_json(const improve::GroupChange& change) {
  return {{"grouped_by", change.group.first},
          {"name", change.group.second},
          {"metric", domain::metric_name(change.metric)},
          {"runs", change.runs},
          {"ape_before_percent", change.ape_before_percent},
          {"ape_after_percent", change.ape_after_percent}};
}

Json round_json(const improve::RoundRecord& round) {
  return {{"round", round.round},
          {"screening", round.screening},
          {"move", round.move},
          {"change", round.change},
          {"reason", round.reason},
          {"suggested_by", round.suggested_by},
          {"fate", core::word_of(improve::kRoundFates, round.fate)},
          {"why", round.why},
          {"free_parameters", round.free_parameters},
          {"extra_parameters", round.extra_parameters},
          {"before_percent", round.before_percent},
          {"after_percent", round.after_percent},
          {"gain_percent", round.gain_percent},
          {"noise_percent", round.noise_percent},
          {"evaluations", round.evaluations},
          {"groups", text::list_of(round.groups, group_json)}};
}

Json screening_json(const improve::ScreeningRecord& screening) {
  return {{"screening", screening.screening},
          {"structure", screening.structure},
          {"evaluations", screening.evaluations},
          {"findings", text::list_of(screening.findings, finding_json)},
          {"candidates", text::list_of(screening.candidates, candidate_json)},
          {"outside", text::list_of(screening.outside, outside_json)}};
}

/// Summaries of the runs that no decision saw.
Json test_json(const improve::Improvement& improvement) {
  if (!improvement.test_before || !improvement.test_after) return nullptr;
  Json rows = Json::array();
  for (const eval::Row& row : improvement.test_before->rows) {
    if (row.stage != domain::kSummaryStage) continue;
    const eval::Row* after = improvement.test_after->find(row.experiment, row.stage, row.metric);
    if (after == nullptr) continue;
    rows.push_back({{"experiment", row.experiment},
                    {"metric", domain::metric_name(row.metric)},
                    {"measured", row.measured_ms},
                    {"error_before_percent", row.error_percent()},
                    {"error_after_percent", after->error_percent()}});
  }
  return rows;
}

}  // namespace

Json finding_json(const improve::Finding& finding) {
  return {{"kind", core::word_of(improve::kFindingKinds, finding.kind)},
          {"metric", finding.metric},
          {"factor", finding.factor},
          {"level", finding.level},
          {"parameter", finding.parameter},
          {"effect", finding.effect},
          {"t", finding.strength},
          {"text", finding.text}};
}

Json journal_json(const improve::JournalEntries& journal) {
  Json json{{"rounds", text::list_of(journal.rounds, round_json)},
            {"screenings", text::list_of(journal.screenings, screening_json)},
            {"outcome", nullptr}};
  if (journal.outcome) {
    json["outcome"] = {{"structure", journal.outcome->structure},
                       {"reason", journal.outcome->reason},
                       {"machine_dependent", journal.outcome->machine_dependent}};
  }
  return json;
}

std::string improvement_json(const improve::Improvement& improvement) {
  Json json{{"schema", "rooftune/improvement/1"}, {"study", improvement.start.name}, {"interrupted", improvement.interrupted}};
  json.update(journal_json(improvement.journal));
  json["test"] = test_json(improvement);
  json["quarantine"] = improvement.result.improve ? Json(improvement.result.improve->quarantine) : Json::array();
  json["left"] = text::list_of(improvement.left, finding_json);
  json["next_runs"] = text::list_of(improvement.next, next_run_json);
  json["next_runs_are_about"] = improvement.next_is_about;
  return text::json_text(json);
}

std::string improvement_csv(const improve::JournalEntries& journal) {
  std::string text =
      "round,fate,move,change,reason,suggested_by,why,free_parameters,extra_parameters,before_percent,after_percent,gain_percent,"
      "noise_percent,evaluations\n";
  for (const improve::RoundRecord& round : journal.rounds) {
    text += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n", round.round, core::word_of(improve::kRoundFates, round.fate),
                        text::csv_cell(round.move), text::csv_cell(round.change), text::csv_cell(round.reason),
                        text::csv_cell(round.suggested_by), text::csv_cell(round.why), round.free_parameters, round.extra_parameters,
                        round.before_percent, round.after_percent, round.gain_percent, round.noise_percent, round.evaluations);
  }
  return text;
}

}  // namespace rooftune::runs
