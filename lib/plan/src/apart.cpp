#include "rooftune/plan/apart.hpp"

#include <cmath>
#include <optional>
#include <vector>

#include "rooftune/core/contract.hpp"
#include "rooftune/core/distributions.hpp"
#include "rooftune/core/parallel_map.hpp"
#include "rooftune/core/statistics.hpp"
#include "rooftune/domain/gpus.hpp"

namespace rooftune::plan {
namespace {

double gain_of(const Capacity& together, const Capacity& apart) { return apart.best->rate_per_s / together.best->rate_per_s; }

/// The gain of every draw of arrivals by itself: both sides see the same requests. Empty where one draw leaves a side no rate.
std::vector<double> gains(const CapacityCase& subject, const CapacityCase& apart, int replicas, const CapacityOptions& options) {
  const auto draws = core::parallel_map<std::optional<double>>(static_cast<std::size_t>(options.replicates), options.threads,
                                                               [&](std::size_t draw) -> std::optional<double> {
                                                                 CapacityOptions one = options;
                                                                 one.replicates = 1;
                                                                 one.seed = options.seed + draw;
                                                                 one.threads = {1};
                                                                 const Capacity together = find_capacity(subject, one, replicas);
                                                                 const Capacity own = find_capacity(apart, one);
                                                                 if (!together.best || !own.best) return std::nullopt;
                                                                 return gain_of(together, own);
                                                               });
  std::vector<double> found;
  for (const std::optional<double>& gain : draws) {
    if (!gain) return {};
    found.push_back(*gain);
  }
  return found;
}

}  // namespace

ApartAnswer compare_apart(const CapacityCase& subject, const CapacityCase& apart, const CapacityOptions& options) {
  const domain::Deployment& deployment = apart.base.experiment.deployment;
  ROOFTUNE_EXPECTS(deployment.prefill_decode.has_value());
  ApartAnswer answer{.pools = *deployment.prefill_decode, .gpus = domain::gpus(deployment)};
  for (domain::EnginePool* pool : {&answer.pools.prefill, &answer.pools.decode}) {
    if (pool->tp == 0) pool->tp = deployment.tp;
  }
  answer.replicas_together = answer.gpus / domain::gpus(subject.base.experiment.deployment);
  answer.together = find_capacity(subject, options, answer.replicas_together);
  answer.apart = find_capacity(apart, options);
  if (!answer.together.best || !answer.apart.best) return answer;
  const std::vector<double> found = options.replicates == 1 ? std::vector{gain_of(answer.together, answer.apart)}
                                                            : gains(subject, apart, answer.replicas_together, options);
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
