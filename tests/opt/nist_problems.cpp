#include "nist_problems.hpp"

#include <ceres/jet.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numbers>
#include <sstream>
#include <stdexcept>

#include "support/places.hpp"

namespace rooftune::opt {
namespace {

using Observation = NistProblem::Observation;
// For extended precision; derivative-carrying scalars have their own.
using std::atan;
using std::cos;
using std::exp;
using std::log;
using std::pow;
using std::sin;
/// Wide enough for ENSO, the problem with the most parameters.
using Jet = ceres::Jet<double, 9>;

std::vector<Observation> read_observations(const std::string& name) {
  const std::string path = testing_support::source_folder().string() + "/tests/opt/nist/" + name + ".csv";
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) throw std::runtime_error("cannot read " + path);
  std::vector<Observation> observations;
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    Observation observation{};
    char comma = ',';
    fields >> observation.y >> comma >> observation.x[0] >> comma >> observation.x[1];
    observations.push_back(observation);
  }
  return observations;
}

template <class T, class Real>
T three_exponentials(const T* b, Real x) {
  return b[0] * exp(-b[1] * x) + b[2] * exp(-b[3] * x) + b[4] * exp(-b[5] * x);
}

template <class T, class Real>
T two_peaks(const T* b, Real x) {
  const T first = (x - b[3]) / b[4];
  const T second = (x - b[6]) / b[7];
  return b[0] * exp(-b[1] * x) + b[2] * exp(-first * first) + b[5] * exp(-second * second);
}

template <class T, class Real>
T cubic_ratio(const T* b, Real x) {
  return (b[0] + x * (b[1] + x * (b[2] + x * b[3]))) / (1.0 + x * (b[4] + x * (b[5] + x * b[6])));
}

template <class T, class Real>
T enso(const T* b, Real x) {
  const Real turn = Real(2) * std::numbers::pi_v<Real> * x;
  return b[0] + b[1] * std::cos(turn / 12.0) + b[2] * std::sin(turn / 12.0) + b[4] * cos(turn / b[3]) + b[5] * sin(turn / b[3]) +
         b[7] * cos(turn / b[6]) + b[8] * sin(turn / b[6]);
}

enum class Precision { plain, extended };

/// Evaluates a generic model, derivatives in double.
template <class Model>
auto differentiable(Model model, std::size_t parameters, Precision precision) {
  return [model, parameters, precision](const double* b, const Observation& observation, double* derivatives) {
    double extended = 0.0;
    if (precision == Precision::extended) {
      std::array<long double, Jet::DIMENSION> exact;
      std::copy_n(b, parameters, exact.begin());
      extended = static_cast<double>(model(exact.data(), observation));
      if (!derivatives) return extended;
    }
    const NistProblem::BasicObservation<double> rounded{
        .y = static_cast<double>(observation.y), .x = {static_cast<double>(observation.x[0]), static_cast<double>(observation.x[1])}};
    if (!derivatives) return model(b, rounded);
    std::array<Jet, Jet::DIMENSION> jets;
    for (std::size_t i = 0; i < parameters; ++i) jets[i] = Jet(b[i], static_cast<int>(i));
    const Jet with_slopes = model(jets.data(), rounded);
    for (std::size_t i = 0; i < parameters; ++i) derivatives[i] = with_slopes.v[static_cast<Eigen::Index>(i)];
    return precision == Precision::extended ? extended : with_slopes.a;
  };
}

std::vector<NistProblem> make_problems() {
  std::vector<NistProblem> problems;
  const auto add = [&](std::string name, std::array<std::vector<double>, 2> starts, std::vector<double> certified,
                       std::vector<double> deviations, double sum_of_squares, auto model) {
    std::vector<Observation> observations = read_observations(name);
    const std::size_t parameters = certified.size();
    const Precision precision = name == "lanczos1" ? Precision::extended : Precision::plain;
    problems.push_back({std::move(name), std::move(starts), std::move(certified), std::move(deviations), sum_of_squares,
                        std::move(observations), differentiable(model, parameters, precision)});
  };
  add("misra1a", {{{500.0, 0.0001}, {250.0, 0.0005}}}, {2.3894212918E+02, 5.5015643181E-04}, {2.7070075241E+00, 7.2668688436E-06},
      1.2455138894E-01, [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - (b[0] * (1.0 - exp(-b[1] * x)));
      });
  add("misra1b", {{{500.0, 0.0001}, {300.0, 0.0002}}}, {3.3799746163E+02, 3.9039091287E-04}, {3.1643950207E+00, 4.2547321834E-06},
      7.5464681533E-02, [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - (b[0] * (1.0 - pow(1.0 + b[1] * x / 2.0, -2.0)));
      });
  add("misra1c", {{{500.0, 0.0001}, {600.0, 0.0002}}}, {6.3642725809E+02, 2.0813627256E-04}, {4.6638326572E+00, 1.7728423155E-06},
      4.0966836971E-02, [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - (b[0] * (1.0 - pow(1.0 + 2.0 * b[1] * x, -0.5)));
      });
  add("misra1d", {{{500.0, 0.0001}, {450.0, 0.0003}}}, {4.3736970754E+02, 3.0227324449E-04}, {3.6489174345E+00, 2.9334354479E-06},
      5.6419295283E-02, [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - (b[0] * b[1] * x / (1.0 + b[1] * x));
      });
  add("danwood", {{{1.0, 5.0}, {0.7, 4.0}}}, {7.6886226176E-01, 3.8604055871E+00}, {1.8281973860E-02, 5.1726610913E-02},
      4.3173084083E-03, [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - (b[0] * exp(b[1] * std::log(x)));
      });
  add("chwirut1", {{{0.1, 0.01, 0.02}, {0.15, 0.008, 0.01}}}, {1.9027818370E-01, 6.1314004477E-03, 1.0530908399E-02},
      {2.1938557035E-02, 3.4500025051E-04, 7.9281847748E-04}, 2.3844771393E+03, [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - (exp(-b[0] * x) / (b[1] + b[2] * x));
      });
  add("chwirut2", {{{0.1, 0.01, 0.02}, {0.15, 0.008, 0.01}}}, {1.6657666537E-01, 5.1653291286E-03, 1.2150007096E-02},
      {3.8303286810E-02, 6.6621605126E-04, 1.5304234767E-03}, 5.1304802941E+02, [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - (exp(-b[0] * x) / (b[1] + b[2] * x));
      });
  add("lanczos1", {{{1.2, 0.3, 5.6, 5.5, 6.5, 7.6}, {0.5, 0.7, 3.6, 4.2, 4.0, 6.3}}},
      {9.5100000027E-02, 1.0000000001E+00, 8.6070000013E-01, 3.0000000002E+00, 1.5575999998E+00, 5.0000000001E+00},
      {5.3347304234E-11, 2.7473038179E-10, 1.3576062225E-10, 3.3308253069E-10, 1.8815731448E-10, 1.1057500538E-10}, 1.4307867721E-25,
      [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - three_exponentials(b, x);
      });
  add("lanczos2", {{{1.2, 0.3, 5.6, 5.5, 6.5, 7.6}, {0.5, 0.7, 3.6, 4.2, 4.0, 6.3}}},
      {9.6251029939E-02, 1.0057332849E+00, 8.6424689056E-01, 3.0078283915E+00, 1.5529016879E+00, 5.0028798100E+00},
      {6.6770575477E-04, 3.3989646176E-03, 1.7185846685E-03, 4.1707005856E-03, 2.3744381417E-03, 1.3958787284E-03}, 2.2299428125E-11,
      [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - three_exponentials(b, x);
      });
  add("lanczos3", {{{1.2, 0.3, 5.6, 5.5, 6.5, 7.6}, {0.5, 0.7, 3.6, 4.2, 4.0, 6.3}}},
      {8.6816414977E-02, 9.5498101505E-01, 8.4400777463E-01, 2.9515951832E+00, 1.5825685901E+00, 4.9863565084E+00},
      {1.7197908859E-02, 9.7041624475E-02, 4.1488663282E-02, 1.0766312506E-01, 5.8371576281E-02, 3.4436403035E-02}, 1.6117193594E-08,
      [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - three_exponentials(b, x);
      });
  add("gauss1", {{{97.0, 0.009, 100.0, 65.0, 20.0, 70.0, 178.0, 16.5}, {94.0, 0.0105, 99.0, 63.0, 25.0, 71.0, 180.0, 20.0}}},
      {9.8778210871E+01, 1.0497276517E-02, 1.0048990633E+02, 6.7481111276E+01, 2.3129773360E+01, 7.1994503004E+01, 1.7899805021E+02,
       1.8389389025E+01},
      {5.7527312730E-01, 1.1406289017E-04, 5.8831775752E-01, 1.0460593412E-01, 1.7439951146E-01, 6.2622793913E-01, 1.2436988217E-01,
       2.0134312832E-01},
      1.3158222432E+03, [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - two_peaks(b, x);
      });
  add("gauss2", {{{96.0, 0.009, 103.0, 106.0, 18.0, 72.0, 151.0, 18.0}, {98.0, 0.0105, 103.0, 105.0, 20.0, 73.0, 150.0, 20.0}}},
      {9.9018328406E+01, 1.0994945399E-02, 1.0188022528E+02, 1.0703095519E+02, 2.3578584029E+01, 7.2045589471E+01, 1.5327010194E+02,
       1.9525972636E+01},
      {5.3748766879E-01, 1.3335306766E-04, 5.9217315772E-01, 1.5006798316E-01, 2.2695595067E-01, 6.1721965884E-01, 1.9466674341E-01,
       2.6416549393E-01},
      1.2475282092E+03, [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - two_peaks(b, x);
      });
  add("gauss3", {{{94.9, 0.009, 90.1, 113.0, 20.0, 73.8, 140.0, 20.0}, {96.0, 0.0096, 80.0, 110.0, 25.0, 74.0, 139.0, 25.0}}},
      {9.8940368970E+01, 1.0945879335E-02, 1.0069553078E+02, 1.1163619459E+02, 2.3300500029E+01, 7.3705031418E+01, 1.4776164251E+02,
       1.9668221230E+01},
      {5.3005192833E-01, 1.2554058911E-04, 8.1256587317E-01, 3.5317859757E-01, 3.6584783023E-01, 1.2091239082E+00, 4.0488183351E-01,
       3.7806634336E-01},
      1.2444846360E+03, [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - two_peaks(b, x);
      });
  add("kirby2", {{{2.0, -0.1, 0.003, -0.001, 1e-05}, {1.5, -0.15, 0.0025, -0.0015, 2e-05}}},
      {1.6745063063E+00, -1.3927397867E-01, 2.5961181191E-03, -1.7241811870E-03, 2.1664802578E-05},
      {8.7989634338E-02, 4.1182041386E-03, 4.1856520458E-05, 5.8931897355E-05, 2.0129761919E-07}, 3.9050739624E+00,
      [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - ((b[0] + b[1] * x + b[2] * (x * x)) / (1.0 + b[3] * x + b[4] * (x * x)));
      });
  add("hahn1", {{{10.0, -1.0, 0.05, -1e-05, -0.05, 0.001, -1e-06}, {1.0, -0.1, 0.005, -1e-06, -0.005, 0.0001, -1e-07}}},
      {1.0776351733E+00, -1.2269296921E-01, 4.0863750610E-03, -1.4262662514E-06, -5.7609940901E-03, 2.4053735503E-04,
       -1.2314450199E-07},
      {1.7070154742E-01, 1.2000289189E-02, 2.2508314937E-04, 2.7578037666E-07, 2.4712888219E-04, 1.0449373768E-05, 1.3027335327E-08},
      1.5324382854E+00, [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - cubic_ratio(b, x);
      });
  add("nelson", {{{2.0, 0.0001, -0.01}, {2.5, 5e-09, -0.05}}}, {2.5906836021E+00, 5.6177717026E-09, -5.7701013174E-02},
      {1.9149996413E-02, 6.1124096540E-09, 3.9572366543E-03}, 3.7976833176E+00, [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return std::log(observation.y) - (b[0] - b[1] * x * exp(-b[2] * observation.x[1]));
      });
  add("mgh09", {{{25.0, 39.0, 41.5, 39.0}, {0.25, 0.39, 0.415, 0.39}}},
      {1.9280693458E-01, 1.9128232873E-01, 1.2305650693E-01, 1.3606233068E-01},
      {1.1435312227E-02, 1.9633220911E-01, 8.0842031232E-02, 9.0025542308E-02}, 3.0750560385E-04,
      [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - (b[0] * (x * x + x * b[1]) / (x * x + x * b[2] + b[3]));
      });
  add("mgh10", {{{2.0, 400000.0, 25000.0}, {0.02, 4000.0, 250.0}}}, {5.6096364710E-03, 6.1813463463E+03, 3.4522363462E+02},
      {1.5687892471E-04, 2.3309021107E+01, 7.8486103508E-01}, 8.7945855171E+01, [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - (b[0] * exp(b[1] / (x + b[2])));
      });
  add("mgh17", {{{50.0, 150.0, -100.0, 1.0, 2.0}, {0.5, 1.5, -1.0, 0.01, 0.02}}},
      {3.7541005211E-01, 1.9358469127E+00, -1.4646871366E+00, 1.2867534640E-02, 2.2122699662E-02},
      {2.0723153551E-03, 2.2031669222E-01, 2.2175707739E-01, 4.4861358114E-04, 8.9471996575E-04}, 5.4648946975E-05,
      [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - (b[0] + b[1] * exp(-b[3] * x) + b[2] * exp(-b[4] * x));
      });
  add("rat42", {{{100.0, 1.0, 0.1}, {75.0, 2.5, 0.07}}}, {7.2462237576E+01, 2.6180768402E+00, 6.7359200066E-02},
      {1.7340283401E+00, 8.8295217536E-02, 3.4465663377E-03}, 8.0565229338E+00, [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - (b[0] / (1.0 + exp(b[1] - b[2] * x)));
      });
  add("rat43", {{{100.0, 10.0, 1.0, 1.0}, {700.0, 5.0, 0.75, 1.3}}},
      {6.9964151270E+02, 5.2771253025E+00, 7.5962938329E-01, 1.2792483859E+00},
      {1.6302297817E+01, 2.0828735829E+00, 1.9566123451E-01, 6.8761936385E-01}, 8.7864049080E+03,
      [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - (b[0] / exp(log(1.0 + exp(b[1] - b[2] * x)) / b[3]));
      });
  add("roszman1", {{{0.1, -1e-05, 1000.0, -100.0}, {0.2, -5e-06, 1200.0, -150.0}}},
      {2.0196866396E-01, -6.1953516256E-06, 1.2044556708E+03, -1.8134269537E+02},
      {1.9172666023E-02, 3.2058931691E-06, 7.4050983057E+01, 4.9573513849E+01}, 4.9484847331E-04,
      [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - (b[0] - b[1] * x - atan(b[2] / (x - b[3])) / std::numbers::pi);
      });
  add("enso", {{{11.0, 3.0, 0.5, 40.0, -0.7, -1.3, 25.0, -0.3, 1.4}, {10.0, 3.0, 0.5, 44.0, -1.5, 0.5, 26.0, -0.1, 1.5}}},
      {1.0510749193E+01, 3.0762128085E+00, 5.3280138227E-01, 4.4311088700E+01, -1.6231428586E+00, 5.2554493756E-01, 2.6887614440E+01,
       2.1232288488E-01, 1.4966870418E+00},
      {1.7488832467E-01, 2.4310052139E-01, 2.4354686618E-01, 9.4408025976E-01, 2.8078369611E-01, 4.8073701119E-01, 4.1612939130E-01,
       5.1460022911E-01, 2.5434468893E-01},
      7.8853978668E+02, [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - enso(b, x);
      });
  add("eckerle4", {{{1.0, 10.0, 500.0}, {1.5, 5.0, 450.0}}}, {1.5543827178E+00, 4.0888321754E+00, 4.5154121844E+02},
      {1.5408051163E-02, 4.6803020753E-02, 4.6800518816E-02}, 1.4635887487E-03, [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - (b[0] / b[1] * exp(-0.5 * ((x - b[2]) / b[1]) * ((x - b[2]) / b[1])));
      });
  add("thurber", {{{1000.0, 1000.0, 400.0, 40.0, 0.7, 0.3, 0.03}, {1300.0, 1500.0, 500.0, 75.0, 1.0, 0.4, 0.05}}},
      {1.2881396800E+03, 1.4910792535E+03, 5.8323836877E+02, 7.5416644291E+01, 9.6629502864E-01, 3.9797285797E-01, 4.9727297349E-02},
      {4.6647963344E+00, 3.9571156086E+01, 2.8698696102E+01, 5.5675370270E+00, 3.1333340687E-02, 1.4984928198E-02, 6.5842344623E-03},
      5.6427082397E+03, [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - cubic_ratio(b, x);
      });
  add("boxbod", {{{1.0, 1.0}, {100.0, 0.75}}}, {2.1380940889E+02, 5.4723748542E-01}, {1.2354515176E+01, 1.0455993237E-01},
      1.1680088766E+03, [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - (b[0] * (1.0 - exp(-b[1] * x)));
      });
  add("bennett5", {{{-2000.0, 50.0, 0.8}, {-1500.0, 45.0, 0.85}}}, {-2.5235058043E+03, 4.6736564644E+01, 9.3218483193E-01},
      {2.9715175411E+02, 1.2448871856E+00, 2.0272299378E-02}, 5.2404744073E-04, [](const auto* b, const auto& observation) {
        const auto x = observation.x[0];
        return observation.y - (b[0] * exp(-log(b[1] + x) / b[2]));
      });
  return problems;
}

}  // namespace

std::unique_ptr<Objective> NistProblem::objective(Support support) const {
  return make_objective({.residuals = support}, [this](std::span<const double> point, Request request) {
    const bool derivatives = request.derivatives == Derivatives::needed;
    Evaluation evaluation;
    evaluation.residuals.resize(observations.size());
    if (derivatives) evaluation.jacobian.resize(observations.size() * point.size());
    for (std::size_t row = 0; row < observations.size(); ++row) {
      double* gradient = derivatives ? &evaluation.jacobian[row * point.size()] : nullptr;
      evaluation.residuals[row] = residual(point.data(), observations[row], gradient);
    }
    return evaluation;
  });
}

Problem NistProblem::problem(std::size_t start) const {
  Problem result;
  for (std::size_t i = 0; i < certified.size(); ++i) {
    const double initial = starts[start][i];
    result.variables.push_back({.name = "b" + std::to_string(i + 1), .initial = initial, .scale = std::abs(initial)});
  }
  return result;
}

const std::vector<NistProblem>& nist_problems() {
  static const std::vector<NistProblem> problems = make_problems();
  return problems;
}

const NistProblem& nist_problem(const std::string& name) {
  const auto found =
      std::find_if(nist_problems().begin(), nist_problems().end(), [&](const NistProblem& p) { return p.name == name; });
  if (found == nist_problems().end()) throw std::runtime_error("no NIST problem " + name);
  return *found;
}

double correct_digits(const std::vector<double>& values, const std::vector<double>& certified) {
  double least = values.size() == certified.size() ? 11.0 : 0.0;
  for (std::size_t i = 0; i < std::min(values.size(), certified.size()); ++i) {
    const double digits = -std::log10(std::abs(values[i] - certified[i]) / std::abs(certified[i]));
    least = std::isnan(digits) ? 0.0 : std::min(least, std::max(0.0, digits));
  }
  return least;
}

}  // namespace rooftune::opt
