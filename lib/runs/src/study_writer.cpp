#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "external_form.hpp"
#include "onboard_form.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/data/shipped_configs.hpp"
#include "rooftune/opt/algorithm.hpp"
#include "rooftune/runs/study_file.hpp"
#include "rooftune/text/files.hpp"
#include "rooftune/text/yaml_text.hpp"

namespace rooftune::runs {
namespace {

using text::yaml_text::list;
using text::yaml_text::scalar;

template <class Enum, std::size_t N>
std::string words_of(const std::array<core::Word<Enum>, N>& words) {
  std::vector<std::string_view> names;
  for (const auto& [name, value] : words) names.push_back(name);
  return fmt::format("{}", fmt::join(names, ", "));
}

/// `{hardware: [H100], tp: [1, 2]}`; fields in the order in which they first occur.
std::string selectors_text(const std::vector<calibrate::Selector>& selectors) {
  std::vector<std::pair<std::string, std::vector<std::string>>> fields;
  for (const calibrate::Selector& selector : selectors) {
    auto field = std::ranges::find(fields, selector.field, [](const auto& entry) { return entry.first; });
    if (field == fields.end()) field = fields.insert(field, {selector.field, {}});
    field->second.push_back(selector.value);
  }
  std::vector<std::string> texts;
  for (const auto& [field, values] : fields) {
    texts.push_back(fmt::format("{}: {}", field, field == "tp" ? fmt::format("[{}]", fmt::join(values, ", ")) : list(values)));
  }
  return fmt::format("{{{}}}", fmt::join(texts, ", "));
}

std::string selector_line(std::string_view key, const std::vector<calibrate::Selector>& selectors) {
  return selectors.empty() ? "" : fmt::format("  {}: {}\n", key, selectors_text(selectors));
}

std::string selection_line(std::string_view key, const calibrate::Selection& selection) {
  std::vector<std::string> texts;
  for (const auto& selectors : selection) texts.push_back(selectors_text(selectors));
  return texts.empty() ? "" : fmt::format("  {}: [{}]\n", key, fmt::join(texts, ", "));
}

std::string assumptions_text(const std::vector<calibrate::ModelAssumption>& assumptions) {
  std::string text = assumptions.empty() ? "" : "  assume:\n";
  for (const calibrate::ModelAssumption& assumed : assumptions) {
    std::vector<std::string> facts;
    if (assumed.moe_layers) facts.push_back(fmt::format("moe_layers: {}", *assumed.moe_layers));
    if (assumed.truncated_sampling) facts.push_back(fmt::format("truncated_sampling: {}", *assumed.truncated_sampling));
    text += fmt::format("    {}: {{{}}}\n", scalar(assumed.model), fmt::join(facts, ", "));
  }
  return text;
}

std::string data_text(const calibrate::DataSpec& data) {
  std::string text;
  const auto add = [&](std::string_view key, const std::vector<std::string>& texts) {
    if (!texts.empty()) text += fmt::format("  {}: {}\n", key, list(texts));
  };
  add("ground_truth", data.ground_truth);
  add("models", data.models);
  add("hardware", data.hardware);
  add("kernels", data.kernels);
  text += selector_line("select", data.select) + selector_line("exclude", data.exclude) + selector_line("held_out", data.held_out) +
          assumptions_text(data.assume);
  if (data.simulated_by) {
    text += fmt::format("  simulated_by: {{config: {}, noise: {}, seed: {}}}\n", scalar(data.simulated_by->config),
                        data.simulated_by->noise, data.simulated_by->seed);
  }
  return text.empty() ? "" : "data:\n" + text;
}

std::string start_text(const calibrate::StudySpec& spec) {
  std::string text;
  if (spec.start_config) text += fmt::format("  config: {}\n", scalar(*spec.start_config));
  if (spec.step_time_model) text += fmt::format("  step_time_model: {}\n", *spec.step_time_model);
  return text.empty() ? "" : "start:\n" + text;
}

std::string simulator_text(const calibrate::StudySpec& spec) {
  return (spec.simulator ? external_text(*spec.simulator) : "") + failures_text(spec.failures, spec.simulator.has_value());
}

std::string switches_text(const std::map<params::SwitchId, std::size_t>& switches) {
  std::string text = switches.empty() ? "" : "switches:\n";
  for (const auto& [id, choice] : switches) text += fmt::format("  {}: {}\n", id.spec().id, id.spec().choices[choice]);
  return text;
}

std::string fixed_text(const params::Assignments& fixed) {
  std::string text = fixed.empty() ? "" : "fixed:\n";
  for (const auto& [id, assigned] : fixed) {
    const bool is_plain = assigned.source == params::ValueSource::given && !assigned.standard_error;
    const std::string error = assigned.standard_error ? fmt::format(", stderr: {}", *assigned.standard_error) : "";
    text += is_plain ? fmt::format("  {}: {}\n", id.spec().id, assigned.value)
                     : fmt::format("  {}: {{value: {}{}, source: {}}}\n", id.spec().id, assigned.value, error,
                                   params::source_name(assigned.source));
  }
  return text;
}

std::string free_line(const params::FreeParameter& parameter) {
  std::string text = fmt::format("  - {{id: {}, lower: {}, upper: {}", parameter.id.spec().id, parameter.lower, parameter.upper);
  if (parameter.initial_is_given) text += fmt::format(", initial: {}", parameter.initial);
  text += fmt::format(", transform: {}", params::transform_name(parameter.transform));
  if (!parameter.where.matches_everything()) {
    std::vector<std::string> where;
    if (parameter.where.model) where.push_back(fmt::format("model: {}", scalar(*parameter.where.model)));
    if (parameter.where.gpu) where.push_back(fmt::format("gpu: {}", scalar(*parameter.where.gpu)));
    if (parameter.where.tp) where.push_back(fmt::format("tp: {}", *parameter.where.tp));
    text += fmt::format(", where: {{{}}}", fmt::join(where, ", "));
  }
  if (parameter.prior) {
    text +=
        fmt::format(", prior: {{centre: {}, standard_deviation: {}}}", parameter.prior->centre, parameter.prior->standard_deviation);
  }
  if (!parameter.together_with.empty()) {
    std::vector<std::string_view> ids;
    for (const params::ParameterId id : parameter.together_with) ids.push_back(id.spec().id);
    text += fmt::format(", together_with: [{}]", fmt::join(ids, ", "));
  }
  return text + "}\n";
}

std::string free_text(std::string_view key, const std::vector<params::FreeParameter>& free) {
  std::string text = free.empty() ? "" : fmt::format("{}:\n", key);
  for (const params::FreeParameter& parameter : free) text += free_line(parameter);
  return text;
}

std::string tied_text(const std::vector<params::Tie>& ties) {
  std::string text = ties.empty() ? "" : "tied:\n";
  for (const params::Tie& tie : ties) text += fmt::format("  {}: {}\n", tie.id.spec().id, scalar(tie.expression.text()));
  return text;
}

std::string uncertainty_text(const calibrate::UncertaintySpec& uncertainty) {
  std::string text;
  if (!uncertainty.profile.empty()) text += fmt::format("  profile: {}\n", list(uncertainty.profile));
  if (uncertainty.bootstrap > 0) text += fmt::format("  bootstrap: {}\n", uncertainty.bootstrap);
  return text.empty() ? "" : "uncertainty:\n" + text;
}

std::string objective_text(const calibrate::ObjectiveSpec& objective) {
  std::vector<std::string> metrics;
  for (const auto& [metric, weight] : objective.metrics) metrics.push_back(fmt::format("{}: {}", domain::metric_name(metric), weight));
  return fmt::format(
      "objective:\n  residual: {}\n  metrics: {{{}}}\n  rows: {}\n  balance: {}\n  loss: {}\n  loss_scale: {}\n  scalar: {}\n  noise: "
      "{}\n",
      core::word_of(calibrate::kResidualKinds, objective.residual), fmt::join(metrics, ", "),
      core::word_of(calibrate::kStageRows, objective.rows), core::word_of(calibrate::kBalances, objective.balance),
      core::word_of(calibrate::kLossKinds, objective.loss), objective.loss_scale,
      core::word_of(calibrate::kScalarObjectives, objective.scalar), objective.noise);
}

std::string solver_text(const std::vector<calibrate::SolverStage>& stages) {
  std::string text = stages.empty() ? "" : "solver:\n";
  for (const calibrate::SolverStage& stage : stages) {
    const std::string seconds = stage.max_seconds ? fmt::format(", max_seconds: {}", *stage.max_seconds) : "";
    text += fmt::format("  - {{algorithm: {}, starts: {}, max_evaluations: {}{}, tolerance: {}}}\n", stage.algorithm, stage.starts,
                        stage.max_evaluations, seconds, stage.tolerance);
  }
  return text;
}

std::string split_text(const calibrate::SplitSpec& split) {
  std::string text = fmt::format("crossval:\n  split: {}\n", split.kind);
  const bool is_shuffled = split.kind == "GroupShuffleSplit";
  if (split.kind == "PredefinedSplit") {
    text += "  predefined:\n";
    for (const auto& [id, fold] : split.predefined) text += fmt::format("    {}: {}\n", scalar(id), fold);
    return text;
  }
  if (split.kind != "KFold") text += fmt::format("  group: {}\n", split.group);
  if (is_shuffled || split.kind == "KFold" || split.kind == "GroupKFold") text += fmt::format("  folds: {}\n", split.folds);
  if (split.kind == "LeavePGroupsOut") text += fmt::format("  groups_out: {}\n", split.groups_out);
  if (is_shuffled) text += fmt::format("  test_fraction: {}\n", split.test_fraction);
  return text;
}

/// Every line moved to the right.
std::string indented(const std::string& text, std::size_t spaces) {
  std::string result;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    result += std::string(spaces, ' ') + text.substr(begin, end - begin) + "\n";
    begin = end + 1;
  }
  return result;
}

std::string compare_text(const calibrate::CompareSpec& compare) {
  std::string text = "compare:\n  variants:\n";
  for (const calibrate::VariantSpec& variant : compare.variants) {
    text += fmt::format("    - name: {}\n", scalar(variant.name));
    if (variant.step_time_model) text += fmt::format("      step_time_model: {}\n", *variant.step_time_model);
    text += indented(switches_text(variant.switches) + fixed_text(variant.fixed) + free_text("free", variant.free) +
                         free_text("free_per_deployment", variant.free_per_deployment),
                     6);
  }
  if (compare.one_by_one) {
    text += fmt::format("  one_by_one: {{from: {}, to: {}}}\n", scalar(compare.one_by_one->from), scalar(compare.one_by_one->to));
  }
  return text;
}

std::string improve_text(const calibrate::ImproveSpec& improve) {
  std::string text = "improve:\n";
  text += selection_line("train", improve.train) + selection_line("extend", improve.extend) + selection_line("test", improve.test);
  for (const auto& [key, texts] : {std::pair{"extrapolate", &improve.extrapolate}, std::pair{"quarantine", &improve.quarantine},
                                   std::pair{"moves", &improve.moves}, std::pair{"without", &improve.without}}) {
    if (!texts->empty()) text += fmt::format("  {}: {}\n", key, list(*texts));
  }
  text += fmt::format("  rounds: {}\n", improve.rounds);
  if (improve.max_evaluations) text += fmt::format("  max_evaluations: {}\n", *improve.max_evaluations);
  if (improve.max_seconds) text += fmt::format("  max_seconds: {}\n", *improve.max_seconds);
  return text + fmt::format(
                    "  candidates: {}\n  seeds: {}\n  starts: {}\n  min_gain_percent: {}\n  price_percent: {}\n"
                    "  tolerance_percent: {}\n  tolerance_fraction: {}\n",
                    improve.candidates, improve.seeds, improve.starts, improve.min_gain_percent, improve.price_percent,
                    improve.tolerance_percent, improve.tolerance_fraction);
}

/// `  - roofline_v1.mfuPrefill  # fraction, 0.02 to 4, from 0.65: model FLOP ...` for the parameters of a first fit.
std::string default_free_text() {
  std::string text = "free:\n";
  for (const params::ParameterSpec& spec : params::parameter_registry()) {
    const bool has_no_effect = spec.name() == "perLayerOverhead";
    if ((spec.group() != "roofline_v1" && spec.group() != "frontend") || has_no_effect) continue;
    text += fmt::format("  - {:<40} # {} to {} {}, starts at {}: {}\n", spec.id, spec.lower, spec.upper, spec.unit, spec.initial,
                        spec.meaning);
  }
  return text;
}

std::string default_switches_text() {
  std::string text = "switches:\n";
  for (const params::SwitchSpec& spec : params::switch_registry()) {
    text += fmt::format("  {:<42} # {}: {}\n", fmt::format("{}: {}", spec.id, spec.choices[spec.initial]),
                        fmt::join(spec.choices, ", "), spec.meaning);
  }
  return text;
}

}  // namespace

std::string study_text(const calibrate::StudySpec& spec) {
  std::string text = fmt::format("name: {}\n", scalar(spec.name));
  if (!spec.description.empty()) text += fmt::format("description: {}\n", scalar(spec.description));
  text += data_text(spec.data) + start_text(spec) + simulator_text(spec) + switches_text(spec.switches) + fixed_text(spec.fixed) +
          free_text("free", spec.free) + tied_text(spec.tied) + objective_text(spec.objective) + solver_text(spec.solver) +
          uncertainty_text(spec.uncertainty);
  if (spec.split) text += split_text(*spec.split);
  if (spec.compare) text += compare_text(*spec.compare);
  if (spec.improve) text += improve_text(*spec.improve);
  if (spec.onboard) text += onboard_text(*spec.onboard);
  return text + fmt::format("seed: {}\nreplicates: {}\nthreads: {}\n", spec.seed, spec.replicates, spec.threads);
}

std::string default_study_text() {
  const calibrate::ObjectiveSpec objective;
  const calibrate::SolverStage stage;
  const calibrate::SplitSpec split;
  std::vector<std::string_view> metrics;
  for (const domain::Metric metric : domain::kMetrics) metrics.push_back(domain::metric_name(metric));

  std::string text = R"(# A complete study: every key, with its default. All keys but `name` may be left out.
name: my_study
description: What this study is for
# extends: physics_h100.yaml  # another study; what stands here replaces or completes what stands there

# Files count from the folder of this one. Any command also takes --ground-truth FILE and --select field=value.
data:
  ground_truth: [../ground_truth/h100.json]  # measured experiments
  models: []                                 # files or folders of models beside the shipped ones
  hardware: []                               # files of GPUs beside the shipped ones
  kernels: []                                # folders of kernel tables
  # Values of one field are alternatives, fields must all match. Without `select`: every experiment whose role is calibration.
)";
  text += fmt::format("  # Fields: {}.\n", fmt::join(calibrate::kSelectorFields, ", "));
  text += R"(  # select: {hardware: [H100], tp: [1, 2]}
  # exclude: {id: ["48"]}
  # held_out: {model: Yi-34B}                # predicted beside the fit at every iteration, never fitted
  # What is taken for granted where a model's own config says nothing; what contradicts it is an error.
  # assume: {Qwen2.5-7B-Instruct: {truncated_sampling: true}}
  # A twin experiment: latencies that this config predicts, with noise in their logs, in place of the measured ones.
  # simulated_by: {config: truth.json, noise: 0.01, seed: 1000}

# Where the fit starts. Without `config`: the registry's defaults.
start:
  # config: ../configs/tuned/h100.json       # a config to start from
  step_time_model: roofline_v1               # overrides the one of the config

# A program that predicts in place of the built-in simulation: docs/external_simulators.md.
# simulator:
#   command: [python3, "${folder}/simulator.py", --rate, "${rate}", --parameters, parameters.json]
#   folder: .                                # of the program's files: ${folder}
#   files: {parameters.json: "${parameters_json}"}   # written before each run
#   environment: {}                          # beside PATH
#   metrics: {ttft_mean_ms: {json: /summary/ttft_ms}, e2e_mean_ms: {regex: 'e2e: ([0-9.]+) s', scale: 1000}}
#   timeout_s: 300                           # of one run
#   parameters: [{name: decode_us, unit: us, lower: 3000, initial: 12000, upper: 30000, transform: log}]

# When the simulation fails, or needs more than max_events events for one experiment: abort; penalise, with penalty: 3; skip. A
# `simulator` of its own has its timeout_s in the place of max_events, and one policy more: retry, with retries: 2.
failures: {policy: abort, max_events: 10000000}

# Structural choices, by default as here. They override the config's.
)";
  text += default_switches_text();
  text += R"(
# Values that the fit may not move. They override the config's.
fixed: {}
#  roofline_v1.BwEffConstant: 0.72

# What the fit moves. An item is an id, a whole group (physics.*: all of it but what `fixed` or another item names), or an
# object that says more; `where` limits it to a model, GPU or TP degree, `prior` pulls it to a value (standard deviation in the
# transformed space: 0.1 of a log parameter is 10 %), and those of `together_with` keep their ratio to it:
#  - {id: roofline_v1.mfuPrefill, lower: 0.3, upper: 1, initial: 0.6, transform: log, where: {gpu: H100}, prior: {centre: 0.65, standard_deviation: 0.2}, together_with: [roofline_v1.mfuDecode]}
)";
  text += default_free_text();
  text += R"(
# Parameters that follow others by a formula: + - * / ^, sqrt, exp, ln, min, max ...
tied: {}
#  physics.fp8_gemm_fraction: 0.7 * physics.gemm_fraction
)";
  text += fmt::format("\n# What is minimised.\nobjective:\n  residual: {:<30} # {}\n",
                      core::word_of(calibrate::kResidualKinds, objective.residual), words_of(calibrate::kResidualKinds));
  text += fmt::format("  # Weights. Metrics: {}.\n  metrics: {{ttft_mean_ms: 1, e2e_mean_ms: 1}}\n", fmt::join(metrics, ", "));
  text += fmt::format("  rows: {:<34} # {}\n", core::word_of(calibrate::kStageRows, objective.rows), words_of(calibrate::kStageRows));
  text += fmt::format("  balance: {:<31} # what weighs the same: {}\n", core::word_of(calibrate::kBalances, objective.balance),
                      words_of(calibrate::kBalances));
  text += fmt::format("  loss: {:<34} # {}\n", core::word_of(calibrate::kLossKinds, objective.loss), words_of(calibrate::kLossKinds));
  text += fmt::format("  loss_scale: {:<28} # residual at which a robust loss bends\n", objective.loss_scale);
  text += fmt::format("  scalar: {:<32} # what scalar solvers see: {}\n",
                      core::word_of(calibrate::kScalarObjectives, objective.scalar), words_of(calibrate::kScalarObjectives));
  text += fmt::format("  noise: {:<33} # residual expected at the best fit, which priors are weighed against\n", objective.noise);
  text += "\n# Stages in turn, each from the best point so far. `starts`: the first is the given one, the others fill the box.\n";
  text += "# `max_seconds` may be set too; results then depend on the machine.\n";
  text += fmt::format("# Algorithms: {}.\n", fmt::join(opt::algorithm_names(), ", "));
  text += fmt::format("solver:\n  - {{algorithm: {}, starts: {}, max_evaluations: {}, tolerance: {}}}\n", stage.algorithm,
                      stage.starts, stage.max_evaluations, stage.tolerance);
  text += R"(
# What the fit finds out beside standard errors; each refits many times.
uncertainty:
  profile: []                                # free parameters whose profile likelihood is traced
  bootstrap: 0                               # refits on experiments drawn with replacement
)";
  text += "\n# How `rooftune crossval` splits, with the names of scikit-learn.\n";
  text += fmt::format("# split: {}\n# group: {}\n", fmt::join(calibrate::kSplitKinds, ", "), fmt::join(calibrate::kSplitGroups, ", "));
  text += "# folds: KFold, GroupKFold, GroupShuffleSplit. groups_out: LeavePGroupsOut. test_fraction: GroupShuffleSplit.\n";
  text += "# predefined: PredefinedSplit; experiment id to fold, -1: always in training, e.g. {\"17\": 0, \"48\": -1}.\n";
  text += fmt::format("crossval:\n  split: {}\n  group: {}\n", split.kind, split.group);
  text += R"(
# What `rooftune compare` fits side by side with this solver and split. A variant sets step_time_model, switches and fixed over
# the study's and frees parameters beside the study's; `free_per_deployment` frees one of each for every (model, GPU, TP).
# `one_by_one` fits `from` again with each switch and fixed value in which `to` differs.
# compare:
#   variants:
#     - {name: physics, step_time_model: physics, free: [physics.*]}
#     - {name: blackbox, step_time_model: blackbox, free_per_deployment: [blackbox.*]}
#   one_by_one: {from: corrected, to: as first written}
)";
  const calibrate::ImproveSpec improve;
  text += fmt::format(R"(
# What `rooftune improve` may do. Runs outside `train` are held out until a move extends the training data; `test` is scored at the
# beginning and the end, and decides nothing. A change is kept when the held-out score gains more than its noise over `seeds`
# repeats, min_gain_percent, and price_percent for each further free parameter, and no group's error grows by more than
# tolerance_percent points or tolerance_fraction of itself.
# improve:
#   train: [{{tp: [1]}}]
#   extend: [{{tp: [2]}}]
#   test: [{{tp: [4]}}, {{model: [Yi-34B]}}]
#   extrapolate: [tp]    # folds that may object beside the split: each degree from the lower ones, each model or gpu left out;
#                        # empty: what of these is new in `test`
#   quarantine: []       # ids of suspicious runs: neither fitted nor scored, always shown
#   moves: []            # ids of the catalogue, or prefix*; empty: all
#   without: []
#   rounds: {}           # at most; max_evaluations and max_seconds may be set too
#   candidates: {}       # moves screened together
#   seeds: {}
#   starts: {}            # of each fit that a verdict rests on
#   min_gain_percent: {}
#   price_percent: {}
#   tolerance_percent: {}
#   tolerance_fraction: {}
)",
                      improve.rounds, improve.candidates, improve.seeds, improve.starts, improve.min_gain_percent,
                      improve.price_percent, improve.tolerance_percent, improve.tolerance_fraction);
  text += default_onboard_text();
  text += "\nseed: 1          # of every random stream\nreplicates: 1    # simulations that a prediction is the mean of\n";
  text += "threads: 0       # 0: all cores; results do not depend on it\n";
  return text;
}

calibrate::StudySpec with_paths_from(calibrate::StudySpec spec, const std::filesystem::path& from, const std::filesystem::path& to) {
  namespace fs = std::filesystem;
  const auto rebase = [&](std::string& path) {
    if (fs::path(path).is_absolute()) return;
    path = text::absolute(from / path).lexically_relative(text::absolute(to)).string();
  };
  for (auto* paths : {&spec.data.ground_truth, &spec.data.models, &spec.data.hardware, &spec.data.kernels})
    std::ranges::for_each(*paths, rebase);
  const auto rebase_config = [&](std::string& config) {
    if (!data::is_config_name(config)) rebase(config);
  };
  if (spec.start_config) rebase_config(*spec.start_config);
  if (spec.data.simulated_by) rebase_config(spec.data.simulated_by->config);
  if (spec.onboard && spec.onboard->kernels) rebase(*spec.onboard->kernels);
  if (spec.simulator) rebase(spec.simulator->folder);
  return spec;
}

}  // namespace rooftune::runs
