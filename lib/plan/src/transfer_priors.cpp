#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>

#include "onboarder.hpp"
#include "rooftune/calibrate/posterior.hpp"
#include "rooftune/core/statistics.hpp"
#include "rooftune/plan/transfer_widths.hpp"

namespace rooftune::plan {
namespace {

const std::string kExponent = "physics.pnorm";

/// No ratio is known better than this.
constexpr double kLeastSpread = 0.1;

/// Overheads that are part kernel and part host, launch and gaps, which no kernel table measures: half of the ratio is believed,
/// and the other half is doubt.
constexpr double kKernelPart = 0.5;

/// Per-layer overhead: mostly small kernel calls and the gaps between them.
const std::set<std::string> kLayerOverheads{"physics.t_layer_us", "roofline_mfu.t_layer_us"};
/// Sampling kernels stream the logits of every sequence. What a step's sampling takes whatever its sequences streams nothing: the
/// passes over one vocabulary wait for each other, and bandwidth does not hurry them.
const std::set<std::string> kStreamedOverheads{"physics.sampler_seq_us_per_kilotoken"};

const kernels::KernelSummary* find(const std::vector<kernels::KernelSummary>& summaries, std::string_view gpu) {
  return kernels::find_summary(summaries, gpu);
}

/// Value on one GPU over value on another.
std::optional<double> ratio_of(const std::string& id, const kernels::KernelSummary& gpu, const kernels::KernelSummary& reference) {
  const auto value = gpu.values.find(id);
  const auto reference_value = reference.values.find(id);
  if (value == gpu.values.end() || reference_value == reference.values.end()) return std::nullopt;
  return value->second / reference_value->second;
}

/// What is believed of a parameter that no kernel table knows.
double host_spread(std::string_view id, const calibrate::OnboardSpec& spec) {
  const auto width = transfer_width(id);
  if (!width) return spec.spread;
  return spec.gpu == spec.reference ? width->version : width->gpu;
}

/// What other GPUs' tables let expect of a new one: the logarithm of its ratio to the reference. Empty where none knows the
/// parameter, on the reference GPU itself, and for the exponent, which is the curve's form and one for all GPUs.
struct RatioOfOthers {
  double log_ratio = 0.0;
  double deviation = 0.0;
};
std::optional<RatioOfOthers> expected_of_others(const std::string& id, const std::vector<kernels::KernelSummary>& summaries,
                                                const calibrate::OnboardSpec& spec) {
  const kernels::KernelSummary* reference = find(summaries, spec.reference);
  if (reference == nullptr || spec.gpu == spec.reference || id == kExponent) return std::nullopt;
  std::vector<double> logarithms;
  for (const kernels::KernelSummary& other : summaries) {
    if (other.gpu == spec.gpu || other.gpu == spec.reference) continue;
    if (const auto ratio = ratio_of(id, other, *reference)) logarithms.push_back(std::log(*ratio));
  }
  if (logarithms.empty()) return std::nullopt;
  const auto count = static_cast<double>(logarithms.size());
  const double mean = core::mean(logarithms);
  // Another draw from where these came from; of one alone nobody knows how far the next lies.
  const double deviation =
      logarithms.size() == 1 ? std::abs(mean) : core::standard_deviation(logarithms) * std::sqrt(1.0 + 1.0 / count);
  return RatioOfOthers{.log_ratio = mean, .deviation = std::max(kLeastSpread, deviation)};
}

GpuPrior inherited(const params::Config& config, const params::FreeParameter& known, const calibrate::OnboardSpec& spec) {
  GpuPrior prior;
  prior.parameter = known;
  prior.parameter.where = {.model = {}, .gpu = spec.gpu, .tp = {}};
  const double value = std::clamp(params::current_value(config, known), known.lower, known.upper);
  prior.parameter.initial = value;
  prior.parameter.initial_is_given = true;
  prior.parameter.prior = params::Prior{.centre = value, .standard_deviation = host_spread(known.id.spec().id, spec)};
  prior.basis = fmt::format("{}'s", spec.reference);
  return prior;
}

void scale(GpuPrior& prior, double ratio, double deviation, params::ValueSource source, std::string basis) {
  params::FreeParameter& parameter = prior.parameter;
  const double value = std::clamp(parameter.initial * ratio, parameter.lower, parameter.upper);
  parameter.initial = value;
  parameter.prior = params::Prior{.centre = value, .standard_deviation = deviation};
  prior.source = source;
  prior.basis += fmt::format(", {:.3g} times by {}", ratio, basis);
}

double joined(double a, double b) { return std::sqrt(a * a + b * b); }

std::vector<params::FreeParameter> shared_parameters(const params::Config& config, const std::string& reference) {
  std::vector<params::FreeParameter> shared;
  for (const params::FreeParameter& parameter : calibrate::free_parameters(config, *config.uncertainty)) {
    if (is_shared(parameter.where, reference)) shared.push_back(parameter);
  }
  return shared;
}

std::vector<GpuPrior> inherited_priors(const params::Config& reference_config, const calibrate::OnboardSpec& spec) {
  std::vector<GpuPrior> priors;
  for (const params::FreeParameter& known : shared_parameters(reference_config, spec.reference)) {
    priors.push_back(inherited(reference_config, known, spec));
  }
  return priors;
}

using SharesByRelease = std::map<domain::Release, std::map<std::string, double>>;

/// Tables of the release that is nearest by minor number; the earlier of two.
SharesByRelease::const_iterator nearest(const SharesByRelease& tables, domain::Release release) {
  return std::ranges::min_element(tables, {}, [&](const auto& entry) {
    constexpr int kMinors = 1000;
    return std::abs((entry.first.major - release.major) * kMinors + entry.first.minor - release.minor);
  });
}

}  // namespace

bool is_exponent(const params::FreeParameter& parameter) { return parameter.id.spec().id == kExponent; }

bool is_shared(const params::DeploymentFilter& where, const std::string& reference) {
  return where.matches_everything() || where == params::DeploymentFilter{.model = {}, .gpu = reference, .tp = {}};
}

std::vector<GpuPrior> datasheet_priors(const params::Config& reference_config, const calibrate::OnboardSpec& spec,
                                       const std::vector<kernels::KernelSummary>& summaries) {
  std::vector<GpuPrior> priors = inherited_priors(reference_config, spec);
  for (GpuPrior& prior : priors) {
    const auto expected = expected_of_others(std::string(prior.parameter.id.spec().id), summaries, spec);
    if (expected)
      scale(prior, std::exp(expected->log_ratio), expected->deviation, params::ValueSource::inherited,
            "what other GPUs' tables come to");
  }
  return priors;
}

std::vector<GpuPrior> kernel_priors(const params::Config& reference_config, const calibrate::OnboardSpec& spec,
                                    const std::vector<kernels::KernelSummary>& summaries, const domain::GpuSpec& gpu,
                                    const domain::GpuSpec& reference) {
  const kernels::KernelSummary& own = *find(summaries, gpu.name);
  const kernels::KernelSummary& theirs = *find(summaries, reference.name);
  std::vector<GpuPrior> priors = inherited_priors(reference_config, spec);
  const auto scale_part = [&](GpuPrior& prior, const std::string& id, double ratio, const std::string& basis) {
    const double doubt = (1.0 - kKernelPart) * std::log(ratio);
    scale(prior, std::pow(ratio, kKernelPart), joined(host_spread(id, spec), doubt), params::ValueSource::kernel_table, basis);
  };
  for (GpuPrior& prior : priors) {
    const std::string id(prior.parameter.id.spec().id);
    if (const auto ratio = ratio_of(id, own, theirs); ratio && id != kExponent) {
      scale(prior, *ratio, host_spread(id, spec), params::ValueSource::kernel_table, "kernel tables");
    } else if (kLayerOverheads.contains(id) && own.layer_calls_us && theirs.layer_calls_us) {
      scale_part(prior, id, *own.layer_calls_us / *theirs.layer_calls_us, "half the ratio of a layer's kernel calls");
    } else if (kStreamedOverheads.contains(id)) {
      scale_part(prior, id, reference.hbm_bandwidth.value / gpu.hbm_bandwidth.value, "half the ratio of bandwidths");
    }
  }
  return priors;
}

std::optional<std::vector<GpuPrior>> release_priors(const params::Config& reference_config, const calibrate::OnboardSpec& spec,
                                                    const std::vector<kernels::KernelSummary>& summaries, domain::Release from,
                                                    domain::Release to) {
  const kernels::KernelSummary* own = find(summaries, spec.gpu);
  if (own == nullptr || own->by_release.empty()) return std::nullopt;
  const auto before = nearest(own->by_release, from);
  const auto after = nearest(own->by_release, to);
  if (before == after) return std::nullopt;
  std::vector<GpuPrior> priors = inherited_priors(reference_config, spec);
  for (GpuPrior& prior : priors) {
    const std::string id(prior.parameter.id.spec().id);
    const auto theirs = before->second.find(id);
    const auto share = after->second.find(id);
    if (theirs == before->second.end() || share == after->second.end()) continue;
    scale(prior, share->second / theirs->second, host_spread(id, spec), params::ValueSource::kernel_table,
          fmt::format("kernel tables of {} and {}", domain::release_text(before->first), domain::release_text(after->first)));
  }
  return priors;
}

}  // namespace rooftune::plan
