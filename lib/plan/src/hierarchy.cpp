#include "rooftune/plan/hierarchy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "mixed_model.hpp"
#include "onboarder.hpp"
#include "problem.hpp"
#include "rooftune/core/statistics.hpp"
#include "rooftune/eval/residuals.hpp"
#include "rooftune/plan/transfer_widths.hpp"

namespace rooftune::plan {
namespace {

constexpr int kMostIterations = 30;
constexpr double kSettled = 2e-3;  // of a transformed parameter
constexpr int kMostHalvings = 6;

/// A factor of two either way.
constexpr double kSpreadLogDeviation = 0.7;

/// What is expected of a spread before any run. Kernels have tables of their own for every GPU and change little between versions;
/// the exponent is the form of a curve; host and front end are rewritten, and run on other CPUs; models differ by what the
/// structure of step times gets wrong of them.
double expected_spread(const params::FreeParameter& parameter, Level level, const kernels::KernelSummary* reference) {
  if (is_exponent(parameter)) return 0.05;
  const bool has_tables = reference != nullptr && reference->values.contains(std::string(parameter.id.spec().id));
  if (level == Level::model) return 0.1;
  if (level == Level::gpu) return has_tables ? 0.1 : 0.3;
  return has_tables ? 0.05 : 0.3;
}

/// Which effects a prediction has.
enum class Terms { shared, all };

/// Runs that share every term.
struct Cell {
  std::string gpu;
  std::string version;
  std::string model;
  eval::Dataset dataset;
  std::unique_ptr<eval::ResidualFunction> residuals{};
  std::vector<double> offsets{};  ///< by parameter: what kernel tables expect of the GPU beside the reference
  std::vector<bool> kept{};       ///< by row: no queue decides it
};

/// Where a group's deviations stand among the effects: one for each parameter from here on.
using FirstEffects = std::map<std::pair<Level, std::string>, std::size_t>;

/// The model of effects without its rows, and what its effects belong to.
struct Structure {
  MixedModel model;
  std::vector<params::FreeParameter> free;
  std::vector<Spread> spreads;
  FirstEffects first;
  std::map<std::string, std::size_t> doubts;  ///< by GPU, the same for what its tables leave in doubt
};

std::vector<params::FreeParameter> shared_free(const calibrate::StudySpec& spec) {
  std::vector<params::FreeParameter> free;
  for (const params::FreeParameter& parameter : spec.free) {
    if (parameter.where.matches_everything() && parameter.prior) free.push_back(parameter);
  }
  return free;
}

std::string version_of(const domain::Deployment& deployment) {
  return deployment.settings.version.empty() ? "unknown" : deployment.settings.version;
}

std::vector<Cell> cells_of(const eval::Dataset& dataset) {
  std::map<std::tuple<std::string, std::string, std::string>, std::vector<std::size_t>> members;
  for (std::size_t i = 0; i < dataset.cases.size(); ++i) {
    const eval::Case& item = dataset.cases[i];
    members[{item.gpu.name, version_of(item.experiment.deployment), item.model.name}].push_back(i);
  }
  std::vector<Cell> cells;
  for (const auto& [key, indices] : members) {
    cells.push_back(
        {.gpu = std::get<0>(key), .version = std::get<1>(key), .model = std::get<2>(key), .dataset = dataset.subset(indices)});
  }
  return cells;
}

/// Log ratios to the reference by kernel tables, and what those leave in doubt beside a spread.
struct Expected {
  std::vector<double> offsets;
  std::vector<double> doubts;
};
Expected expected_of(const std::vector<params::FreeParameter>& free, const params::Config& start, const calibrate::OnboardSpec& spec,
                     const std::vector<kernels::KernelSummary>& summaries, const domain::GpuSpec& gpu,
                     const domain::GpuSpec& reference) {
  Expected expected{.offsets = std::vector<double>(free.size(), 0.0), .doubts = std::vector<double>(free.size(), 0.0)};
  if (gpu.name == reference.name) return expected;
  for (const GpuPrior& prior : kernel_priors(start, spec, summaries, gpu, reference)) {
    for (std::size_t i = 0; i < free.size(); ++i) {
      if (free[i].id != prior.parameter.id) continue;
      const double theirs = params::current_value(start, free[i]);
      expected.offsets[i] = params::to_transformed(free[i], prior.parameter.prior->centre) - params::to_transformed(free[i], theirs);
      const auto width = transfer_width(free[i].id.spec().id);
      const double beside = width ? width->gpu : spec.spread;
      const double all = prior.parameter.prior->standard_deviation;
      expected.doubts[i] = std::sqrt(std::max(0.0, all * all - beside * beside));
    }
  }
  return expected;
}

/// A residual function of a cell in which nothing but the free parameters moves, each row as it is.
std::unique_ptr<eval::ResidualFunction> residuals_of(const Cell& cell, const params::Config& config,
                                                     std::vector<params::FreeParameter> free, const calibrate::StudySpec& spec) {
  for (params::FreeParameter& parameter : free) {
    parameter.where = {.model = {}, .gpu = cell.gpu, .tp = {}};
    parameter.prior.reset();
  }
  eval::ObjectiveSpec objective = spec.objective;
  objective.residual = eval::ResidualKind::log_ratio;
  objective.balance = eval::Balance::rows;
  objective.loss = eval::LossKind::squared;
  return std::make_unique<eval::ResidualFunction>(cell.dataset, config, std::move(free), objective, core::ThreadCount{spec.threads});
}

void add_spreads(Structure& structure, Level level, const kernels::KernelSummary* reference) {
  for (const params::FreeParameter& parameter : structure.free) {
    const double expected = expected_spread(parameter, level, reference);
    Spread& spread = structure.spreads.emplace_back();
    spread.parameter = parameter.id.spec().id;
    spread.level = level;
    spread.expected = expected;
    structure.model.spreads.push_back({.centre = expected, .log_deviation = kSpreadLogDeviation});
  }
}

Structure structure_of(std::vector<params::FreeParameter> free, const std::vector<Cell>& cells,
                       const std::map<std::string, Expected>& expected, const eval::Case& first, double noise,
                       const kernels::KernelSummary* reference) {
  Structure structure;
  structure.free = std::move(free);
  structure.model.noise = noise;
  for (const params::FreeParameter& parameter : structure.free) {
    const double deviation = parameter.prior->standard_deviation;
    structure.model.effects.push_back({.spread = {}, .variance = deviation * deviation});
  }
  const auto add_group = [&](Level level, const std::string& group, std::size_t first_spread) {
    if (!structure.first.emplace(std::pair{level, group}, structure.model.effects.size()).second) return;
    for (std::size_t i = 0; i < structure.free.size(); ++i)
      structure.model.effects.push_back({.spread = first_spread + i, .variance = 0.0});
  };
  for (const Level level : {Level::gpu, Level::version, Level::model}) {
    const std::size_t first_spread = structure.spreads.size();
    add_spreads(structure, level, reference);
    for (const Cell& cell : cells) {
      // The shared values are those of the first experiment's GPU and version, but of no model.
      if (level == Level::gpu && cell.gpu != first.gpu.name) add_group(level, cell.gpu, first_spread);
      if (level == Level::version && cell.version != version_of(first.experiment.deployment))
        add_group(level, cell.version, first_spread);
      if (level == Level::model) add_group(level, cell.model, first_spread);
    }
  }
  for (const auto& [gpu, tables] : expected) {
    structure.doubts[gpu] = structure.model.effects.size();
    for (const double doubt : tables.doubts) structure.model.effects.push_back({.spread = {}, .variance = doubt * doubt});
  }
  return structure;
}

/// Calls `visit` with the first of each run of effects that moves the cell's parameters.
template <class Visit>
void for_each_term(const Structure& structure, const Cell& cell, const Visit& visit) {
  visit(std::size_t{0});
  for (const auto& key :
       {std::pair{Level::gpu, cell.gpu}, std::pair{Level::version, cell.version}, std::pair{Level::model, cell.model}}) {
    if (const auto found = structure.first.find(key); found != structure.first.end()) visit(found->second);
  }
  visit(structure.doubts.at(cell.gpu));
}

/// The cell's transformed parameters under these effects, within their bounds.
std::vector<double> point_of(const Structure& structure, const Cell& cell, const Eigen::VectorXd& effects, Terms terms) {
  std::vector<double> point;
  for (std::size_t i = 0; i < structure.free.size(); ++i) {
    const params::FreeParameter& parameter = structure.free[i];
    double value = params::to_transformed(parameter, parameter.prior->centre) + cell.offsets[i];
    for_each_term(structure, cell, [&](std::size_t first) {
      if (terms == Terms::all || first == 0) value += effects[static_cast<Eigen::Index>(first + i)];
    });
    point.push_back(
        params::to_transformed(parameter, std::clamp(params::from_transformed(parameter, value), parameter.lower, parameter.upper)));
  }
  return point;
}

bool is_decided_by_a_queue(const Structure& structure, std::span<const double> slopes) {
  double amplification = 0.0;
  for (std::size_t i = 0; i < structure.free.size(); ++i) {
    if (!is_exponent(structure.free[i])) amplification += std::abs(slopes[i]);
  }
  return amplification > kMostAmplified;
}

/// Linearises every cell at these effects: y = A x + noise for the effects x.
core::Result<void> linearise(Structure& structure, std::vector<Cell>& cells, const Eigen::VectorXd& effects) {
  const std::size_t size = structure.free.size();
  std::vector<std::pair<const Cell*, std::vector<double>>> rows;
  std::vector<double> observed;
  for (Cell& cell : cells) {
    const std::vector<double> point = point_of(structure, cell, effects, Terms::all);
    const eval::Residuals values = (*cell.residuals)(point, eval::Derivatives::yes);
    if (values.refusal) return tl::unexpected(core::Diagnostics{problem(*values.refusal, "leave the experiment out with 'exclude'")});
    const bool is_first = cell.kept.empty();
    for (std::size_t k = 0; k < cell.residuals->rows().size(); ++k) {
      const double weight = cell.residuals->rows()[k].weight;
      std::vector<double> slopes(values.jacobian.begin() + static_cast<std::ptrdiff_t>(k * size),
                                 values.jacobian.begin() + static_cast<std::ptrdiff_t>((k + 1) * size));
      for (double& slope : slopes) slope /= weight;
      if (is_first) cell.kept.push_back(!is_decided_by_a_queue(structure, slopes));
      if (!cell.kept[k]) continue;
      double expected = -values.values[k] / weight;
      for (std::size_t i = 0; i < size; ++i) {
        const double centre = params::to_transformed(structure.free[i], structure.free[i].prior->centre) + cell.offsets[i];
        expected += slopes[i] * (point[i] - centre);
      }
      observed.push_back(expected);
      rows.emplace_back(&cell, std::move(slopes));
    }
  }
  MixedModel& model = structure.model;
  model.rows = Eigen::MatrixXd::Zero(static_cast<Eigen::Index>(rows.size()), static_cast<Eigen::Index>(model.effects.size()));
  model.observed = Eigen::Map<const Eigen::VectorXd>(observed.data(), static_cast<Eigen::Index>(observed.size()));
  for (std::size_t row = 0; row < rows.size(); ++row) {
    for_each_term(structure, *rows[row].first, [&](std::size_t first) {
      for (std::size_t i = 0; i < size; ++i)
        model.rows(static_cast<Eigen::Index>(row), static_cast<Eigen::Index>(first + i)) += rows[row].second[i];
    });
  }
  return {};
}

/// Residuals of the cell's rows that count, as logarithms; none where the simulation refuses the point.
std::optional<std::vector<double>> errors_of(const Structure& structure, const Cell& cell, const Eigen::VectorXd& effects,
                                             Terms terms) {
  const eval::Residuals values = (*cell.residuals)(point_of(structure, cell, effects, terms), eval::Derivatives::no);
  if (values.refusal) return std::nullopt;
  std::vector<double> errors;
  for (std::size_t k = 0; k < cell.kept.size(); ++k) {
    if (cell.kept[k]) errors.push_back(values.values[k] / cell.residuals->rows()[k].weight);
  }
  return errors;
}

double mean_error_percent(const Structure& structure, const Cell& cell, const Eigen::VectorXd& effects, Terms terms) {
  std::vector<double> errors = errors_of(structure, cell, effects, terms).value_or(std::vector<double>{});
  for (double& error : errors) error = std::abs(error);
  return errors.empty() ? std::nan("") : 100.0 * core::mean(errors);
}

/// What a step has to make smaller: squared errors over the noise, and squared effects over their variances.
double misfit(const Structure& structure, const std::vector<Cell>& cells, const std::vector<double>& spreads,
              const Eigen::VectorXd& effects) {
  double sum = misfit_of_effects(structure.model, spreads, effects);
  for (const Cell& cell : cells) {
    const auto errors = errors_of(structure, cell, effects, Terms::all);
    if (!errors) return std::numeric_limits<double>::infinity();
    for (const double error : *errors) sum += std::pow(error / structure.model.noise, 2);
  }
  return sum;
}

/// As far towards `aim` as makes the misfit smaller: all the way, half of it, a quarter ...
Eigen::VectorXd stepped(const Structure& structure, const std::vector<Cell>& cells, const std::vector<double>& spreads,
                        const Eigen::VectorXd& from, const Eigen::VectorXd& aim) {
  const double before = misfit(structure, cells, spreads, from);
  double part = 1.0;
  for (int i = 0; i < kMostHalvings; ++i, part *= 0.5) {
    Eigen::VectorXd next = from + part * (aim - from);
    if (misfit(structure, cells, spreads, next) < before) return next;
  }
  return from;
}

Hierarchy result_of(const Structure& structure, const std::vector<Cell>& cells, const std::vector<double>& spreads,
                    const EffectPosterior& effects) {
  Hierarchy result;
  result.spreads = structure.spreads;
  const std::vector<double> deviations = spread_deviations(structure.model, spreads);
  for (std::size_t k = 0; k < spreads.size(); ++k) {
    Spread& spread = result.spreads[k];
    spread.value = spreads[k];
    spread.log_deviation = deviations[k];
    constexpr double kTold = 0.9;
    spread.is_told = spread.log_deviation < kTold * kSpreadLogDeviation;
  }
  for (const auto& [key, first] : structure.first) {
    for (std::size_t i = 0; i < structure.free.size(); ++i) {
      const auto index = static_cast<Eigen::Index>(first + i);
      if (structure.model.rows.col(index).isZero(0.0)) continue;
      Spread& spread = result.spreads[*structure.model.effects[first + i].spread];
      spread.groups.push_back({.group = key.second, .moved = effects.mean[index], .deviation = std::sqrt(effects.variance[index])});
    }
  }
  for (std::size_t i = 0; i < structure.free.size(); ++i) {
    const params::FreeParameter& parameter = structure.free[i];
    const auto index = static_cast<Eigen::Index>(i);
    const double value = params::to_transformed(parameter, parameter.prior->centre) + effects.mean[index];
    result.shared.push_back({.parameter = std::string(parameter.id.spec().id),
                             .value = params::from_transformed(parameter, value),
                             .deviation = std::sqrt(effects.variance[index])});
  }
  for (const Cell& cell : cells) {
    const auto kept = static_cast<std::size_t>(std::ranges::count(cell.kept, true));
    result.left_out += cell.kept.size() - kept;
    result.groups.push_back({.gpu = cell.gpu,
                             .version = cell.version,
                             .model = cell.model,
                             .runs = cell.dataset.cases.size(),
                             .rows = kept,
                             .shared_percent = mean_error_percent(structure, cell, effects.mean, Terms::shared),
                             .own_percent = mean_error_percent(structure, cell, effects.mean, Terms::all)});
  }
  return result;
}

/// What is missing for a fit of this study.
core::Diagnostics missing(const calibrate::PreparedStudy& study, const std::vector<params::FreeParameter>& free,
                          const std::vector<kernels::KernelSummary>& summaries, const calibrate::OnboardSpec& spec) {
  core::Diagnostics problems;
  if (!study.start.uncertainty) {
    problems.push_back(problem("the start config does not say how sure it is ('uncertainty')",
                               "start from a config that rooftune fit wrote, best with --held-out"));
  }
  if (free.empty()) problems.push_back(problem("no free parameter has a prior", "list some under 'free', each with its 'prior'"));
  const std::string& first = study.dataset.cases.front().gpu.name;
  if (first != spec.reference) {
    problems.push_back(problem(fmt::format("the first experiment ran on {}, and the reference is {}", first, spec.reference),
                               "name the reference's ground truth first"));
  }
  for (const eval::Case& item : study.dataset.cases) {
    if (kernels::find_summary(summaries, item.gpu.name) != nullptr) continue;
    problems.push_back(
        problem(fmt::format("no kernel summary knows {}, on which experiment '{}' ran", item.gpu.name, item.experiment.id),
                "leave the experiment out with 'exclude', or name a summary under 'kernels'"));
  }
  return problems;
}

}  // namespace

core::Result<Hierarchy> fit_hierarchy(const calibrate::PreparedStudy& study, const calibrate::StudyInputs& inputs,
                                      const std::vector<kernels::KernelSummary>& summaries, const HierarchyHooks& hooks) {
  std::vector<params::FreeParameter> free = shared_free(study.spec);
  calibrate::OnboardSpec spec = *study.spec.onboard;
  const domain::GpuSpec* reference = domain::find_gpu(inputs.gpus, spec.reference);
  if (reference != nullptr) spec.reference = reference->name;
  if (auto problems = missing(study, free, summaries, spec); !problems.empty()) return tl::unexpected(std::move(problems));

  std::vector<Cell> cells = cells_of(study.dataset);
  std::map<std::string, Expected> expected;
  for (Cell& cell : cells) {
    const domain::GpuSpec& gpu = cell.dataset.cases.front().gpu;
    spec.gpu = gpu.name;
    if (!expected.contains(gpu.name)) expected[gpu.name] = expected_of(free, study.start, spec, summaries, gpu, *reference);
    cell.offsets = expected[gpu.name].offsets;
    const bool is_reference = gpu.name == reference->name;
    cell.residuals = residuals_of(cell, is_reference ? study.start : Onboarder(study, spec, gpu).start(), free, study.spec);
  }
  Structure structure = structure_of(std::move(free), cells, expected, study.dataset.cases.front(), study.spec.objective.noise,
                                     kernels::find_summary(summaries, reference->name));

  EffectPosterior effects;
  effects.mean = Eigen::VectorXd::Zero(static_cast<Eigen::Index>(structure.model.effects.size()));
  for (std::size_t i = 0; i < structure.free.size(); ++i) {
    const params::FreeParameter& parameter = structure.free[i];
    effects.mean[static_cast<Eigen::Index>(i)] = params::to_transformed(parameter, params::current_value(study.start, parameter)) -
                                                 params::to_transformed(parameter, parameter.prior->centre);
  }
  std::vector<double> spreads;
  for (const Spread& spread : structure.spreads) spreads.push_back(spread.expected);
  int iteration = 0;
  double change = 1.0;
  while (iteration < kMostIterations && change > kSettled && (iteration == 0 || !hooks.cancel.stop_requested())) {
    ++iteration;
    if (hooks.progress) hooks.progress(iteration);
    if (const auto done = linearise(structure, cells, effects.mean); !done) return tl::unexpected(done.error());
    spreads = most_probable_spreads(structure.model, std::move(spreads));
    EffectPosterior next = posterior_of(structure.model, spreads);
    next.mean = stepped(structure, cells, spreads, effects.mean, next.mean);
    change = (next.mean - effects.mean).cwiseAbs().maxCoeff();
    effects = std::move(next);
  }
  Hierarchy result = result_of(structure, cells, spreads, effects);
  result.iterations = iteration;
  result.converged = change <= kSettled;
  result.interrupted = !result.converged && hooks.cancel.stop_requested();
  return result;
}

}  // namespace rooftune::plan
