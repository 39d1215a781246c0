#include "rooftune/study/prepare.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "rooftune/domain/model.hpp"
#include "rooftune/latency/catalogue.hpp"

namespace rooftune::study {
namespace {

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

bool same_gpu(std::string_view a, std::string_view b, const std::vector<domain::GpuSpec>& gpus) {
  const domain::GpuSpec* known = domain::find_gpu(gpus, a);
  return same_word(a, b) || (known != nullptr && known == domain::find_gpu(gpus, b));
}

/// Decides whether experiments match selectors.
class Matcher {
 public:
  explicit Matcher(const std::vector<domain::GpuSpec>& gpus) : gpus_(gpus) {}

  [[nodiscard]] bool operator()(const domain::Experiment& experiment, const Selector& selector) const {
    const domain::Deployment& deployment = experiment.deployment;
    if (selector.field == "id") return experiment.id == selector.value;
    if (selector.field == "model")
      return same_word(domain::short_model_name(deployment.model), domain::short_model_name(selector.value));
    if (selector.field == "hardware") return same_gpu(deployment.hardware, selector.value, gpus_);
    if (selector.field == "tp") return std::to_string(deployment.tp) == selector.value;
    if (selector.field == "workload") return same_word(experiment.workload.name, selector.value);
    if (selector.field == "role") return selector.value == kAnyRole || domain::role_name(experiment.role) == selector.value;
    return false;
  }

  /// Values of one field are alternatives; fields must all match.
  [[nodiscard]] bool all_fields(const domain::Experiment& experiment, const std::vector<Selector>& selectors) const {
    return std::ranges::all_of(selectors, [&](const Selector& one) {
      return std::ranges::any_of(selectors,
                                 [&](const Selector& other) { return other.field == one.field && (*this)(experiment, other); });
    });
  }

 private:
  const std::vector<domain::GpuSpec>& gpus_;
};

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
  return config;
}

/// Free parameters whose start the study leaves open start from the config's value, moved between their bounds.
void place_starts(std::vector<params::FreeParameter>& free, const params::Config& config) {
  for (params::FreeParameter& parameter : free) {
    if (parameter.initial_is_given || !(parameter.lower < parameter.upper)) continue;
    parameter.initial = std::clamp(params::current_value(config, parameter), parameter.lower, parameter.upper);
  }
}

std::vector<double> starts_of(const std::vector<params::FreeParameter>& free) {
  std::vector<double> starts;
  for (const params::FreeParameter& parameter : free) starts.push_back(parameter.initial);
  return starts;
}

/// What experiments have in a field, for "did you mean".
std::string value_of_field(const domain::Experiment& experiment, std::string_view field) {
  if (field == "id") return experiment.id;
  if (field == "model") return std::string(domain::short_model_name(experiment.deployment.model));
  if (field == "hardware") return experiment.deployment.hardware;
  if (field == "tp") return std::to_string(experiment.deployment.tp);
  if (field == "workload") return experiment.workload.name;
  return std::string(domain::role_name(experiment.role));
}

/// Selectors that no experiment matches are misspelt more often than not.
core::Diagnostics unmatched_selectors(const DataSpec& data, const StudyInputs& inputs) {
  const Matcher matches(inputs.gpus);
  core::Diagnostics problems;
  for (const Selector& selector : data.select) {
    const auto is_match = [&](const domain::Experiment& experiment) { return matches(experiment, selector); };
    if (inputs.experiments.empty() || std::ranges::any_of(inputs.experiments, is_match)) continue;
    std::set<std::string> values;
    for (const domain::Experiment& experiment : inputs.experiments) values.insert(value_of_field(experiment, selector.field));
    problems.push_back(error(fmt::format("no experiment has {} '{}'", selector.field, selector.value),
                             core::suggest(selector.value, {values.begin(), values.end()})));
  }
  return problems;
}

}  // namespace

bool is_selected(const domain::Experiment& experiment, const DataSpec& data, const std::vector<domain::GpuSpec>& gpus) {
  const Matcher matches(gpus);
  if (!matches.all_fields(experiment, data.select)) return false;
  if (std::ranges::any_of(data.exclude, [&](const Selector& excluded) { return matches(experiment, excluded); })) return false;
  if (names_field(data.select, "id") || names_field(data.select, "role")) return true;
  if (names_field(data.select, "hardware")) return experiment.role != domain::Role::overload;
  return experiment.role == domain::Role::calibration;
}

core::Result<Selector> parse_selector(std::string_view text) {
  const std::vector<std::string_view> fields(kSelectorFields.begin(), kSelectorFields.end());
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals + 1 == text.size()) {
    return core::fail({}, fmt::format("'{}' selects nothing", text),
                      fmt::format("write field=value, e.g. model=Llama-2-7b-hf; fields: {}", fmt::join(fields, ", ")));
  }
  const std::string_view field = text.substr(0, equals);
  if (std::ranges::find(fields, field) == fields.end()) {
    return core::fail({}, fmt::format("experiments cannot be selected by '{}'", field), core::suggest(field, fields));
  }
  return Selector{.field = std::string(field), .value = std::string(text.substr(equals + 1))};
}

core::Result<PreparedStudy> prepare(const StudySpec& spec, const StudyInputs& inputs) {
  PreparedStudy prepared{.spec = spec, .start = start_config(spec, inputs), .dataset = {}};
  place_starts(prepared.spec.free, prepared.start);
  core::Diagnostics problems = params::check(prepared.spec.free);
  prepared.start = params::with_values(prepared.start, prepared.spec.free, starts_of(prepared.spec.free), params::ValueSource::given);
  if (!latency::is_step_time_model(prepared.start.step_time_model)) {
    std::vector<std::string_view> known;
    for (const auto& entry : latency::step_time_models()) known.push_back(entry.name);
    problems.push_back(error(fmt::format("unknown step-time model '{}'", prepared.start.step_time_model),
                             core::suggest(prepared.start.step_time_model, known)));
    return tl::unexpected(problems);
  }
  const core::Diagnostics unmatched = unmatched_selectors(spec.data, inputs);
  problems.insert(problems.end(), unmatched.begin(), unmatched.end());
  std::vector<domain::Experiment> selected;
  for (const domain::Experiment& experiment : inputs.experiments) {
    if (is_selected(experiment, spec.data, inputs.gpus)) selected.push_back(experiment);
  }
  const bool none_selected = selected.empty();
  auto dataset = eval::make_dataset({.experiments = std::move(selected),
                                     .models = inputs.models,
                                     .gpus = inputs.gpus,
                                     .config = prepared.start,
                                     .seed = spec.seed,
                                     .replicates = spec.replicates,
                                     .kernels = inputs.kernels});
  // A selector that matches nothing explains an empty selection already.
  const bool is_explained = !unmatched.empty() && none_selected;
  if (!dataset && !is_explained) problems.insert(problems.end(), dataset.error().begin(), dataset.error().end());
  if (!problems.empty()) return tl::unexpected(problems);
  prepared.dataset = std::move(*dataset);
  return prepared;
}

}  // namespace rooftune::study
