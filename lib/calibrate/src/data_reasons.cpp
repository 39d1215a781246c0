#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <utility>

#include "rooftune/calibrate/uncertainty.hpp"
#include "rooftune/eval/calibrated_domain.hpp"

namespace rooftune::calibrate {
namespace {

/// What of the data must vary, or occur at all, for a parameter to show itself.
enum class Feature { prompt_tokens, output_tokens, concurrency, tensor_parallel, layers, experts, fp8, sampling };

/// Parts of parameter names and what they feed on; the first that fits counts.
struct Dependence {
  std::string_view part;
  Feature feature;
};
constexpr std::array<Dependence, 19> kDependences{{
    {"moe", Feature::experts},
    {"fp8", Feature::fp8},
    {"sampler", Feature::sampling},
    {"allreduce", Feature::tensor_parallel},
    {"allReduce", Feature::tensor_parallel},
    {"tpScaling", Feature::tensor_parallel},
    {"TpScaling", Feature::tensor_parallel},
    {"per_output_token", Feature::output_tokens},
    {"per_prompt_token", Feature::prompt_tokens},
    {"frontend.constant", Feature::prompt_tokens},
    {"prefill", Feature::prompt_tokens},
    {"Prefill", Feature::prompt_tokens},
    {"gemm", Feature::prompt_tokens},
    {"t_layer", Feature::layers},
    {"t_step", Feature::layers},
    {"ayerOverhead", Feature::layers},
    {"t_seq", Feature::concurrency},
    {"per_decode", Feature::concurrency},
    {"kv_", Feature::concurrency},
}};

Feature feature_of(std::string_view id) {
  const auto found =
      std::ranges::find_if(kDependences, [&](const Dependence& one) { return id.find(one.part) != std::string_view::npos; });
  // What is left are shares of compute and bandwidth, which the batch size tells apart.
  return found == kDependences.end() ? Feature::concurrency : found->feature;
}

std::string span_of(const params::CalibratedDomain& domain, const std::string& name, std::string_view what, std::string_view unit) {
  const auto found = domain.ranges.find(name);
  if (found == domain.ranges.end()) return {};
  const auto [lowest, highest] = found->second;
  if (lowest == highest) return fmt::format("{} are {:.3g}{} everywhere", what, lowest, unit);
  return fmt::format("{} span {:.4g} to {:.4g}{}", what, lowest, highest, unit);
}

template <class Predicate>
std::string count_of(const eval::Dataset& dataset, std::string_view what, Predicate predicate) {
  std::set<std::string> names;
  long count = 0;
  for (const eval::Case& item : dataset.cases) {
    if (!predicate(item)) continue;
    ++count;
    names.insert(item.model.name);
  }
  if (count == 0) return fmt::format("no experiment has {}", what);
  return fmt::format("{} of {} experiments {} {} ({})", count, dataset.cases.size(), count == 1 ? "has" : "have", what,
                     fmt::join(names, ", "));
}

std::string state_of(const eval::Dataset& dataset, const params::CalibratedDomain& domain, Feature feature) {
  switch (feature) {
    case Feature::prompt_tokens: return span_of(domain, "prompt_tokens", "prompts", " tokens");
    case Feature::output_tokens: return span_of(domain, "output_tokens", "outputs", " tokens");
    case Feature::concurrency: return span_of(domain, "concurrency", "requests in service", "");
    case Feature::tensor_parallel: {
      std::set<int> degrees;
      for (const eval::Case& item : dataset.cases) degrees.insert(item.experiment.deployment.tp);
      return fmt::format("TP is {}", fmt::join(degrees, ", "));
    }
    case Feature::layers: {
      std::set<int> layers;
      for (const eval::Case& item : dataset.cases) layers.insert(item.model.layers());
      return fmt::format("models have {} layers", fmt::join(layers, ", "));
    }
    case Feature::experts: return count_of(dataset, "experts", [](const eval::Case& item) { return item.model.experts() != nullptr; });
    case Feature::fp8:
      return count_of(dataset, "FP8 weights", [](const eval::Case& item) {
        return item.experiment.deployment.precision.find("fp8") != std::string::npos ||
               item.experiment.deployment.precision.find("FP8") != std::string::npos;
      });
    case Feature::sampling:
      return count_of(dataset, "top-p or top-k sampling",
                      [](const eval::Case& item) { return item.model.sampling && item.model.sampling->truncates(); });
  }
  return {};
}

class Explainer {
 public:
  Explainer(const PreparedStudy& study, const opt::Problem& problem, const opt::Uncertainty& uncertainty)
      : study_(study), problem_(problem), uncertainty_(uncertainty), domain_(eval::calibrated_domain(study.dataset)) {}

  /// Directions that move the residuals by less than their noise.
  void directions() {
    for (const std::size_t index : uncertainty_.without_effect)
      say(fmt::format("{} has no effect on any residual", name(index)), {index});
    for (const opt::Direction& direction : uncertainty_.directions) {
      if (direction.state == opt::Direction::State::identified || direction.participants.empty()) continue;
      const bool is_weak = direction.state == opt::Direction::State::weak;
      const auto& members = direction.participants;
      if (members.size() == 1) {
        if (!has_no_effect(members.front())) say(fmt::format("{} is hardly determined by the data", name(members.front())), members);
        continue;
      }
      std::vector<std::string> moves;
      for (const std::size_t index : members) {
        moves.push_back(fmt::format("{} {}", name(index), direction.vector[index] > 0.0 ? "up" : "down"));
      }
      say(fmt::format("{} {} be told apart: {} together change {}", names(members), is_weak ? "can hardly" : "cannot",
                      fmt::join(moves, ", "), is_weak ? "little" : "nothing"),
          members);
    }
  }

  /// Pairs of which the data know the sum or difference better than either.
  void correlations() {
    constexpr double kStrong = 0.9;
    for (std::size_t i = 0; i < problem_.size(); ++i) {
      for (std::size_t j = i + 1; j < problem_.size(); ++j) {
        const double correlation = uncertainty_.correlation_of(i, j);
        if (std::abs(correlation) < kStrong) continue;
        say(fmt::format("{} and {} can hardly be told apart (correlation {:+.2f})", name(i), name(j), correlation), {i, j});
      }
    }
  }

  void priors(std::span<const double> shares) {
    // More than half of the variance left: the prior says more than the data.
    constexpr double kMostlyPrior = 0.5;
    std::vector<std::pair<std::string, std::vector<std::string>>> by_reason;
    for (std::size_t i = 0; i < shares.size(); ++i) {
      if (!(shares[i] > kMostlyPrior) || has_no_effect(i)) continue;
      const std::string reason = reason_of(i);
      auto known = std::ranges::find(by_reason, reason, &std::pair<std::string, std::vector<std::string>>::first);
      if (known == by_reason.end()) known = by_reason.insert(known, {reason, {}});
      known->second.push_back(name(i));
    }
    for (const auto& [reason, members] : by_reason) {
      sentences_.push_back(fmt::format("{} {}{}{}", fmt::join(members, ", "),
                                       members.size() == 1 ? "is mostly its prior" : "are mostly their priors",
                                       reason.empty() ? "" : ": ", reason));
    }
  }

  std::vector<std::string> take() { return std::move(sentences_); }

 private:
  const std::string& name(std::size_t index) const { return problem_.variables[index].name; }

  std::string names(const std::vector<std::size_t>& members) const {
    std::vector<std::string> all;
    for (const std::size_t index : members) all.push_back(name(index));
    return fmt::format("{}", fmt::join(all, ", "));
  }

  std::string reason_of(std::size_t index) const {
    return state_of(study_.dataset, domain_, feature_of(study_.spec.free[index].id.spec().id));
  }

  bool has_no_effect(std::size_t index) const {
    return std::ranges::find(uncertainty_.without_effect, index) != uncertainty_.without_effect.end();
  }

  /// The sentence with the state of the data that its parameters feed on.
  void say(std::string sentence, const std::vector<std::size_t>& members) {
    std::vector<std::string> reasons;
    for (const std::size_t index : members) {
      std::string reason = reason_of(index);
      if (!reason.empty() && std::ranges::find(reasons, reason) == reasons.end()) reasons.push_back(std::move(reason));
    }
    sentences_.push_back(reasons.empty() ? std::move(sentence) : fmt::format("{}: {}", sentence, fmt::join(reasons, "; ")));
  }

  const PreparedStudy& study_;
  const opt::Problem& problem_;
  const opt::Uncertainty& uncertainty_;
  params::CalibratedDomain domain_;
  std::vector<std::string> sentences_;
};

}  // namespace

std::vector<std::string> explain_uncertainty(const PreparedStudy& study, const opt::Problem& problem,
                                             const opt::Uncertainty& uncertainty, std::span<const double> prior_shares) {
  Explainer explainer(study, problem, uncertainty);
  explainer.directions();
  explainer.correlations();
  explainer.priors(prior_shares);
  return explainer.take();
}

}  // namespace rooftune::calibrate
