#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "rooftune/core/parallel_map.hpp"
#include "rooftune/opt/pipeline.hpp"

namespace rooftune::opt {

enum class StartSampling {
  sobol,            ///< even in every projection; Joe & Kuo 2008 directions with a random digital shift; beyond 21 variables Latin
  latin_hypercube,  ///< one point in each of as many layers of every variable; McKay, Beckman & Conover 1979
};
[[nodiscard]] std::string_view name(StartSampling sampling);

/// Ends hopeless starts early by a rule that only counts evaluations (successive halving; Jamieson & Talwalkar 2016): all
/// starts get `first_evaluations`, the better `kept_fraction` of them get twice as many more, and so on, until no more than
/// `finalists` are left; these run to the end of all stages. Rounds run the first stage only.
struct Pruning {
  /// 0 switches pruning off.
  long first_evaluations = 0;
  /// In (0, 1).
  double kept_fraction = 0.5;
  std::size_t finalists = 4;
};

/// A box in which starts are drawn, one interval per variable.
using Interval = std::pair<double, double>;

struct MultiStartOptions {
  /// The number of starts; the first is the problem's initial point.
  std::size_t starts = 16;
  StartSampling sampling = StartSampling::sobol;
  std::uint64_t seed = 0;
  core::ThreadCount threads = {};
  /// Where the drawn starts lie; empty for the bounds. Needed for variables without finite bounds. Choose the side on which
  /// the model is fast: from starts that saturate the simulated engine, least squares rarely returns.
  std::vector<Interval> box = {};
  /// Points that are drawn and evaluated once for every start; the best ones become the starts. 1 takes all as drawn.
  std::size_t candidates_per_start = 1;
  Pruning pruning = {};
  /// Values that differ by less than this fraction count as equal, and the lower index is best: equivalent minima (two terms
  /// that may swap their roles) are then decided by the given start and not by rounding errors. >= 0.
  double tie_tolerance = 1e-9;
};

enum class StartFate { finished, pruned };

/// One start and what became of it: a row of the convergence waterfall.
struct StartOutcome {
  std::size_t index = 0;
  std::vector<double> start;
  StartFate fate = StartFate::finished;
  /// Evaluations of pruning rounds are in `counts`, too.
  Solution solution;
  EvaluationCounts counts;
};

struct MultiStartSolution {
  /// In the order of their indices.
  std::vector<StartOutcome> starts;
  /// Evaluations spent on candidates that only ranked starts.
  long screening_evaluations = 0;
  Reproducibility reproducibility = Reproducibility::deterministic;
  double tie_tolerance = 0.0;

  /// The start with the lowest value of the last stage, the lowest index among equals (within the tie tolerance); null when
  /// none has a point. Finished starts come before pruned ones.
  [[nodiscard]] const StartOutcome* best() const;
  /// Indices from best to worst; starts without a point last.
  [[nodiscard]] std::vector<std::size_t> waterfall() const;
  [[nodiscard]] EvaluationCounts counts() const;
};

/// `count` points in the box, from the seed alone.
[[nodiscard]] std::vector<std::vector<double>> sample_starts(std::span<const Interval> box, std::size_t count, StartSampling sampling,
                                                             std::uint64_t seed);

/// Runs the stages from several starts in parallel. The result is the same for any number of threads unless a limit in
/// seconds or a cancellation intervened. `hooks.observe` is called under a lock, in no particular order of starts.
[[nodiscard]] MultiStartSolution solve_multistart(const Problem& problem, const ObjectiveFactory& make_objective,
                                                  std::span<const Stage> stages, const MultiStartOptions& options = {},
                                                  const Hooks& hooks = {});

}  // namespace rooftune::opt
