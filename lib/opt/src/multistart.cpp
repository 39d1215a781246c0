#include "rooftune/opt/multistart.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>

#include "evaluator.hpp"
#include "rooftune/core/contract.hpp"
#include "rooftune/core/random.hpp"
#include "sobol.hpp"

namespace rooftune::opt {
namespace {

core::RandomEngine start_stream(std::uint64_t seed) {
  return core::make_stream({.seed = seed, .experiment_id = "multistart", .purpose = core::StreamPurpose::optimiser_start});
}

/// An index in [0, count), without the modulo bias that matters only beyond 2^53.
std::size_t random_index(core::RandomEngine& random, std::size_t count) {
  return std::min(count - 1, static_cast<std::size_t>(core::uniform01(random) * static_cast<double>(count)));
}

/// Points in the unit cube.
std::vector<std::vector<double>> latin_hypercube(std::size_t dimensions, std::size_t count, core::RandomEngine& random) {
  std::vector<std::vector<double>> points(count, std::vector<double>(dimensions));
  std::vector<std::size_t> layers(count);
  for (std::size_t d = 0; d < dimensions; ++d) {
    std::iota(layers.begin(), layers.end(), std::size_t{0});
    for (std::size_t i = count; i > 1; --i) std::swap(layers[i - 1], layers[random_index(random, i)]);
    for (std::size_t i = 0; i < count; ++i) {
      points[i][d] = (static_cast<double>(layers[i]) + core::uniform01(random)) / static_cast<double>(count);
    }
  }
  return points;
}

std::vector<std::vector<double>> shifted_sobol(std::size_t dimensions, std::size_t count, core::RandomEngine& random) {
  std::vector<std::uint32_t> shift;
  for (std::size_t d = 0; d < dimensions; ++d) shift.push_back(static_cast<std::uint32_t>(random() >> 32));
  SobolSequence sequence(dimensions);
  std::vector<std::vector<double>> points;
  for (std::size_t i = 0; i < count; ++i) {
    const std::vector<std::uint32_t> fractions = sequence.next();
    std::vector<double>& point = points.emplace_back();
    for (std::size_t d = 0; d < dimensions; ++d) point.push_back((static_cast<double>(fractions[d] ^ shift[d]) + 0.5) * 0x1.0p-32);
  }
  return points;
}

/// Lower value first, then lower index; points that were never accepted have the value infinity and come last.
bool better(const StartOutcome& a, const StartOutcome& b) {
  if (a.fate != b.fate) return a.fate == StartFate::finished;
  if (a.solution.has_point() != b.solution.has_point()) return a.solution.has_point();
  if (a.solution.value != b.solution.value) return a.solution.value < b.solution.value;
  return a.index < b.index;
}

/// One start.
struct Runner {
  Problem problem;
  StartOutcome outcome;
  /// The first stage has ended by itself; further pruning rounds would change nothing.
  bool settled = false;
};

/// The whole search: draws starts, prunes, runs the stages.
class MultiStart {
 public:
  MultiStart(const Problem& problem, const ObjectiveFactory& make_objective, std::span<const Stage> stages,
             const MultiStartOptions& options, const Hooks& hooks)
      : problem_(problem), make_objective_(make_objective), stages_(stages), options_(options), runners_(options.starts) {
    hooks_.cancel = hooks.cancel;
    if (hooks.observe) {
      hooks_.observe = [this, observe = hooks.observe](const IterationRecord& record) {
        const std::scoped_lock lock(observer_mutex_);
        observe(record);
      };
    }
  }

  MultiStartSolution run() {
    result_.tie_tolerance = options_.tie_tolerance;
    make_runners();
    if (draw_starts()) {
      if (options_.pruning.first_evaluations > 0) prune();
      run_stages();
    }
    for (Runner& runner : runners_) {
      if (runner.outcome.solution.reproducibility == Reproducibility::machine_dependent) {
        result_.reproducibility = Reproducibility::machine_dependent;
      }
      result_.starts.push_back(std::move(runner.outcome));
    }
    return std::move(result_);
  }

 private:
  void make_runners() {
    for (std::size_t i = 0; i < runners_.size(); ++i) {
      objectives_.push_back(make_objective_(i));
      runners_[i].problem = problem_;
      runners_[i].outcome.index = i;
      runners_[i].outcome.start = initial_point(problem_);
    }
  }

  /// False when the problem has no box to draw from; every start then says so.
  bool draw_starts() {
    if (runners_.size() <= 1) return true;
    std::vector<Interval> box = options_.box;
    for (std::size_t i = box.size(); i < problem_.size(); ++i) {
      box.emplace_back(problem_.variables[i].lower, problem_.variables[i].upper);
    }
    for (std::size_t i = 0; i < problem_.size(); ++i) {
      if (std::isfinite(box[i].first) && std::isfinite(box[i].second)) continue;
      for (Runner& runner : runners_) {
        runner.outcome.solution.termination = {
            Reason::failed, "", fmt::format("starts are drawn from a box, but '{}' has no finite bounds", problem_.variables[i].name)};
      }
      return false;
    }
    const std::size_t per_start = std::max<std::size_t>(1, options_.candidates_per_start);
    std::vector<std::vector<double>> points = sample_starts(box, (runners_.size() - 1) * per_start, options_.sampling, options_.seed);
    if (per_start > 1) points = best_candidates(std::move(points), per_start);
    for (std::size_t i = 1; i < runners_.size(); ++i) {
      runners_[i].problem = starting_from(problem_, points[i - 1]);
      runners_[i].outcome.start = initial_point(runners_[i].problem);
    }
    return true;
  }

  /// The best candidates, as many as there are starts to draw. They are looked at in rounds: what cannot be among the best of the
  /// rounds before is given up as soon as the objective knows.
  std::vector<std::vector<double>> best_candidates(std::vector<std::vector<double>> points, std::size_t per_start) {
    const std::size_t drawn = runners_.size() - 1;
    const Stage look = stages_.empty() ? Stage{} : stages_.front();
    std::vector<double> values;
    double give_up_above = kNeverGiveUp;
    for (std::size_t round = 0; round < per_start; ++round) {
      const auto of_round = core::parallel_map<double>(drawn, options_.threads, [&](std::size_t i) {
        const Problem at_candidate = starting_from(problem_, points[round * drawn + i]);
        Evaluator evaluator(at_candidate, *objectives_[i + 1], look.algorithm, look.options, hooks_);
        const Sample* sample = evaluator.sample(initial_point(at_candidate), Derivatives::not_needed, give_up_above);
        return sample != nullptr ? sample->value : std::numeric_limits<double>::infinity();
      });
      values.insert(values.end(), of_round.begin(), of_round.end());
      std::vector<double> best = values;
      std::nth_element(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(drawn - 1), best.end());
      give_up_above = best[drawn - 1];
    }
    result_.screening_evaluations = static_cast<long>(points.size());
    std::vector<std::size_t> order(points.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
    std::vector<std::vector<double>> chosen;
    for (std::size_t i = 0; i < drawn; ++i) chosen.push_back(std::move(points[order[i]]));
    return chosen;
  }

  void prune() {
    if (stages_.empty()) return;
    std::vector<std::size_t> alive(runners_.size());
    std::iota(alive.begin(), alive.end(), std::size_t{0});
    const std::size_t finalists = std::max<std::size_t>(1, options_.pruning.finalists);
    for (long budget = options_.pruning.first_evaluations; alive.size() > finalists; budget *= 2) {
      auto solutions = core::parallel_map<std::optional<Solution>>(alive.size(), options_.threads,
                                                                   [&](std::size_t k) { return solve_round(alive[k], budget); });
      for (std::size_t k = 0; k < alive.size(); ++k) {
        if (solutions[k]) keep_round(runners_[alive[k]], *std::move(solutions[k]));
      }
      std::stable_sort(alive.begin(), alive.end(),
                       [&](std::size_t a, std::size_t b) { return better(runners_[a].outcome, runners_[b].outcome); });
      const auto kept = static_cast<std::size_t>(std::ceil(options_.pruning.kept_fraction * static_cast<double>(alive.size())));
      const std::size_t survivors = std::max(finalists, std::min(kept, alive.size() - 1));
      for (std::size_t k = survivors; k < alive.size(); ++k) runners_[alive[k]].outcome.fate = StartFate::pruned;
      alive.resize(std::min(survivors, alive.size()));
    }
  }

  /// Nothing where another round would change nothing.
  [[nodiscard]] std::optional<Solution> solve_round(std::size_t start, long budget) const {
    const Runner& runner = runners_[start];
    if (runner.settled) return std::nullopt;
    Stage stage = stages_.front();
    stage.options.limits.evaluations = std::min(budget, stage.options.limits.evaluations.value_or(budget));
    return solve(runner.problem, *objectives_[start], stage.algorithm, stage.options, hooks_);
  }

  static void keep_round(Runner& runner, Solution solution) {
    runner.settled = solution.termination.reason != Reason::evaluation_limit;
    if (solution.has_point()) runner.problem = starting_from(std::move(runner.problem), solution.point);
    keep(runner, std::move(solution), EvaluationCounts{});
  }

  void run_stages() {
    auto pipelines = core::parallel_map<std::optional<PipelineSolution>>(runners_.size(), options_.threads, [&](std::size_t i) {
      std::optional<PipelineSolution> pipeline;
      if (runners_[i].outcome.fate != StartFate::pruned)
        pipeline = solve_pipeline(runners_[i].problem, *objectives_[i], stages_, hooks_);
      return pipeline;
    });
    for (std::size_t i = 0; i < runners_.size(); ++i) {
      if (!pipelines[i]) continue;
      const PipelineSolution& pipeline = *pipelines[i];
      Solution solution = pipeline.final();
      if (!pipeline.stages.empty()) solution.initial_value = pipeline.stages.front().initial_value;
      solution.reproducibility = pipeline.reproducibility();
      keep(runners_[i], std::move(solution), pipeline.counts());
    }
  }

  /// Takes over a solution; `counts` are those of all its stages, or empty for its own.
  static void keep(Runner& runner, Solution solution, const EvaluationCounts& counts) {
    StartOutcome& outcome = runner.outcome;
    outcome.counts += counts.total() > 0 ? counts : solution.counts;
    const bool first = outcome.solution.termination.reason == Reason::not_run;
    if (!first) solution.initial_value = outcome.solution.initial_value;
    if (outcome.solution.reproducibility == Reproducibility::machine_dependent) {
      solution.reproducibility = Reproducibility::machine_dependent;
    }
    outcome.solution = std::move(solution);
  }

  const Problem& problem_;
  const ObjectiveFactory& make_objective_;
  std::span<const Stage> stages_;
  const MultiStartOptions& options_;
  Hooks hooks_;
  std::mutex observer_mutex_;
  std::vector<Runner> runners_;
  /// By start. They stay where they were made: a start reaches its own by its index.
  std::vector<std::unique_ptr<Objective>> objectives_;
  MultiStartSolution result_;
};

}  // namespace

std::string_view name(StartSampling sampling) { return sampling == StartSampling::sobol ? "sobol" : "latin_hypercube"; }

const StartOutcome* MultiStartSolution::best() const {
  const auto found = std::min_element(starts.begin(), starts.end(), better);
  if (found == starts.end() || !found->solution.has_point()) return nullptr;
  const double equal = found->solution.value + tie_tolerance * std::abs(found->solution.value);
  return &*std::find_if(starts.begin(), starts.end(), [&](const StartOutcome& start) {
    return start.fate == found->fate && start.solution.has_point() && start.solution.value <= equal;
  });
}

std::vector<std::size_t> MultiStartSolution::waterfall() const {
  std::vector<std::size_t> order(starts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return better(starts[a], starts[b]); });
  return order;
}

EvaluationCounts MultiStartSolution::counts() const {
  EvaluationCounts total;
  for (const StartOutcome& start : starts) total += start.counts;
  total.values += screening_evaluations;
  return total;
}

std::vector<std::vector<double>> sample_starts(std::span<const Interval> box, std::size_t count, StartSampling sampling,
                                               std::uint64_t seed) {
  core::RandomEngine random = start_stream(seed);
  const bool sobol = sampling == StartSampling::sobol && box.size() <= SobolSequence::kMostDimensions;
  std::vector<std::vector<double>> points =
      sobol ? shifted_sobol(box.size(), count, random) : latin_hypercube(box.size(), count, random);
  for (std::vector<double>& point : points) {
    for (std::size_t d = 0; d < box.size(); ++d) point[d] = box[d].first + point[d] * (box[d].second - box[d].first);
  }
  return points;
}

MultiStartSolution solve_multistart(const Problem& problem, const ObjectiveFactory& make_objective, std::span<const Stage> stages,
                                    const MultiStartOptions& options, const Hooks& hooks) {
  ROOFTUNE_EXPECTS(options.box.empty() || options.box.size() == problem.size());
  return MultiStart(problem, make_objective, stages, options, hooks).run();
}

}  // namespace rooftune::opt
