#include "rooftune/opt/algorithm.hpp"

#include <fmt/format.h>

#include <array>

#include "rooftune/core/contract.hpp"

namespace rooftune::opt {
namespace {

constexpr std::array kAlgorithms{
    AlgorithmInfo{Algorithm::ceres_lm, "ceres_lm", Scope::local, DerivativeUse::jacobian, Randomness::none,
                  "Levenberg-Marquardt with bounds and restarts; the first choice for residuals",
                  "Ceres Solver; Levenberg 1944, Marquardt 1963"},
    AlgorithmInfo{Algorithm::ceres_dogleg, "ceres_dogleg", Scope::local, DerivativeUse::jacobian, Randomness::none,
                  "Powell's dogleg on residuals; cheaper steps than ceres_lm after a rejection, weaker far from a solution",
                  "Ceres Solver; Powell 1970"},
    AlgorithmInfo{Algorithm::direct_l, "direct_l", Scope::global, DerivativeUse::none, Randomness::none,
                  "divides the box deterministically; good for few variables, slow to refine",
                  "NLopt GN_DIRECT_L; Gablonsky & Kelley 2001"},
    AlgorithmInfo{Algorithm::crs2, "crs2", Scope::global, DerivativeUse::none, Randomness::seeded,
                  "controlled random search with local mutation; the most robust global start for up to 20 variables",
                  "NLopt GN_CRS2_LM; Kaelo & Ali 2006"},
    AlgorithmInfo{Algorithm::isres, "isres", Scope::global, DerivativeUse::none, Randomness::seeded,
                  "evolution strategy; many evaluations, survives rugged functions", "NLopt GN_ISRES; Runarsson & Yao 2005"},
    AlgorithmInfo{Algorithm::esch, "esch", Scope::global, DerivativeUse::none, Randomness::seeded,
                  "simple evolutionary search; a coarse first look", "NLopt GN_ESCH; Silva Santos 2010"},
    AlgorithmInfo{Algorithm::mlsl, "mlsl", Scope::global, DerivativeUse::gradient, Randomness::seeded,
                  "local searches from low-discrepancy points, one for each basin; L-BFGS inside, BOBYQA without derivatives",
                  "NLopt G_MLSL_LDS; Rinnooy Kan & Timmer 1987, Kucherenko & Sytsko 2005"},
    AlgorithmInfo{Algorithm::cobyla, "cobyla", Scope::local, DerivativeUse::none, Randomness::none,
                  "linear models over a simplex; tolerant of noise, low precision", "NLopt LN_COBYLA; Powell 1994"},
    AlgorithmInfo{Algorithm::bobyqa, "bobyqa", Scope::local, DerivativeUse::none, Randomness::none,
                  "quadratic models; the best polish of a smooth scalar without derivatives", "NLopt LN_BOBYQA; Powell 2009"},
    AlgorithmInfo{Algorithm::sbplx, "sbplx", Scope::local, DerivativeUse::none, Randomness::none,
                  "simplex searches in subspaces; survives kinks and noise such as a mean of absolute errors",
                  "NLopt LN_SBPLX; Rowan 1990"},
    AlgorithmInfo{Algorithm::lbfgs, "lbfgs", Scope::local, DerivativeUse::gradient, Randomness::none,
                  "quasi-Newton on the gradient; for smooth scalars with derivatives", "NLopt LD_LBFGS; Nocedal 1980, Luksan"},
};

constexpr bool in_order_of_the_enumeration() {
  for (std::size_t i = 0; i < kAlgorithms.size(); ++i) {
    if (static_cast<std::size_t>(kAlgorithms[i].algorithm) != i) return false;
  }
  return true;
}
static_assert(in_order_of_the_enumeration());

}  // namespace

std::span<const AlgorithmInfo> algorithms() { return kAlgorithms; }

const AlgorithmInfo& describe(Algorithm algorithm) {
  const auto index = static_cast<std::size_t>(algorithm);
  ROOFTUNE_EXPECTS(index < kAlgorithms.size());
  return kAlgorithms[index];
}

std::string_view name(Algorithm algorithm) { return describe(algorithm).name; }

std::vector<std::string_view> algorithm_names() {
  std::vector<std::string_view> names;
  for (const AlgorithmInfo& info : kAlgorithms) names.push_back(info.name);
  return names;
}

core::Result<Algorithm> parse_algorithm(std::string_view word, core::SourcePosition position) {
  for (const AlgorithmInfo& info : kAlgorithms) {
    if (info.name == word) return info.algorithm;
  }
  return core::fail(std::move(position), fmt::format("unknown algorithm '{}'", word), core::suggest(word, algorithm_names()));
}

}  // namespace rooftune::opt
