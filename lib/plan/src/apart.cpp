#include "rooftune/plan/apart.hpp"

#include <cmath>
#include <vector>

#include "rooftune/core/contract.hpp"
#include "rooftune/core/distributions.hpp"
#include "rooftune/core/statistics.hpp"
#include "rooftune/domain/gpus.hpp"

namespace rooftune::plan {
namespace {

/// The gain of every draw of arrivals by itself: both sides see the same requests.
std::vector<double> gains(const CapacityCase& subject, const CapacityCase& apart, int replicas, CapacityOptions options) {
  std::vector<double> found;
  const int draws = options.replicates;
  const std::uint64_t seed = options.seed;
  options.replicates = 1;
  for (int draw = 0; draw < draws; ++draw) {
    options.seed = seed + static_cast<std::uint64_t>(draw);
    const Capacity together = find_capacity(subject, options, replicas);
    const Capacity own = find_capacity(apart, options);
    if (!together.best || !own.best) return {};
    found.push_back(own.best->rate_per_s / together.best->rate_per_s);
  }
  return found;
}

}  // namespace

ApartAnswer compare_apart(const CapacityCase& subject, const CapacityCase& apart, const CapacityOptions& options) {
  const domain::Deployment& deployment = apart.base.experiment.deployment;
  ROOFTUNE_EXPECTS(deployment.prefill_decode.has_value());
  ApartAnswer answer{.pools = *deployment.prefill_decode, .gpus = domain::gpus(deployment)};
  answer.replicas_together = answer.gpus / domain::gpus(subject.base.experiment.deployment);
  answer.together = find_capacity(subject, options, answer.replicas_together);
  answer.apart = find_capacity(apart, options);
  const std::vector<double> found = gains(subject, apart, answer.replicas_together, options);
  if (found.empty()) return answer;
  answer.gain = core::mean(found);
  // Where one draw is all there is, only the search's own tolerance is known.
  double half = options.rate_tolerance * *answer.gain;
  if (found.size() > 1) {
    const auto draws = static_cast<long>(found.size());
    half += core::student_t_quantile(0.95, draws - 1) * core::standard_deviation(found) / std::sqrt(static_cast<double>(draws));
  }
  answer.gain_lower = *answer.gain - half;
  answer.gain_upper = *answer.gain + half;
  return answer;
}

}  // namespace rooftune::plan
