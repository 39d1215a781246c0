#include "rooftune/runs/proposer.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <utility>

#include "improve_json.hpp"
#include "program_run.hpp"
#include "rooftune/core/printable.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/data/config_pieces.hpp"
#include "rooftune/data/term_forms.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "rooftune/params/choice_of.hpp"
#include "rooftune/params/prior_knowledge.hpp"
#include "rooftune/params/term.hpp"
#include "rooftune/text/document.hpp"
#include "rooftune/text/files.hpp"
#include "rooftune/text/json_pieces.hpp"
#include "rooftune/text/json_text.hpp"
#include "rooftune/text/object_reader.hpp"

namespace rooftune::runs {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kQuestionSchema = "rooftune/question/1";
constexpr std::string_view kAnswerSchema = "rooftune/proposals/1";
/// Of one answer: what is beyond is not read.
constexpr std::size_t kMostProposals = 8;

/// The step-time model's own parameters and switches, and those of the front end and the engine.
bool concerns(std::string_view group, const std::string& step_time_model) {
  return group == step_time_model || group == "frontend" || group == "engine";
}

Json free_json(const params::FreeParameter& parameter) {
  Json json{{"id", parameter.label()},
            {"lower", parameter.lower},
            {"start", parameter.initial},
            {"upper", parameter.upper},
            {"transform", params::transform_name(parameter.transform)},
            {"prior", nullptr}};
  if (parameter.prior)
    json["prior"] = {{"centre", parameter.prior->centre}, {"standard_deviation", parameter.prior->standard_deviation}};
  return json;
}

Json structure_json(const calibrate::PreparedStudy& study) {
  const params::Config& config = study.start;
  Json switches = Json::object();
  Json fixed = Json::object();
  Json terms = Json::array();
  for (std::size_t i = 0; i < params::switch_registry().size(); ++i) {
    const params::SwitchId id{i};
    if (!concerns(id.spec().group(), config.step_time_model)) continue;
    switches[std::string(id.spec().id)] = id.spec().choices[params::choice_of(config, id)];
  }
  for (const auto& [id, value] : study.spec.fixed) fixed[std::string(id.spec().id)] = value.value;
  for (const params::FreeParameter& parameter : study.spec.free) {
    const params::Term* term = params::find_term(parameter.id);
    if (term == nullptr) continue;
    terms.push_back({{"id", parameter.id.spec().id},
                     {"scale", core::word_of(params::kTermScales, term->scale)},
                     {"expression", term->expression}});
  }
  return {{"step_time_model", config.step_time_model},
          {"switches", std::move(switches)},
          {"free", text::list_of(study.spec.free, free_json)},
          {"fixed", std::move(fixed)},
          {"terms", std::move(terms)}};
}

/// Verdicts: errors over folds and groups stand in them, as percentages, and neither measurements nor predictions of a run.
Json tried_json(const improve::JournalEntries& journal) {
  Json tried = Json::array();
  for (const improve::ScreeningRecord& screening : journal.screenings) {
    for (const improve::CandidateRecord& item : screening.candidates) {
      if (item.fate == improve::CandidateFate::judged) continue;
      tried.push_back({{"structure", screening.structure},
                       {"move", item.move},
                       {"change", item.change},
                       {"fate", core::word_of(improve::kCandidateFates, item.fate)},
                       {"why", item.why}});
    }
    for (const improve::OutsideRecord& item : screening.outside) {
      if (item.fate == improve::OutsideFate::proposed) continue;
      tried.push_back({{"structure", screening.structure},
                       {"move", item.move},
                       {"change", ""},
                       {"fate", core::word_of(improve::kOutsideFates, item.fate)},
                       {"why", item.text}});
    }
  }
  return tried;
}

Json verdicts_json(const improve::JournalEntries& journal) {
  Json verdicts = Json::array();
  for (const improve::RoundRecord& round : journal.rounds) {
    verdicts.push_back({{"round", round.round},
                        {"move", round.move},
                        {"change", round.change},
                        {"fate", core::word_of(improve::kRoundFates, round.fate)},
                        {"why", round.why}});
  }
  return verdicts;
}

/// What an answer may name.
Json grammar_json(const params::Config& config) {
  Json models = Json::array();
  for (const latency::ModelEntry& model : latency::step_time_models()) {
    if (!params::first_fit(model.name).empty()) models.push_back({{"name", model.name}, {"meaning", model.summary}});
  }
  Json switches = Json::array();
  for (const params::SwitchSpec& spec : params::switch_registry()) {
    if (!concerns(spec.group(), config.step_time_model)) continue;
    switches.push_back({{"id", spec.id},
                        {"choices", std::vector<std::string_view>(spec.choices.begin(), spec.choices.end())},
                        {"meaning", spec.meaning}});
  }
  Json parameters = Json::array();
  for (const params::ParameterSpec& spec : params::parameter_registry()) {
    if (!concerns(spec.group(), config.step_time_model)) continue;
    parameters.push_back(
        {{"id", spec.id}, {"unit", spec.unit}, {"lower", spec.lower}, {"upper", spec.upper}, {"meaning", spec.meaning}});
  }
  Json quantities = Json::array();
  for (const params::QuantitySpec& spec : params::quantities())
    quantities.push_back({{"name", spec.name}, {"unit", spec.unit}, {"meaning", spec.meaning}});
  Json scales = Json::array();
  for (const auto& [word, scale] : params::kTermScales) scales.push_back(word);
  return {{"step_time_models", std::move(models)},
          {"switches", std::move(switches)},
          {"parameters", std::move(parameters)},
          {"term_scales", std::move(scales)},
          {"term_quantities", std::move(quantities)}};
}

/// `{switches: {id: choice}}` and the like; what is not known is reported.
void read_switches(text::ObjectReader& reader, improve::Move& move) {
  const text::Node* node = reader.optional_object("switches");
  if (node == nullptr) return;
  std::map<params::SwitchId, std::size_t> switches;
  data::read_switches(*node, "", switches, reader.problems());
  for (const auto& [id, choice] : switches) move.switches.emplace_back(id.spec().id, id.spec().choices[choice]);
}

void read_parameters(text::ObjectReader& reader, improve::Move& move) {
  std::vector<std::string> free;
  if (reader.optional("free", free)) {
    for (const std::string& id : free) {
      if (data::read_parameter_id(id, reader.find("free")->place, reader.problems())) move.free.push_back(id);
    }
  }
  if (const text::Node* node = reader.optional_object("fix")) {
    for (const auto& [id, value] : data::read_assignments(*node, reader.problems())) move.fix.emplace_back(id.spec().id, value.value);
  }
}

improve::Move read_move(const text::Node& node, text::Problems& problems) {
  improve::Move move;
  text::ObjectReader reader(node, problems, "a proposal");
  std::string id;
  reader.required("id", id);
  move.id = fmt::format("{}{}", improve::kOutside, id);
  reader.required("reason", move.reason);
  if (const text::Node* take = reader.find("take")) data::read_step_time_model(*take, move.take, problems);
  if (!move.take.empty() && params::first_fit(move.take).empty()) {
    problems.error(reader.place_of("take"), fmt::format("'{}' cannot take over: nobody knows what a first fit of it frees", move.take),
                   "take one that the question lists");
  }
  read_switches(reader, move);
  read_parameters(reader, move);
  for (const data::TermItem& term : data::read_terms(reader.optional_list("terms"), data::TermsIn::study, problems)) {
    move.add.push_back(term.free);
    // No naked freedom: a coefficient that nothing is known of is pulled to nothing.
    if (!move.add.back().prior) move.add.back().prior = params::known_prior(term.free, 0.0);
  }
  return move;
}

class ProgramProposer final : public improve::Proposer {
 public:
  explicit ProgramProposer(calibrate::ProposerSpec spec) : spec_(std::move(spec)) { remove_abandoned_work(); }

  [[nodiscard]] improve::Answer ask(const improve::Question& question) override {
    const WorkingDirectory directory;
    if (directory.path().empty())
      return {.failure = std::string("no working directory can be made in the folder for temporary files")};
    text::Process process{.command = {}, .working_directory = directory.path(), .environment = {}, .timeout = {}};
    process.timeout = std::chrono::duration<double>(spec_.timeout_s);
    process.input = question_json(question);
    for (const std::string& argument : spec_.command)
      process.command.push_back(calibrate::fill_in(argument, {{"folder", text::absolute(spec_.folder).string()}}));
    if (const char* path = std::getenv("PATH"); path != nullptr) process.environment["PATH"] = path;
    const text::ProcessEnd end = text::run_process(process, {});
    if (auto reason = why_it_failed(end, spec_.command, spec_.timeout_s)) return {.failure = *std::move(reason)};
    return read_answer(end.output);
  }

 private:
  calibrate::ProposerSpec spec_;
};

}  // namespace

std::string question_json(const improve::Question& question) {
  return text::json_text(Json{{"schema", kQuestionSchema},
                              {"study", question.study.spec.name},
                              {"structure", structure_json(question.study)},
                              {"findings", text::list_of(question.findings, finding_json)},
                              {"verdicts", verdicts_json(question.journal)},
                              {"tried", tried_json(question.journal)},
                              {"grammar", grammar_json(question.study.start)}});
}

improve::Answer read_answer(std::string_view text) {
  improve::Answer answer;
  const auto document = text::parse_document(text, "answer", text::Syntax::json);
  if (!document) {
    answer.failure = fmt::format("the answer is no JSON: {}", core::printable(document.error().front().problem));
    return answer;
  }
  text::Problems problems("answer");
  std::span<const text::Node> items;
  {
    text::ObjectReader reader(document->root, problems, "an answer");
    std::string schema;
    if (reader.required("schema", schema) && schema != kAnswerSchema) {
      problems.error(reader.find("schema")->place, fmt::format("the schema is '{}'", core::printable(schema)),
                     fmt::format("this version reads '{}'", kAnswerSchema));
    }
    items = reader.optional_list("proposals");
  }
  if (problems.has_errors()) {
    answer.failure = core::printable(core::format(problems.take_errors()));
    return answer;
  }
  for (const text::Node& item : items) {
    if (answer.moves.size() == kMostProposals) {
      answer.unusable.push_back(fmt::format("more than {} proposals at once: the others are left out", kMostProposals));
      break;
    }
    text::Problems own("answer");
    improve::Move move = read_move(item, own);
    if (own.has_errors()) {
      answer.unusable.push_back(core::printable(core::format(own.take_errors())));
    } else {
      answer.moves.push_back(std::move(move));
    }
  }
  return answer;
}

std::unique_ptr<improve::Proposer> make_proposer(const calibrate::ProposerSpec& spec) {
  return std::make_unique<ProgramProposer>(spec);
}

}  // namespace rooftune::runs
