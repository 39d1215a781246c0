#include "certified_problems.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace rooftune::opt {
namespace {

using Point = std::span<const double>;

std::vector<double> rosenbrock(Point x) { return {10.0 * (x[1] - x[0] * x[0]), 1.0 - x[0]}; }

std::vector<double> beale(Point x) {
  return {1.5 - x[0] * (1.0 - x[1]), 2.25 - x[0] * (1.0 - x[1] * x[1]), 2.625 - x[0] * (1.0 - x[1] * x[1] * x[1])};
}

std::vector<double> jennrich_sampson(Point x) {
  std::vector<double> r;
  for (int i = 1; i <= 10; ++i) r.push_back(2.0 + 2.0 * i - (std::exp(i * x[0]) + std::exp(i * x[1])));
  return r;
}

std::vector<double> helical_valley(Point x) {
  const double turn = std::atan(x[1] / x[0]) / (2.0 * std::numbers::pi) + (x[0] < 0.0 ? 0.5 : 0.0);
  return {10.0 * (x[2] - 10.0 * turn), 10.0 * (std::hypot(x[0], x[1]) - 1.0), x[2]};
}

std::vector<double> bard(Point x) {
  constexpr std::array y{0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39};
  std::vector<double> r;
  for (int i = 1; i <= 15; ++i) {
    const double u = i;
    const double v = 16 - i;
    r.push_back(y[i - 1] - (x[0] + u / (v * x[1] + std::min(u, v) * x[2])));
  }
  return r;
}

std::vector<double> box_three_dimensional(Point x) {
  std::vector<double> r;
  for (int i = 1; i <= 10; ++i) {
    const double t = 0.1 * i;
    r.push_back(std::exp(-t * x[0]) - std::exp(-t * x[1]) - x[2] * (std::exp(-t) - std::exp(-10.0 * t)));
  }
  return r;
}

std::vector<double> powell_singular(Point x) {
  return {x[0] + 10.0 * x[1], std::sqrt(5.0) * (x[2] - x[3]), (x[1] - 2.0 * x[2]) * (x[1] - 2.0 * x[2]),
          std::sqrt(10.0) * (x[0] - x[3]) * (x[0] - x[3])};
}

std::vector<double> wood(Point x) {
  return {10.0 * (x[1] - x[0] * x[0]),
          1.0 - x[0],
          std::sqrt(90.0) * (x[3] - x[2] * x[2]),
          1.0 - x[2],
          std::sqrt(10.0) * (x[1] + x[3] - 2.0),
          (x[1] - x[3]) / std::sqrt(10.0)};
}

std::vector<double> kowalik_osborne(Point x) {
  constexpr std::array y{0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246};
  constexpr std::array u{4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625};
  std::vector<double> r;
  for (std::size_t i = 0; i < y.size(); ++i) {
    r.push_back(y[i] - x[0] * (u[i] * u[i] + u[i] * x[1]) / (u[i] * u[i] + u[i] * x[2] + x[3]));
  }
  return r;
}

std::vector<double> brown_dennis(Point x) {
  std::vector<double> r;
  for (int i = 1; i <= 20; ++i) {
    const double t = i / 5.0;
    const double a = x[0] + t * x[1] - std::exp(t);
    const double b = x[2] + x[3] * std::sin(t) - std::cos(t);
    r.push_back(a * a + b * b);
  }
  return r;
}

std::vector<double> watson6(Point x) {
  std::vector<double> r;
  for (int i = 1; i <= 29; ++i) {
    const double t = i / 29.0;
    double derivative = 0.0;
    double sum = 0.0;
    for (int j = 6; j >= 1; --j) sum = sum * t + x[j - 1];
    for (int j = 6; j >= 2; --j) derivative = derivative * t + (j - 1) * x[j - 1];
    r.push_back(derivative - sum * sum - 1.0);
  }
  r.push_back(x[0]);
  r.push_back(x[1] - x[0] * x[0] - 1.0);
  return r;
}

CertifiedProblem make(std::string name, std::vector<double> start, double lower, double upper, double minimum,
                      std::vector<double> (*residuals)(Point)) {
  CertifiedProblem result{std::move(name), {}, residuals, minimum};
  for (std::size_t i = 0; i < start.size(); ++i) {
    result.problem.variables.push_back({.name = "x" + std::to_string(i + 1), .lower = lower, .initial = start[i], .upper = upper});
  }
  return result;
}

}  // namespace

const std::vector<CertifiedProblem>& certified_problems() {
  static const std::vector<CertifiedProblem> problems{
      make("rosenbrock", {-1.2, 1.0}, -3.0, 4.0, 0.0, rosenbrock),
      make("beale", {1.0, 1.0}, -4.0, 4.5, 0.0, beale),
      make("jennrich_sampson", {0.3, 0.4}, -1.0, 1.0, 124.3621823556, jennrich_sampson),
      make("helical_valley", {-1.0, 0.0, 0.0}, -3.0, 4.0, 0.0, helical_valley),
      make("bard", {1.0, 1.0, 1.0}, 0.01, 5.0, 8.214877306579e-3, bard),
      make("box_three_dimensional", {0.0, 10.0, 20.0}, 0.0, 22.0, 0.0, box_three_dimensional),
      make("powell_singular", {3.0, -1.0, 0.0, 1.0}, -4.0, 5.0, 0.0, powell_singular),
      make("wood", {-3.0, -1.0, -3.0, -1.0}, -4.0, 4.5, 0.0, wood),
      make("kowalik_osborne", {0.25, 0.39, 0.415, 0.39}, 0.0, 1.0, 3.0750560385e-4, kowalik_osborne),
      make("brown_dennis", {25.0, 5.0, -5.0, -1.0}, -30.0, 35.0, 85822.20162636, brown_dennis),
      make("watson6", {0.0, 0.0, 0.0, 0.0, 0.0, 0.0}, -4.0, 4.5, 2.287670053552e-3, watson6),
  };
  return problems;
}

const CertifiedProblem& certified_problem(const std::string& name) {
  for (const CertifiedProblem& problem : certified_problems()) {
    if (problem.name == name) return problem;
  }
  throw std::runtime_error("no certified problem " + name);
}

SolveOptions smooth_options() {
  SolveOptions options;
  options.tolerances = {.value = 1e-14, .step = 1e-12, .gradient = 1e-12};
  options.finite_differences.step = 6e-6;
  options.search.seed = 1;
  return options;
}

double excess(const CertifiedProblem& certified, const Solution& solution) {
  const double above = solution.value - certified.minimum;
  return certified.minimum > 0.0 ? above / certified.minimum : above;
}

}  // namespace rooftune::opt
