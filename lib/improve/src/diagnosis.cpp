#include "rooftune/improve/diagnosis.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>

#include "factor_fit.hpp"
#include "invention.hpp"
#include "parts.hpp"
#include "rooftune/calibrate/calibration_objective.hpp"
#include "rooftune/calibrate/posterior.hpp"
#include "rooftune/core/parallel_map.hpp"
#include "rooftune/core/statistics.hpp"
#include "rooftune/eval/residuals.hpp"
#include "rooftune/opt/gaussian_belief.hpp"
#include "rooftune/opt/multistart.hpp"
#include "score_test.hpp"

namespace rooftune::improve {

template <class Archive, core::ValueOf<Finding> Value>
static void fields(Archive& archive, Value& finding) {
  auto& [kind, metric, factor, level, parameter, effect, strength, text] = finding;
  archive(kind, metric, factor, level, parameter, effect, strength, text);
}

namespace {

constexpr double kReportedStrength = 2.0;
/// A missing factor is one of some two hundred hypotheses that are tested at once.
constexpr double kReportedFactorFit = 4.0;
constexpr std::size_t kReportedFactors = 3;
constexpr std::size_t kRefittedFactors = 8;
constexpr double kConfounded = 0.95;
constexpr std::size_t kReachSamples = 64;
/// Priors are searched as far as this many standard deviations.
constexpr double kPriorReach = 3.0;
/// Where folds put a parameter, in standard deviations of its prior: farther off on average than the first, or farther apart than the
/// second, is worth a word.
constexpr double kAgainstPrior = 1.0;
constexpr double kScatteredInPrior = 0.5;
constexpr std::array<std::string_view, 7> kFactors{"model", "tp", "gpu", "workload", "load", "prompt", "output"};

/// Powers of two: "512 to 1023".
std::string length_bin(double tokens) {
  const auto lower = static_cast<long>(std::exp2(std::floor(std::log2(std::max(1.0, tokens)))));
  return fmt::format("{} to {}", lower, 2 * lower - 1);
}

std::string level_of(const eval::Case& item, std::string_view factor) {
  if (factor == "prompt") return length_bin(item.experiment.workload.prompt.mean_tokens);
  if (factor == "output") return length_bin(item.experiment.workload.output.mean_tokens);
  return eval::group_of(item, factor);
}

/// The mean log residual of one held-out experiment.
struct RunResidual {
  const eval::Case* item = nullptr;
  double value = 0.0;
};

std::map<domain::Metric, std::vector<RunResidual>> run_residuals(const calibrate::PreparedStudy& study, const ImproveRuns& runs,
                                                                 const eval::Evaluation& held_out) {
  std::map<domain::Metric, std::vector<RunResidual>> residuals;
  for (const std::size_t index : runs.judged) {
    const eval::Case& item = study.dataset.cases[index];
    std::map<domain::Metric, std::vector<double>> logs;
    for (const eval::Row& row : held_out.rows) {
      if (row.experiment != item.experiment.id || !study.spec.objective.metrics.contains(row.metric)) continue;
      // The summary repeats the stages.
      if (row.stage == domain::kSummaryStage && !item.experiment.measured.stages.empty()) continue;
      logs[row.metric].push_back(std::log(row.predicted_ms / row.measured_ms));
    }
    for (const auto& [metric, values] : logs) residuals[metric].push_back({.item = &item, .value = core::mean(values)});
  }
  return residuals;
}

double standard_deviation_of(const std::vector<double>& values, double least) {
  return std::max(core::standard_deviation(values), least);
}

std::string percent_off(double log_residual) {
  const double percent = 100.0 * (std::exp(log_residual) - 1.0);
  return fmt::format("{:.0f} % too {}", std::abs(percent), percent > 0.0 ? "high" : "low");
}

void find_patterns(Diagnosis& diagnosis, const calibrate::PreparedStudy& study, const ImproveRuns& runs,
                   const eval::Evaluation& held_out) {
  const double noise = study.spec.objective.noise;
  for (const auto& [metric, residuals] : run_residuals(study, runs, held_out)) {
    const std::string name(domain::metric_name(metric));
    std::vector<double> all;
    for (const RunResidual& residual : residuals) all.push_back(residual.value);
    const double spread = standard_deviation_of(all, noise);
    const double bias_t = std::abs(core::mean(all)) * std::sqrt(static_cast<double>(all.size())) / spread;
    if (bias_t >= kReportedStrength) {
      diagnosis.findings.push_back({.kind = FindingKind::bias,
                                    .metric = name,
                                    .factor = "all",
                                    .level = {},
                                    .parameter = {},
                                    .effect = core::mean(all),
                                    .strength = bias_t,
                                    .text = fmt::format("{} of unseen runs is {}", name, percent_off(core::mean(all)))});
    }
    for (const std::string_view factor : kFactors) {
      std::map<std::string, std::vector<double>> levels;
      for (const RunResidual& residual : residuals) levels[level_of(*residual.item, factor)].push_back(residual.value);
      if (levels.size() < 2) continue;
      for (const auto& [level, inside] : levels) {
        std::vector<double> outside;
        for (const auto& [other, values] : levels) {
          if (other != level) outside.insert(outside.end(), values.begin(), values.end());
        }
        const double effect = core::mean(inside) - core::mean(outside);
        // A group of one run borrows the spread of the others.
        const double outside_spread = standard_deviation_of(outside, noise);
        const double inside_spread = inside.size() > 1 ? standard_deviation_of(inside, noise) : outside_spread;
        const double error = std::sqrt(inside_spread * inside_spread / static_cast<double>(inside.size()) +
                                       outside_spread * outside_spread / static_cast<double>(outside.size()));
        if (std::abs(effect) < kReportedStrength * error) continue;
        diagnosis.findings.push_back(
            {.kind = FindingKind::group,
             .metric = name,
             .factor = std::string(factor),
             .level = level,
             .parameter = {},
             .effect = effect,
             .strength = std::abs(effect) / error,
             .text = fmt::format("{} is {} where {} is {} ({} {}), {} elsewhere", name, percent_off(core::mean(inside)), factor, level,
                                 inside.size(), inside.size() == 1 ? "run" : "runs", percent_off(core::mean(outside)))});
      }
    }
    // Against the median of its model and TP: structure explains groups, a single run may be a bad measurement.
    for (const RunResidual& residual : residuals) {
      std::vector<double> siblings;
      for (const RunResidual& other : residuals) {
        if (&other != &residual && eval::group_of(*other.item, "model") == eval::group_of(*residual.item, "model")) {
          siblings.push_back(other.value);
        }
      }
      if (siblings.size() < 3) continue;
      const double off = residual.value - core::median(siblings);
      const double strength = std::abs(off) / standard_deviation_of(siblings, noise);
      if (strength < kReportedFactorFit) continue;
      diagnosis.findings.push_back({.kind = FindingKind::suspicious,
                                    .metric = name,
                                    .factor = "experiment",
                                    .level = residual.item->experiment.id,
                                    .parameter = {},
                                    .effect = off,
                                    .strength = strength,
                                    .text = fmt::format("{} of run {} is {}, unlike the other runs of its model", name,
                                                        residual.item->experiment.id, percent_off(residual.value))});
    }
  }
}

/// Properties that a term's cost may depend on: names and values of a run.
struct Property {
  std::string_view name;
  std::function<double(const eval::Case&)> value;
  /// The deployments that share a case's value; empty where the workload decides.
  std::function<std::optional<params::DeploymentFilter>(const eval::Case&)> where;
};

std::optional<params::DeploymentFilter> of_model(const eval::Case& item) {
  return params::DeploymentFilter{.model = item.model.name, .gpu = {}, .tp = {}};
}

std::optional<params::DeploymentFilter> of_tp(const eval::Case& item) {
  return params::DeploymentFilter{.model = {}, .gpu = {}, .tp = item.experiment.deployment.tp};
}

std::optional<params::DeploymentFilter> of_nothing(const eval::Case& /*item*/) { return std::nullopt; }

const std::vector<Property>& properties() {
  static const std::vector<Property> all{
      {"layers", [](const eval::Case& item) { return item.model.layers(); }, of_model},
      {"hidden size", [](const eval::Case& item) { return item.model.hidden; }, of_model},
      {"KV heads", [](const eval::Case& item) { return item.model.attention() != nullptr ? item.model.attention()->kv_heads : 0; },
       of_model},
      {"vocabulary", [](const eval::Case& item) { return item.model.vocabulary; }, of_model},
      {"tp", [](const eval::Case& item) { return item.experiment.deployment.tp; }, of_tp},
      {"prompt tokens", [](const eval::Case& item) { return item.experiment.workload.prompt.mean_tokens; }, of_nothing},
      {"output tokens", [](const eval::Case& item) { return item.experiment.workload.output.mean_tokens; }, of_nothing},
  };
  return all;
}

bool concerns(std::string_view group, const params::Config& config) { return group == config.step_time_model || group == "frontend"; }

/// The study's free parameters, then every other one of its model and of the front end.
std::vector<params::FreeParameter> all_parameters(const calibrate::PreparedStudy& study, const params::Config& tuned) {
  std::vector<params::FreeParameter> all = study.spec.free;
  for (std::size_t index = 0; index < params::parameter_registry().size(); ++index) {
    const params::ParameterId id{index};
    const bool is_free = std::ranges::any_of(study.spec.free, [&](const auto& parameter) { return parameter.id == id; });
    if (is_free || !concerns(id.spec().group(), tuned)) continue;
    all.push_back(params::make_free(id));
  }
  return all;
}

/// Pairs of free parameters whose errors go together: costs or shares that only their combination is known of.
void find_confounded(Diagnosis& diagnosis, const calibrate::PreparedStudy& study, const std::vector<double>& jacobian,
                     std::size_t rows, std::size_t columns) {
  const std::vector<params::FreeParameter>& free = study.spec.free;
  if (free.empty()) return;
  opt::GaussianBelief belief = calibrate::prior_belief(free);
  const double noise = study.spec.objective.noise;
  for (std::size_t row = 0; row < rows; ++row) {
    belief.observe(std::span<const double>(jacobian).subspan(row * columns, free.size()), noise * noise);
  }
  for (std::size_t i = 0; i < free.size(); ++i) {
    for (std::size_t j = i + 1; j < free.size(); ++j) {
      const bool are_alike = free[i].transform == params::Transform::log && free[j].transform == params::Transform::log &&
                             free[i].id.spec().unit == free[j].id.spec().unit && free[i].where.matches_everything() &&
                             free[j].where.matches_everything();
      const double scale = std::sqrt(belief.covariance(i, i) * belief.covariance(j, j));
      if (!are_alike || scale <= 0.0 || std::abs(belief.covariance(i, j)) < kConfounded * scale) continue;
      diagnosis.findings.push_back({.kind = FindingKind::confounded,
                                    .metric = {},
                                    .factor = {},
                                    .level = std::string(free[j].id.spec().id),
                                    .parameter = std::string(free[i].id.spec().id),
                                    .effect = belief.covariance(i, j) / scale,
                                    .strength = kReportedStrength,
                                    .text = fmt::format("the training runs hardly tell {} from {} (correlation {:.2f})",
                                                        free[i].label(), free[j].label(), belief.covariance(i, j) / scale)});
    }
  }
}

/// A parameter that may have to go with a property, to first order.
struct FactorCandidate {
  params::ParameterId id;
  const Property* property;
  double centre = 0.0;  ///< mean log of the property
  FactorFit strength;
};

bool stronger(const FactorCandidate& a, const FactorCandidate& b) { return a.strength.t > b.strength.t; }

/// A candidate refitted in full, where deployments tell its levels apart; else its own strength.
FactorFit confirmed(const FactorCandidate& candidate, const calibrate::PreparedStudy& study, const eval::Dataset& training,
                    const params::Config& tuned) {
  std::vector<PropertyLevel> levels;
  for (const eval::Case& item : training.cases) {
    const auto where = candidate.property->where(item);
    if (!where) return candidate.strength;
    if (std::ranges::any_of(levels, [&](const PropertyLevel& level) { return level.where == *where; })) continue;
    levels.push_back({.where = *where, .log_factor = std::log(std::max(1e-9, candidate.property->value(item))) - candidate.centre});
  }
  const auto refitted = fit_factor(study, training, tuned, candidate.id, levels);
  if (!refitted)
    return {.exponent = candidate.strength.exponent, .t = 0.0, .explained_fraction = candidate.strength.explained_fraction};
  return {.exponent = refitted->exponent, .t = refitted->t, .explained_fraction = refitted->explained_fraction};
}

void test_parameters(Diagnosis& diagnosis, const calibrate::PreparedStudy& study, const ImproveRuns& runs,
                     const params::Config& tuned) {
  const eval::Dataset training = study.dataset.subset(runs.training);
  const std::vector<params::FreeParameter> all = all_parameters(study, tuned);
  const auto linear = linearise(study, training, tuned, all);
  if (!linear) return;
  const auto& [point, residuals, rows] = *linear;
  const std::size_t free = study.spec.free.size();
  Complement complement;
  for (std::size_t i = 0; i < free; ++i) {
    const Column own = linear->column(i);
    const double length = std::sqrt(dot(own, own));
    const params::FreeParameter& parameter = all[i];
    const double value = params::from_transformed(parameter, point[i]);
    const double reach = 1e-3 * (parameter.upper - parameter.lower);
    const bool is_low =
        parameter.transform == params::Transform::log ? value < 1.001 * parameter.lower : value < parameter.lower + reach;
    const bool is_high =
        parameter.transform == params::Transform::log ? value > 0.999 * parameter.upper : value > parameter.upper - reach;
    const auto report = [&](FindingKind kind, std::string text) {
      diagnosis.findings.push_back({.kind = kind,
                                    .metric = {},
                                    .factor = {},
                                    .level = {},
                                    .parameter = std::string(parameter.id.spec().id),
                                    .effect = value,
                                    .strength = kReportedStrength,
                                    .text = std::move(text)});
    };
    if (is_low || is_high) {
      report(FindingKind::at_bound, fmt::format("{} ends at its {} bound, {:.4g}", parameter.label(), is_low ? "lower" : "upper",
                                                is_low ? parameter.lower : parameter.upper));
      continue;  // it cannot give way any further
    }
    if (length == 0.0) {
      report(FindingKind::unidentified, fmt::format("nothing in the training runs depends on {}", parameter.label()));
      continue;
    }
    const std::size_t before = complement.dimensions();
    complement.take_out(own);
    if (complement.dimensions() == before) {
      report(FindingKind::unidentified, fmt::format("the training runs do not tell {} from other free parameters", parameter.label()));
    }
  }
  find_confounded(diagnosis, study, residuals.jacobian, rows.size(), all.size());
  const Column left_over = complement.of(residuals.values);

  for (std::size_t i = free; i < all.size(); ++i) {
    const Score score = score_test(complement, left_over, linear->column(i));
    if (score.t < kReportedStrength) continue;
    const double value = params::from_transformed(all[i], point[i]);
    const double wanted = params::from_transformed(all[i], point[i] + score.coefficient);
    // Where it stands at its bound already, and would go beyond.
    if ((wanted > value && value >= all[i].upper) || (wanted < value && value <= all[i].lower)) continue;
    diagnosis.findings.push_back(
        {.kind = FindingKind::held_parameter,
         .metric = {},
         .factor = {},
         .level = {},
         .parameter = std::string(all[i].id.spec().id),
         .effect = wanted - value,
         .strength = score.t,
         .text = fmt::format("{} is held at {:.4g} and wants to be {} (explains {:.0f} % of what the fit leaves)", all[i].id.spec().id,
                             value, wanted > value ? "larger" : "smaller", 100.0 * score.explained_fraction)});
  }

  std::vector<FactorCandidate> candidates;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].transform != params::Transform::log || !all[i].where.matches_everything()) continue;
    // That it varies is only news beside what freeing it would do already.
    Complement beside = complement;
    beside.take_out(linear->column(i));
    const Column left_beside = beside.of(residuals.values);
    for (const Property& property : properties()) {
      std::vector<double> logs;
      for (const eval::Case& item : training.cases) logs.push_back(std::log(std::max(1e-9, property.value(item))));
      if (core::standard_deviation(logs) < 1e-9) continue;
      const double centre = core::mean(logs);
      Column direction = linear->column(i);
      for (std::size_t row = 0; row < direction.size(); ++row) {
        direction[row] *= row < rows.size() ? logs[rows[row].case_index] - centre : 0.0;
      }
      const Score score = score_test(beside, left_beside, direction);
      if (score.t < kReportedFactorFit) continue;
      // To first order an exponent may be anything; what no refit can check must make sense as it is.
      if (!property.where(training.cases.front()) && std::abs(score.coefficient) > kLargestExponent) continue;
      candidates.push_back(
          {.id = all[i].id,
           .property = &property,
           .centre = centre,
           .strength = {.exponent = score.coefficient, .t = score.t, .explained_fraction = score.explained_fraction}});
    }
  }
  std::ranges::stable_sort(candidates, stronger);
  if (candidates.size() > kRefittedFactors) candidates.resize(kRefittedFactors);
  const auto strengths = core::parallel_map<FactorFit>(
      candidates.size(), {study.spec.threads}, [&](std::size_t i) { return confirmed(candidates[i], study, training, tuned); });
  for (std::size_t i = 0; i < candidates.size(); ++i) candidates[i].strength = strengths[i];
  std::ranges::stable_sort(candidates, stronger);
  if (candidates.size() > kReportedFactors) candidates.resize(kReportedFactors);
  for (const FactorCandidate& candidate : candidates) {
    if (candidate.strength.t < kReportedFactorFit) continue;
    diagnosis.findings.push_back(
        {.kind = FindingKind::missing_factor,
         .metric = {},
         .factor = std::string(candidate.property->name),
         .level = {},
         .parameter = std::string(candidate.id.spec().id),
         .effect = candidate.strength.exponent,
         .strength = candidate.strength.t,
         .text = fmt::format("{} would have to go with {}^{:.2f} (explains {:.0f} % of what the fit leaves): its term "
                             "lacks a factor, or has one too many",
                             candidate.id.spec().id, candidate.property->name, candidate.strength.exponent,
                             100.0 * candidate.strength.explained_fraction)});
  }
}

/// Points all over what bounds and priors allow; a measurement outside everything that they predict cannot be reached.
void find_unreachable(Diagnosis& diagnosis, const calibrate::PreparedStudy& study, const ImproveRuns& runs,
                      const params::Config& tuned) {
  const eval::Dataset judged = study.dataset.subset(runs.judged);
  const opt::Problem problem = calibrate::make_problem(study.spec.free);
  if (problem.variables.empty()) return;
  std::vector<opt::Interval> box;
  for (std::size_t i = 0; i < problem.variables.size(); ++i) {
    const opt::Variable& variable = problem.variables[i];
    opt::Interval interval{variable.lower, variable.upper};
    if (const auto& prior = study.spec.free[i].prior) {
      const double centre = params::to_transformed(study.spec.free[i], prior->centre);
      interval.first = std::clamp(centre - kPriorReach * prior->standard_deviation, variable.lower, variable.upper);
      interval.second = std::clamp(centre + kPriorReach * prior->standard_deviation, variable.lower, variable.upper);
    }
    if (!(interval.first < interval.second)) interval = {variable.lower, variable.upper};
    box.push_back(interval);
  }
  std::vector<std::vector<double>> points = opt::sample_starts(box, kReachSamples, opt::StartSampling::sobol, study.spec.seed);
  std::vector<double> fitted;
  for (const params::FreeParameter& parameter : study.spec.free)
    fitted.push_back(params::to_transformed(parameter, params::current_value(tuned, parameter)));
  points.push_back(std::move(fitted));
  const eval::ResidualFunction function(judged, study.start, study.spec.free, study.spec.objective, {1});
  const auto predicted = core::parallel_map<std::vector<double>>(
      points.size(), {study.spec.threads}, [&](std::size_t i) { return function(points[i], eval::Derivatives::no).predicted_ms; });
  const double margin = std::exp(kReportedStrength * study.spec.objective.noise);
  std::map<std::pair<std::size_t, domain::Metric>, double> worst;
  for (std::size_t row = 0; row < function.rows().size(); ++row) {
    double lowest = std::numeric_limits<double>::infinity();
    double highest = 0.0;
    for (const std::vector<double>& values : predicted) {
      if (values.empty()) continue;  // a point that cannot be simulated
      lowest = std::min(lowest, values[row]);
      highest = std::max(highest, values[row]);
    }
    const eval::ResidualRow& what = function.rows()[row];
    const domain::Measurement& measured = judged.cases[what.case_index].experiment.measured;
    const domain::Latencies& latencies =
        what.stage == domain::kSummaryStage ? measured.summary : measured.stages[static_cast<std::size_t>(what.stage)];
    const double measured_ms = *latencies[what.metric];
    double off = 0.0;
    if (measured_ms * margin < lowest) off = std::log(lowest / measured_ms);
    if (measured_ms > highest * margin) off = std::log(highest / measured_ms);
    double& known = worst[{what.case_index, what.metric}];
    if (std::abs(off) > std::abs(known)) known = off;
  }
  for (const auto& [key, off] : worst) {
    if (off == 0.0) continue;
    const std::string name(domain::metric_name(key.second));
    const std::string& id = judged.cases[key.first].experiment.id;
    diagnosis.findings.push_back(
        {.kind = FindingKind::unreachable,
         .metric = name,
         .factor = "experiment",
         .level = id,
         .parameter = {},
         .effect = off,
         .strength = std::abs(off) / study.spec.objective.noise,
         .text = fmt::format("{} of run {} is out of reach: whatever the parameters, it is predicted at least {}", name, id,
                             percent_off(off))});
  }
}

/// Whether a prior is too narrow or too wide is seen in the fits of the folds: all on one side, or all over it.
void find_prior_tension(Diagnosis& diagnosis, const calibrate::PreparedStudy& study, const Trial& trial) {
  for (std::size_t i = 0; i < study.spec.free.size(); ++i) {
    const params::FreeParameter& parameter = study.spec.free[i];
    if (!parameter.prior) continue;
    const double centre = params::to_transformed(parameter, parameter.prior->centre);
    std::vector<double> pulls;
    for (const FoldFit& fit : trial.fits) {
      if (i < fit.values.size())
        pulls.push_back((params::to_transformed(parameter, fit.values[i]) - centre) / parameter.prior->standard_deviation);
    }
    if (pulls.size() < 2) continue;
    const double pull = core::mean(pulls);
    const double scatter = core::standard_deviation(pulls);
    const auto report = [&](FindingKind kind, double effect, std::string text) {
      diagnosis.findings.push_back({.kind = kind,
                                    .metric = {},
                                    .factor = {},
                                    .level = {},
                                    .parameter = parameter.label(),
                                    .effect = effect,
                                    .strength = kReportedStrength,
                                    .text = std::move(text)});
    };
    if (std::abs(pull) > std::max(kAgainstPrior, 2.0 * scatter)) {
      report(FindingKind::against_prior, pull,
             fmt::format("folds pull {} to {:.4g}, {:.1f} standard deviations {} its prior at {:.4g}", parameter.label(),
                         params::from_transformed(parameter, centre + pull * parameter.prior->standard_deviation), std::abs(pull),
                         pull > 0.0 ? "above" : "below", parameter.prior->centre));
    } else if (scatter > kScatteredInPrior) {
      report(FindingKind::scattered, scatter,
             fmt::format("folds disagree about {} by {:.1f} standard deviations of its prior", parameter.label(), scatter));
    }
  }
}

/// The tests that simulate, the longest first.
enum class Test : std::size_t { parameters, missing_terms, reach };
constexpr std::size_t kTests = 3;

std::vector<Finding> findings_of(Test test, const calibrate::PreparedStudy& study, const ImproveRuns& runs,
                                 const params::Config& tuned) {
  Diagnosis diagnosis;
  switch (test) {
    case Test::parameters: test_parameters(diagnosis, study, runs, tuned); break;
    case Test::missing_terms: find_missing_terms(diagnosis, study, runs, tuned); break;
    case Test::reach: find_unreachable(diagnosis, study, runs, tuned); break;
  }
  return std::move(diagnosis.findings);
}

/// What another rank needs of a fit: the values of what is free.
std::vector<double> free_values(const calibrate::PreparedStudy& study, const params::Config& tuned) {
  std::vector<double> values;
  for (const params::FreeParameter& parameter : study.spec.free) values.push_back(params::current_value(tuned, parameter));
  return values;
}

}  // namespace

double Diagnosis::strength(std::string_view metric, std::string_view factor) const {
  double strongest = 0.0;
  for (const Finding& finding : findings) {
    const bool is_pattern = finding.kind == FindingKind::bias || finding.kind == FindingKind::group;
    if (!is_pattern || finding.metric != metric || (factor != "any" && finding.factor != factor)) continue;
    strongest = std::max(strongest, finding.strength);
  }
  return strongest;
}

const Finding* Diagnosis::about_parameter(FindingKind kind, std::string_view parameter) const {
  const auto found =
      std::ranges::find_if(findings, [&](const Finding& finding) { return finding.kind == kind && finding.parameter == parameter; });
  return found == findings.end() ? nullptr : &*found;
}

core::Ranks::Body served_diagnosis(core::Unpacker& context, const calibrate::StudyInputs& inputs, const TrialRanks& ranks) {
  std::string text;
  std::vector<double> values;
  context(text, values);
  auto study = calibrate::prepare(ranks.spec_of(text), inputs);
  if (!study) throw std::runtime_error(core::format(study.error()));
  declare_grammar();
  struct Structure {
    calibrate::PreparedStudy study;
    ImproveRuns runs;
    params::Config tuned;
  };
  const auto structure = std::make_shared<Structure>(Structure{.study = *std::move(study), .runs = {}, .tuned = {}});
  structure->runs = improve_runs(structure->study, inputs.gpus);
  structure->tuned = params::with_values(structure->study.start, structure->study.spec.free, values, params::ValueSource::fitted);
  return [structure](std::size_t index) {
    return core::packed(findings_of(static_cast<Test>(index), structure->study, structure->runs, structure->tuned));
  };
}

Diagnosis diagnose(const calibrate::PreparedStudy& study, const ImproveRuns& runs, const params::Config& tuned, const Trial& trial,
                   const Together& together) {
  const TrialRanks& ranks = together.ranks;
  declare_grammar();
  core::RankedMap map{.name = kImprovement, .count = kTests, .threads = {study.spec.threads}, .cancel = together.cancel};
  if (ranks.ranks != nullptr) map.context = core::packed(Part::diagnosis, ranks.text_of(study.spec), free_values(study, tuned));
  const auto found = core::map_over_ranks<std::vector<Finding>>(
      ranks.ranks, map,
      [&](std::size_t index) {
        return together.cancel.stop_requested() ? std::vector<Finding>{} : findings_of(static_cast<Test>(index), study, runs, tuned);
      },
      [](const std::vector<Finding>&) {});
  Diagnosis diagnosis;
  const auto add = [&](Test test) {
    const std::vector<Finding>& findings = found[static_cast<std::size_t>(test)];
    diagnosis.findings.insert(diagnosis.findings.end(), findings.begin(), findings.end());
  };
  find_patterns(diagnosis, study, runs, trial.held_out);
  add(Test::parameters);
  add(Test::reach);
  find_prior_tension(diagnosis, study, trial);
  add(Test::missing_terms);
  std::ranges::stable_sort(diagnosis.findings, std::ranges::greater{}, &Finding::strength);
  return diagnosis;
}

}  // namespace rooftune::improve
