#include "certified_problems.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <utility>

namespace rooftune::opt {
namespace {

using Point = std::span<const double>;

// In the order and under the numbers of the paper. Where it leaves the number of variables open, it is chosen here.

std::vector<double> rosenbrock(Point x) { return {10.0 * (x[1] - x[0] * x[0]), 1.0 - x[0]}; }

std::vector<double> freudenstein_roth(Point x) {
  return {-13.0 + x[0] + ((5.0 - x[1]) * x[1] - 2.0) * x[1], -29.0 + x[0] + ((x[1] + 1.0) * x[1] - 14.0) * x[1]};
}

std::vector<double> powell_badly_scaled(Point x) { return {1e4 * x[0] * x[1] - 1.0, std::exp(-x[0]) + std::exp(-x[1]) - 1.0001}; }

std::vector<double> brown_badly_scaled(Point x) { return {x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2.0}; }

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

std::vector<double> gaussian(Point x) {
  constexpr std::array half{0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521, 0.3989};
  std::vector<double> r;
  for (int i = 1; i <= 15; ++i) {
    const double t = 0.5 * (8 - i) - x[2];
    r.push_back(x[0] * std::exp(-0.5 * x[1] * t * t) - half[7 - std::abs(8 - i)]);
  }
  return r;
}

std::vector<double> meyer(Point x) {
  constexpr std::array y{34780.0, 28610.0, 23650.0, 19630.0, 16370.0, 13720.0, 11540.0, 9744.0,
                         8261.0,  7030.0,  6005.0,  5147.0,  4427.0,  3820.0,  3307.0,  2872.0};
  std::vector<double> r;
  for (std::size_t i = 0; i < y.size(); ++i) r.push_back(x[0] * std::exp(x[1] / (50.0 + 5.0 * static_cast<double>(i) + x[2])) - y[i]);
  return r;
}

/// As it is meant: the exponent of the paper is a known misprint, under which (50, 25, 1.5) is no solution.
std::vector<double> gulf_research(Point x) {
  std::vector<double> r;
  for (int i = 1; i <= 99; ++i) {
    const double t = 0.01 * i;
    const double y = 25.0 + std::pow(-50.0 * std::log(t), 2.0 / 3.0);
    r.push_back(std::exp(-std::pow(std::abs(y - x[1]), x[2]) / x[0]) - t);
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

std::vector<double> osborne1(Point x) {
  constexpr std::array y{0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751,
                         0.718, 0.685, 0.658, 0.628, 0.603, 0.580, 0.558, 0.538, 0.522, 0.506, 0.490,
                         0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420, 0.414, 0.411, 0.406};
  std::vector<double> r;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double t = 10.0 * static_cast<double>(i);
    r.push_back(y[i] - (x[0] + x[1] * std::exp(-t * x[3]) + x[2] * std::exp(-t * x[4])));
  }
  return r;
}

std::vector<double> biggs_exp6(Point x) {
  std::vector<double> r;
  for (int i = 1; i <= 13; ++i) {
    const double t = 0.1 * i;
    const double y = std::exp(-t) - 5.0 * std::exp(-10.0 * t) + 3.0 * std::exp(-4.0 * t);
    r.push_back(x[2] * std::exp(-t * x[0]) - x[3] * std::exp(-t * x[1]) + x[5] * std::exp(-t * x[4]) - y);
  }
  return r;
}

std::vector<double> osborne2(Point x) {
  constexpr std::array y{1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608,
                         0.655, 0.616, 0.606, 0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661,
                         0.612, 0.558, 0.533, 0.495, 0.500, 0.423, 0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428,
                         0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668, 0.645, 0.632, 0.591, 0.559,
                         0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098, 0.054};
  const auto bell = [&](double t, std::size_t k) { return x[k] * std::exp(-(t - x[k + 7]) * (t - x[k + 7]) * x[k + 4]); };
  std::vector<double> r;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double t = 0.1 * static_cast<double>(i);
    r.push_back(y[i] - (x[0] * std::exp(-t * x[4]) + bell(t, 1) + bell(t, 2) + bell(t, 3)));
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

/// The residuals of a problem of few variables on every group of so many.
std::vector<double> extended(Point x, std::size_t group, std::vector<double> (*residuals)(Point)) {
  std::vector<double> r;
  for (std::size_t first = 0; first < x.size(); first += group) {
    const std::vector<double> part = residuals(x.subspan(first, group));
    r.insert(r.end(), part.begin(), part.end());
  }
  return r;
}

std::vector<double> extended_rosenbrock(Point x) { return extended(x, 2, rosenbrock); }
std::vector<double> extended_powell_singular(Point x) { return extended(x, 4, powell_singular); }

/// The square roots of the weights of penalty functions.
const double kPenalty = std::sqrt(1e-5);

std::vector<double> penalty1(Point x) {
  std::vector<double> r;
  double squares = 0.0;
  for (const double value : x) {
    r.push_back(kPenalty * (value - 1.0));
    squares += value * value;
  }
  r.push_back(squares - 0.25);
  return r;
}

std::vector<double> penalty2(Point x) {
  std::vector<double> r{x[0] - 0.2};
  double squares = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto index = static_cast<double>(i + 1);
    squares += static_cast<double>(x.size() - i) * x[i] * x[i];
    if (i == 0) continue;
    const double y = std::exp(0.1 * index) + std::exp(0.1 * (index - 1.0));
    r.push_back(kPenalty * (std::exp(0.1 * x[i]) + std::exp(0.1 * x[i - 1]) - y));
  }
  for (std::size_t i = 1; i < x.size(); ++i) r.push_back(kPenalty * (std::exp(0.1 * x[i]) - std::exp(-0.1)));
  r.push_back(squares - 1.0);
  return r;
}

std::vector<double> variably_dimensioned(Point x) {
  std::vector<double> r;
  double sum = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    r.push_back(x[i] - 1.0);
    sum += static_cast<double>(i + 1) * (x[i] - 1.0);
  }
  r.push_back(sum);
  r.push_back(sum * sum);
  return r;
}

std::vector<double> trigonometric(Point x) {
  double rest = static_cast<double>(x.size());
  for (const double value : x) rest -= std::cos(value);
  std::vector<double> r;
  for (std::size_t i = 0; i < x.size(); ++i) r.push_back(rest + static_cast<double>(i + 1) * (1.0 - std::cos(x[i])) - std::sin(x[i]));
  return r;
}

std::vector<double> brown_almost_linear(Point x) {
  const auto n = static_cast<double>(x.size());
  double sum = 0.0;
  double product = 1.0;
  for (const double value : x) {
    sum += value;
    product *= value;
  }
  std::vector<double> r;
  for (std::size_t i = 0; i + 1 < x.size(); ++i) r.push_back(x[i] + sum - (n + 1.0));
  r.push_back(product - 1.0);
  return r;
}

/// The grid points of the two boundary value problems, and the cubes in them.
double grid_point(Point x, std::size_t i) { return static_cast<double>(i + 1) / static_cast<double>(x.size() + 1); }
double cube_at(Point x, std::size_t i) { return std::pow(x[i] + grid_point(x, i) + 1.0, 3.0); }

std::vector<double> discrete_boundary_value(Point x) {
  const double h = grid_point(x, 0);
  std::vector<double> r;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double before = i > 0 ? x[i - 1] : 0.0;
    const double after = i + 1 < x.size() ? x[i + 1] : 0.0;
    r.push_back(2.0 * x[i] - before - after + 0.5 * h * h * cube_at(x, i));
  }
  return r;
}

std::vector<double> discrete_integral_equation(Point x) {
  const double h = grid_point(x, 0);
  std::vector<double> r;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double t = grid_point(x, i);
    double sum = 0.0;
    for (std::size_t j = 0; j < x.size(); ++j) {
      const double u = grid_point(x, j);
      sum += (j <= i ? (1.0 - t) * u : t * (1.0 - u)) * cube_at(x, j);
    }
    r.push_back(x[i] + 0.5 * h * sum);
  }
  return r;
}

std::vector<double> broyden_tridiagonal(Point x) {
  std::vector<double> r;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double before = i > 0 ? x[i - 1] : 0.0;
    const double after = i + 1 < x.size() ? x[i + 1] : 0.0;
    r.push_back((3.0 - 2.0 * x[i]) * x[i] - before - 2.0 * after + 1.0);
  }
  return r;
}

std::vector<double> broyden_banded(Point x) {
  std::vector<double> r;
  for (std::size_t i = 0; i < x.size(); ++i) {
    double band = 0.0;
    for (std::size_t j = i > 5 ? i - 5 : 0; j < std::min(x.size(), i + 2); ++j) {
      if (j != i) band += x[j] * (1.0 + x[j]);
    }
    r.push_back(x[i] * (2.0 + 5.0 * x[i] * x[i]) + 1.0 - band);
  }
  return r;
}

/// Residuals of the linear problems.
constexpr std::size_t kLinearRows = 20;

std::vector<double> linear_full_rank(Point x) {
  double sum = 0.0;
  for (const double value : x) sum += value;
  std::vector<double> r;
  for (std::size_t i = 0; i < kLinearRows; ++i) {
    r.push_back((i < x.size() ? x[i] : 0.0) - 2.0 * sum / static_cast<double>(kLinearRows) - 1.0);
  }
  return r;
}

std::vector<double> linear_rank_one(Point x) {
  double sum = 0.0;
  for (std::size_t j = 0; j < x.size(); ++j) sum += static_cast<double>(j + 1) * x[j];
  std::vector<double> r;
  for (std::size_t i = 0; i < kLinearRows; ++i) r.push_back(static_cast<double>(i + 1) * sum - 1.0);
  return r;
}

std::vector<double> linear_rank_one_zero_rows(Point x) {
  double sum = 0.0;
  for (std::size_t j = 1; j + 1 < x.size(); ++j) sum += static_cast<double>(j + 1) * x[j];
  std::vector<double> r;
  for (std::size_t i = 0; i < kLinearRows; ++i) r.push_back((i + 1 < kLinearRows ? static_cast<double>(i) * sum : 0.0) - 1.0);
  return r;
}

std::vector<double> chebyquad(Point x) {
  std::vector<double> r(x.size(), 0.0);
  for (const double value : x) {
    // Chebyshev polynomials shifted to [0, 1], by their recurrence.
    const double z = 2.0 * value - 1.0;
    double before = 1.0;
    double now = z;
    for (double& sum : r) {
      sum += now / static_cast<double>(x.size());
      before = std::exchange(now, 2.0 * z * now - before);
    }
  }
  for (std::size_t i = 2; i <= r.size(); i += 2) r[i - 1] += 1.0 / static_cast<double>(i * i - 1);
  return r;
}

using Box = std::vector<std::pair<double, double>>;

/// The same bounds for every variable.
Box uniform(std::size_t variables, double lower, double upper) { return Box(variables, {lower, upper}); }

/// Starts whose entries depend on their index, from 1 on.
std::vector<double> by_index(std::size_t variables, const std::function<double(double)>& value) {
  std::vector<double> start;
  for (std::size_t i = 1; i <= variables; ++i) start.push_back(value(static_cast<double>(i)));
  return start;
}

std::vector<double> repeated(std::size_t times, std::vector<double> values) {
  std::vector<double> start;
  for (std::size_t k = 0; k < times; ++k) start.insert(start.end(), values.begin(), values.end());
  return start;
}

CertifiedProblem make(std::string name, std::vector<double> start, const Box& box, double minimum,
                      std::vector<double> (*residuals)(Point), std::vector<double> other_minima = {}) {
  CertifiedProblem result{std::move(name), {}, residuals, minimum, std::move(other_minima)};
  for (std::size_t i = 0; i < start.size(); ++i) {
    result.problem.variables.push_back(
        {.name = "x" + std::to_string(i + 1), .lower = box[i].first, .initial = start[i], .upper = box[i].second});
  }
  return result;
}

/// What is left of `rows` linear residuals of full rank or of rank one, in closed form as in the paper.
double left_by_rank_one(double rows) { return rows * (rows - 1.0) / (2.0 * (2.0 * rows + 1.0)); }
double left_by_rank_one_zero_rows(double rows) { return (rows * rows + 3.0 * rows - 6.0) / (2.0 * (2.0 * rows - 3.0)); }

}  // namespace

const std::vector<CertifiedProblem>& certified_problems() {
  constexpr auto kRows = static_cast<double>(kLinearRows);
  static const std::vector<double> boundary_start = by_index(10, [](double i) { return i / 11.0 * (i / 11.0 - 1.0); });
  static const std::vector<CertifiedProblem> problems{
      make("rosenbrock", {-1.2, 1.0}, uniform(2, -3.0, 4.0), 0.0, rosenbrock),
      make("freudenstein_roth", {0.5, -2.0}, uniform(2, -20.0, 25.0), 0.0, freudenstein_roth, {48.98425367924}),
      make("powell_badly_scaled", {0.0, 1.0}, uniform(2, 0.0, 15.0), 0.0, powell_badly_scaled),
      make("brown_badly_scaled", {1.0, 1.0}, {{0.0, 2e6}, {0.0, 3.0}}, 0.0, brown_badly_scaled),
      make("beale", {1.0, 1.0}, uniform(2, -4.0, 4.5), 0.0, beale),
      make("jennrich_sampson", {0.3, 0.4}, uniform(2, -1.0, 1.0), 124.3621823556, jennrich_sampson),
      make("helical_valley", {-1.0, 0.0, 0.0}, uniform(3, -3.0, 4.0), 0.0, helical_valley),
      make("bard", {1.0, 1.0, 1.0}, uniform(3, 0.01, 5.0), 8.214877306579e-3, bard),
      make("gaussian", {0.4, 1.0, 0.0}, uniform(3, -2.0, 3.0), 1.127932769619e-8, gaussian),
      make("meyer", {0.02, 4000.0, 250.0}, {{0.0, 0.1}, {1000.0, 9000.0}, {100.0, 500.0}}, 87.9458551704, meyer),
      make("gulf_research", {5.0, 2.5, 0.15}, {{0.1, 100.0}, {0.0, 25.6}, {0.0, 5.0}}, 0.0, gulf_research),
      make("box_three_dimensional", {0.0, 10.0, 20.0}, uniform(3, 0.0, 22.0), 0.0, box_three_dimensional),
      make("powell_singular", {3.0, -1.0, 0.0, 1.0}, uniform(4, -4.0, 5.0), 0.0, powell_singular),
      make("wood", {-3.0, -1.0, -3.0, -1.0}, uniform(4, -4.0, 4.5), 0.0, wood),
      make("kowalik_osborne", {0.25, 0.39, 0.415, 0.39}, uniform(4, 0.0, 1.0), 3.075056038492e-4, kowalik_osborne),
      make("brown_dennis", {25.0, 5.0, -5.0, -1.0}, uniform(4, -30.0, 35.0), 85822.20162636, brown_dennis),
      make("osborne1", {0.5, 1.5, -1.0, 0.01, 0.02}, {{0.0, 2.0}, {0.0, 4.0}, {-4.0, 0.0}, {0.0, 0.1}, {0.0, 0.1}}, 5.464894697483e-5,
           osborne1),
      make("biggs_exp6", {1.0, 2.0, 1.0, 1.0, 1.0, 1.0}, uniform(6, 0.0, 12.0), 0.0, biggs_exp6, {5.65565e-3}),
      make("osborne2", {1.3, 0.65, 0.65, 0.7, 0.6, 3.0, 5.0, 7.0, 2.0, 4.5, 5.5}, uniform(11, 0.0, 10.0), 4.013773629355e-2, osborne2),
      make("watson6", {0.0, 0.0, 0.0, 0.0, 0.0, 0.0}, uniform(6, -4.0, 4.5), 2.287670053552e-3, watson6),
      make("extended_rosenbrock", repeated(5, {-1.2, 1.0}), uniform(10, -3.0, 4.0), 0.0, extended_rosenbrock),
      make("extended_powell_singular", repeated(2, {3.0, -1.0, 0.0, 1.0}), uniform(8, -4.0, 5.0), 0.0, extended_powell_singular),
      make("penalty1", by_index(4, [](double i) { return i; }), uniform(4, -5.0, 5.5), 2.2499775009e-5, penalty1),
      make("penalty2", repeated(4, {0.5}), uniform(4, -2.0, 2.5), 9.376293007355e-6, penalty2),
      make("variably_dimensioned", by_index(6, [](double i) { return 1.0 - i / 6.0; }), uniform(6, -2.0, 3.0), 0.0,
           variably_dimensioned),
      make("trigonometric", repeated(10, {0.1}), uniform(10, -1.0, 1.5), 0.0, trigonometric, {2.795056121878e-5}),
      make("brown_almost_linear", repeated(6, {0.5}), uniform(6, -2.0, 8.0), 0.0, brown_almost_linear, {1.0}),
      make("discrete_boundary_value", boundary_start, uniform(10, -1.0, 0.7), 0.0, discrete_boundary_value),
      make("discrete_integral_equation", boundary_start, uniform(10, -1.0, 0.7), 0.0, discrete_integral_equation),
      make("broyden_tridiagonal", repeated(10, {-1.0}), uniform(10, -2.0, 1.5), 0.0, broyden_tridiagonal),
      make("broyden_banded", repeated(10, {-1.0}), uniform(10, -2.0, 1.5), 0.0, broyden_banded),
      make("linear_full_rank", repeated(10, {1.0}), uniform(10, -3.0, 2.5), kRows - 10.0, linear_full_rank),
      make("linear_rank_one", repeated(10, {1.0}), uniform(10, -3.0, 2.5), left_by_rank_one(kRows), linear_rank_one),
      make("linear_rank_one_zero_rows", repeated(10, {1.0}), uniform(10, -3.0, 2.5), left_by_rank_one_zero_rows(kRows),
           linear_rank_one_zero_rows),
      make("chebyquad", by_index(8, [](double i) { return i / 9.0; }), uniform(8, 0.0, 1.0), 3.516873725678e-3, chebyquad),
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

double excess(const CertifiedProblem& certified, const Solution& solution, Scope scope) {
  double nearest = certified.minimum;
  if (scope == Scope::local) {
    for (const double other : certified.other_minima) {
      if (other > nearest && other <= solution.value * (1.0 + 1e-9)) nearest = other;
    }
  }
  const double above = solution.value - nearest;
  return nearest > 0.0 ? above / nearest : above;
}

Bar bar_of(Algorithm algorithm) {
  switch (algorithm) {
    // Brown-Dennis keeps residuals so large that Gauss-Newton steps crawl along its valley. On the first penalty function
    // Levenberg-Marquardt scales by columns that are nearly zero, and zigzags.
    case Algorithm::ceres_lm: return {1e-9, 33};
    case Algorithm::ceres_dogleg: return {1e-9, 34};
    // Without residuals the badly scaled problems remain: Powell's, Meyer's, Osborne's first.
    case Algorithm::bobyqa: return {1e-9, 32};
    case Algorithm::lbfgs: return {1e-9, 31};
    case Algorithm::mlsl: return {1e-9, 32};
    case Algorithm::crs2: return {1e-8, 24};
    // The rest are coarse by design: first looks and last resorts.
    case Algorithm::sbplx: return {1e-3, 26};
    case Algorithm::direct_l: return {1e-2, 20};
    case Algorithm::isres: return {1e-2, 16};
    case Algorithm::cobyla: return {2e-2, 21};
    case Algorithm::esch: return {5e-2, 15};
  }
  return {};
}

}  // namespace rooftune::opt
