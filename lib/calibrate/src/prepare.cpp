#include "rooftune/calibrate/prepare.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "rooftune/core/letters.hpp"
#include "rooftune/core/parallel_map.hpp"
#include "rooftune/core/random.hpp"
#include "rooftune/domain/model.hpp"
#include "rooftune/latency/catalogue.hpp"
#include "rooftune/params/resolved.hpp"
#include "rooftune/sim/simulate.hpp"

namespace rooftune::calibrate {
namespace {

bool same_gpu(std::string_view a, std::string_view b, const std::vector<domain::GpuSpec>& gpus) {
  const domain::GpuSpec* known = domain::find_gpu(gpus, a);
  return core::same_word(a, b) || (known != nullptr && known == domain::find_gpu(gpus, b));
}

/// Decides whether experiments match selectors.
class Matcher {
 public:
  explicit Matcher(const std::vector<domain::GpuSpec>& gpus) : gpus_(gpus) {}

  [[nodiscard]] bool operator()(const domain::Experiment& experiment, const Selector& selector) const {
    const domain::Deployment& deployment = experiment.deployment;
    if (selector.field == "id") return experiment.id == selector.value;
    if (selector.field == "sweep") return experiment.sweep == selector.value;
    if (selector.field == "model") return domain::names_model(deployment.model, selector.value);
    if (selector.field == "hardware") return same_gpu(deployment.hardware, selector.value, gpus_);
    if (selector.field == "tp") return std::to_string(deployment.tp) == selector.value;
    if (selector.field == "workload") return core::same_word(experiment.workload.name, selector.value);
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
  if (spec.simulator) config.step_time_model = latency::kExternalModel;
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

/// The models with what the study assumes about them. An assumption that contradicts the model's own config is an error: wrong
/// structure can fit the training data better and fails on unseen runs, so no fit may decide about it.
std::vector<domain::ModelSpec> with_assumptions(std::vector<domain::ModelSpec> models, const DataSpec& data,
                                                core::Diagnostics& problems) {
  for (const ModelAssumption& assumed : data.assume) {
    const domain::ModelSpec* known = domain::find_model(models, assumed.model);
    if (known == nullptr) {
      std::vector<std::string_view> names;
      for (const domain::ModelSpec& model : models) names.push_back(model.name);
      problems.push_back(
          error(fmt::format("'assume' names the unknown model '{}'", assumed.model), core::suggest(assumed.model, names)));
      continue;
    }
    domain::ModelSpec& model = models[static_cast<std::size_t>(known - models.data())];
    const int moe_layers = model.moe_layers();
    if (assumed.moe_layers && *assumed.moe_layers != moe_layers) {
      problems.push_back(error(fmt::format("{} layers with experts are assumed for {}, but its own config has {} of {}",
                                           *assumed.moe_layers, model.name, moe_layers, model.layers()),
                               "remove the assumption: a model's config is a fact, not a parameter"));
    }
    if (!assumed.truncated_sampling) continue;
    if (model.sampling && model.sampling->truncates() != *assumed.truncated_sampling) {
      problems.push_back(
          error(fmt::format("{} is assumed to sample {} by default, but its own generation config says otherwise", model.name,
                            *assumed.truncated_sampling ? "with top-p or top-k" : "without top-p and top-k"),
                "remove the assumption: a model's config is a fact, not a parameter"));
    } else if (!model.sampling) {
      model.sampling = domain::DefaultSampling{.temperature = {}, .top_p = {}, .top_k = {}, .source = "assumed by the study"};
      if (*assumed.truncated_sampling) model.sampling->top_p = 0.9;
    }
  }
  return models;
}

/// The latencies that were measured, as the simulation gives them; what was not measured stays so.
void simulate_latencies(domain::Latencies& measured, const domain::Latencies& predicted, double noise, core::RandomEngine& engine) {
  for (std::size_t metric = 0; metric < domain::kMetricCount; ++metric) {
    // Medians came later: where there is none, no number is drawn, and all others stay what they were.
    if (domain::is_median(static_cast<domain::Metric>(metric)) && !measured.value_ms[metric]) continue;
    const double factor = std::exp(noise * core::standard_normal(engine));
    if (measured.value_ms[metric] && predicted.value_ms[metric]) measured.value_ms[metric] = *predicted.value_ms[metric] * factor;
  }
}

/// The experiments with simulated latencies in place of the measured ones.
core::Result<std::vector<domain::Experiment>> simulated(const std::vector<domain::Experiment>& experiments, const SimulatedSpec& spec,
                                                        const eval::DatasetInputs& inputs) {
  auto dataset = eval::make_dataset(inputs);
  if (!dataset) return tl::unexpected(dataset.error());
  return core::parallel_map<domain::Experiment>(experiments.size(), {}, [&](std::size_t i) {
    domain::Experiment result = experiments[i];
    const eval::Case& item = dataset->cases[i];
    const auto parameters = params::resolve(inputs.config, item.experiment.deployment, item.gpu);
    const auto prediction =
        sim::simulate<double>(inputs.config.step_time_model, item.scenario(*item.plan(0)), parameters,
                              {.stepping = sim::Stepping::closed_form, .percentiles = sim::Percentiles::compute, .observer = nullptr});
    const auto stream = [&](int stage) {
      return core::make_stream(
          {.seed = spec.seed, .experiment_id = result.id, .stage = stage, .purpose = core::StreamPurpose::noise, .replicate = 0});
    };
    // The summary of a run with one stage is that stage.
    core::RandomEngine engine = stream(result.measured.stages.size() == 1 ? 0 : domain::kSummaryStage);
    simulate_latencies(result.measured.summary, prediction.summary.latencies, spec.noise, engine);
    for (std::size_t stage = 0; stage < result.measured.stages.size(); ++stage) {
      engine = stream(static_cast<int>(stage));
      simulate_latencies(result.measured.stages[stage], prediction.stages[stage].latencies, spec.noise, engine);
    }
    return result;
  });
}

/// What experiments have in a field, for "did you mean".
std::string value_of_field(const domain::Experiment& experiment, std::string_view field) {
  if (field == "id") return experiment.id;
  if (field == "sweep") return experiment.sweep;
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
  std::vector<Selector> selectors = data.select;
  selectors.insert(selectors.end(), data.held_out.begin(), data.held_out.end());
  for (const Selector& selector : selectors) {
    const auto is_match = [&](const domain::Experiment& experiment) { return matches(experiment, selector); };
    if (inputs.experiments.empty() || std::ranges::any_of(inputs.experiments, is_match)) continue;
    std::set<std::string> values;
    for (const domain::Experiment& experiment : inputs.experiments) values.insert(value_of_field(experiment, selector.field));
    problems.push_back(error(fmt::format("no experiment has {} '{}'", selector.field, selector.value),
                             core::suggest(selector.value, {values.begin(), values.end()})));
  }
  return problems;
}

/// The formulas of the study, and one for every parameter that keeps its ratio to a free one. They start from the config's values.
core::Result<std::vector<params::Tie>> ties_of(const StudySpec& spec, const params::Config& config) {
  std::vector<params::Tie> ties = spec.tied;
  core::Diagnostics problems;
  for (const params::FreeParameter& leader : spec.free) {
    for (const params::ParameterId follower : leader.together_with) {
      const double value =
          params::current_value(config, {.id = follower, .where = leader.where, .initial = follower.spec().initial, .prior = {}});
      const double of_leader =
          params::current_value(config, {.id = leader.id, .where = leader.where, .initial = leader.initial, .prior = {}});
      auto formula = params::Expression::parse(fmt::format("{} * {}", value / of_leader, leader.id.spec().id));
      ties.push_back({.id = follower, .where = leader.where, .expression = std::move(formula.value())});
    }
  }
  for (std::size_t i = 0; i < ties.size(); ++i) {
    const std::string_view id = ties[i].id.spec().id;
    const auto is_same = [&](const auto& other) { return other.id == ties[i].id; };
    if (std::ranges::any_of(spec.free, is_same)) {
      problems.push_back(error(fmt::format("'{}' is both free and tied", id), "remove one of the two"));
    }
    if (spec.fixed.contains(ties[i].id)) {
      problems.push_back(error(fmt::format("'{}' is both fixed and tied", id), "remove one of the two"));
    }
    const auto is_twin = [&](const params::Tie& other) { return other.id == ties[i].id && other.where == ties[i].where; };
    if (std::find_if(ties.begin(), ties.begin() + static_cast<std::ptrdiff_t>(i), is_twin) !=
        ties.begin() + static_cast<std::ptrdiff_t>(i)) {
      problems.push_back(error(fmt::format("'{}' is tied twice", id), "remove one of the two"));
    }
  }
  auto ordered = params::in_order(std::move(ties));
  if (!ordered) problems.insert(problems.end(), ordered.error().begin(), ordered.error().end());
  if (!problems.empty()) return tl::unexpected(std::move(problems));
  return ordered;
}

core::Diagnostics check_profiles(const StudySpec& spec) {
  core::Diagnostics problems;
  std::vector<std::string> labels;
  for (const params::FreeParameter& parameter : spec.free) labels.push_back(parameter.label());
  for (const std::string& wanted : spec.uncertainty.profile) {
    if (std::ranges::find(labels, wanted) != labels.end()) continue;
    problems.push_back(
        error(fmt::format("no free parameter '{}' to profile", wanted), core::suggest(wanted, {labels.begin(), labels.end()})));
  }
  return problems;
}

/// What is known of the one GPU that all experiments are on.
KernelValues kernel_values_of(const eval::Dataset& dataset, const StudyInputs& inputs) {
  std::set<std::string> gpus;
  for (const eval::Case& item : dataset.cases) gpus.insert(item.gpu.name);
  const auto known = gpus.size() == 1 ? inputs.kernel_values.find(*gpus.begin()) : inputs.kernel_values.end();
  return known == inputs.kernel_values.end() ? KernelValues{} : known->second;
}

}  // namespace

bool is_held_out(const domain::Experiment& experiment, const DataSpec& data, const std::vector<domain::GpuSpec>& gpus) {
  if (data.held_out.empty() || !Matcher(gpus).all_fields(experiment, data.held_out)) return false;
  DataSpec without = data;
  without.held_out.clear();
  return is_selected(experiment, without, gpus);
}

bool is_selected(const domain::Experiment& experiment, const DataSpec& data, const std::vector<domain::GpuSpec>& gpus) {
  const Matcher matches(gpus);
  if (!data.held_out.empty() && matches.all_fields(experiment, data.held_out)) return false;
  if (!matches.all_fields(experiment, data.select)) return false;
  if (std::ranges::any_of(data.exclude, [&](const Selector& excluded) { return matches(experiment, excluded); })) return false;
  if (names_field(data.select, "id") || names_field(data.select, "role")) return true;
  if (names_field(data.select, "hardware")) return experiment.role != domain::Role::overload;
  return experiment.role == domain::Role::calibration;
}

std::size_t planned_requests(const eval::Case& item) {
  std::size_t requests = 0;
  const auto plan = item.plan(0);
  for (const sim::StagePlan& stage : plan->stages) requests += stage.requests.size();
  return requests;
}

bool is_in(const domain::Experiment& experiment, const Selection& selection, const std::vector<domain::GpuSpec>& gpus) {
  const Matcher matches(gpus);
  return std::ranges::any_of(selection,
                             [&](const std::vector<Selector>& selectors) { return matches.all_fields(experiment, selectors); });
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

core::Result<void> ask_for_uncertainty(StudySpec& spec, const std::vector<std::string>& profile, std::optional<int> bootstrap) {
  spec.uncertainty.profile.insert(spec.uncertainty.profile.end(), profile.begin(), profile.end());
  if (bootstrap) spec.uncertainty.bootstrap = *bootstrap;
  core::Diagnostics problems = check_profiles(spec);
  if (!problems.empty()) return tl::unexpected(std::move(problems));
  return {};
}

core::Result<PreparedStudy> prepare(const StudySpec& spec, const StudyInputs& inputs) {
  PreparedStudy prepared{.spec = spec, .start = start_config(spec, inputs), .dataset = {}};
  place_starts(prepared.spec.free, prepared.start);
  core::Diagnostics problems = params::check(prepared.spec.free);
  append(problems, check_profiles(prepared.spec));
  if (auto ties = ties_of(prepared.spec, prepared.start)) {
    prepared.start.ties = std::move(*ties);
  } else {
    append(problems, ties.error());
  }
  prepared.start = params::with_values(prepared.start, prepared.spec.free, starts_of(prepared.spec.free), params::ValueSource::given);
  if (prepared.start.step_time_model == latency::kExternalModel && !inputs.external) {
    problems.push_back(error("the config is of an external simulator", "name the study that says how to run it"));
    return tl::unexpected(problems);
  }
  if (inputs.truth && inputs.truth->step_time_model == latency::kExternalModel) {
    problems.push_back(error("'simulated_by' names a config of an external simulator", "name one of the built-in simulation"));
    return tl::unexpected(problems);
  }
  if (!inputs.external && !latency::is_step_time_model(prepared.start.step_time_model)) {
    std::vector<std::string_view> known;
    for (const auto& entry : latency::step_time_models()) known.push_back(entry.name);
    problems.push_back(error(fmt::format("unknown step-time model '{}'", prepared.start.step_time_model),
                             core::suggest(prepared.start.step_time_model, known)));
    return tl::unexpected(problems);
  }
  const core::Diagnostics unmatched = unmatched_selectors(spec.data, inputs);
  append(problems, unmatched);
  std::vector<domain::Experiment> selected;
  std::vector<domain::Experiment> held_out;
  for (const domain::Experiment& experiment : inputs.experiments) {
    if (is_selected(experiment, spec.data, inputs.gpus)) selected.push_back(experiment);
    if (is_held_out(experiment, spec.data, inputs.gpus)) held_out.push_back(experiment);
  }
  const std::vector<domain::ModelSpec> models = with_assumptions(inputs.models, spec.data, problems);
  // One for both datasets: what ends the fit ends everything.
  const auto failures = std::make_shared<eval::Failures>(spec.failures);
  const auto draw = [&](std::vector<domain::Experiment> experiments) {
    return eval::make_dataset({.experiments = std::move(experiments),
                               .models = models,
                               .gpus = inputs.gpus,
                               .config = prepared.start,
                               .seed = spec.seed,
                               .replicates = spec.replicates,
                               .kernels = inputs.kernels,
                               .external = inputs.external,
                               .failures = failures});
  };
  const bool none_selected = selected.empty();
  for (std::vector<domain::Experiment>* experiments : {&selected, &held_out}) {
    if (experiments->empty() || !spec.data.simulated_by || !inputs.truth || !problems.empty()) continue;
    auto measured = simulated(*experiments, *spec.data.simulated_by,
                              {.experiments = *experiments,
                               .models = models,
                               .gpus = inputs.gpus,
                               .config = *inputs.truth,
                               .seed = spec.data.simulated_by->seed,
                               .replicates = 1,
                               .kernels = inputs.kernels,
                               .external = {}});
    if (!measured) return tl::unexpected(measured.error());
    *experiments = *std::move(measured);
  }
  auto dataset = draw(std::move(selected));
  // A selector that matches nothing explains an empty selection already.
  const bool is_explained = !unmatched.empty() && none_selected;
  if (!dataset && !is_explained) append(problems, dataset.error());
  if (!held_out.empty()) {
    if (auto kept = draw(std::move(held_out))) {
      prepared.held_out = std::move(*kept);
    } else {
      append(problems, kept.error());
    }
  }
  if (!problems.empty()) return tl::unexpected(problems);
  prepared.dataset = std::move(*dataset);
  prepared.kernel_values = kernel_values_of(prepared.dataset, inputs);
  return prepared;
}

}  // namespace rooftune::calibrate
