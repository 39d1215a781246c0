#include "rooftune/study/prepare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "rooftune/domain/model.hpp"
#include "rooftune/latency/catalogue.hpp"

namespace rooftune::study {
namespace {

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

bool matches(const domain::Experiment& experiment, const Selector& selector) {
  if (selector.field == "id") return experiment.id == selector.value;
  if (selector.field == "model") {
    return same_word(domain::short_model_name(experiment.deployment.model), domain::short_model_name(selector.value));
  }
  if (selector.field == "hardware") return same_word(experiment.deployment.hardware, selector.value);
  if (selector.field == "tp") return std::to_string(experiment.deployment.tp) == selector.value;
  if (selector.field == "workload") return same_word(experiment.workload.name, selector.value);
  if (selector.field == "role") return domain::role_name(experiment.role) == selector.value;
  return false;
}

/// Values of one field are alternatives; fields must all match.
bool matches_all_fields(const domain::Experiment& experiment, const std::vector<Selector>& selectors) {
  return std::ranges::all_of(selectors, [&](const Selector& one) {
    return std::ranges::any_of(selectors, [&](const Selector& other) { return other.field == one.field && matches(experiment, other); });
  });
}

bool names_field(const std::vector<Selector>& selectors, std::string_view field) {
  return std::ranges::any_of(selectors, [&](const Selector& selector) { return selector.field == field; });
}

core::Diagnostic error(std::string problem, std::string remedy) {
  return {.position = {}, .problem = std::move(problem), .remedy = std::move(remedy), .severity = core::Severity::error};
}

params::Config start_config(const StudySpec& spec, const StudyInputs& inputs) {
  params::Config config = inputs.start.value_or(params::Config{});
  if (spec.step_time_model) config.step_time_model = *spec.step_time_model;
  for (const auto& [id, choice] : spec.switches) config.switches[id] = choice;
  for (const auto& [id, value] : spec.fixed) config.parameters[id] = value;
  std::vector<double> initial;
  for (const auto& parameter : spec.free) initial.push_back(parameter.initial);
  return params::with_values(config, spec.free, initial, params::ValueSource::given);
}

}  // namespace

bool is_selected(const domain::Experiment& experiment, const DataSpec& data) {
  if (!matches_all_fields(experiment, data.select)) return false;
  for (const Selector& excluded : data.exclude) {
    if (matches(experiment, excluded)) return false;
  }
  if (names_field(data.select, "id") || names_field(data.select, "role")) return true;
  if (names_field(data.select, "hardware")) return experiment.role != domain::Role::overload;
  return experiment.role == domain::Role::calibration;
}

core::Result<PreparedStudy> prepare(const StudySpec& spec, const StudyInputs& inputs) {
  core::Diagnostics problems = params::check(spec.free);
  PreparedStudy prepared{.spec = spec, .start = start_config(spec, inputs), .dataset = {}};
  if (!latency::is_step_time_model(prepared.start.step_time_model)) {
    std::vector<std::string_view> known;
    for (const auto& entry : latency::step_time_models()) known.push_back(entry.name);
    problems.push_back(error(fmt::format("unknown step-time model '{}'", prepared.start.step_time_model),
                             core::suggest(prepared.start.step_time_model, known)));
    return tl::unexpected(problems);
  }
  std::vector<domain::Experiment> selected;
  for (const domain::Experiment& experiment : inputs.experiments) {
    if (is_selected(experiment, spec.data)) selected.push_back(experiment);
  }
  auto dataset = eval::make_dataset({.experiments = std::move(selected),
                                     .models = inputs.models,
                                     .gpus = inputs.gpus,
                                     .config = prepared.start,
                                     .seed = spec.seed,
                                     .replicates = spec.replicates});
  if (!dataset) problems.insert(problems.end(), dataset.error().begin(), dataset.error().end());
  if (!problems.empty()) return tl::unexpected(problems);
  prepared.dataset = std::move(*dataset);
  return prepared;
}

}  // namespace rooftune::study
