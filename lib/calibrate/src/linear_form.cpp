#include "rooftune/calibrate/linear_form.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "rooftune/latency/catalogue.hpp"
#include "rooftune/sim/front_end.hpp"

namespace rooftune::calibrate {
namespace {

/// A batch and the step time that the config gives it.
struct TimedBatch {
  std::int64_t prefill_tokens = 0;
  std::int64_t decodes = 0;
  std::int64_t context_tokens = 0;  ///< of each decode
  double duration_us = 0.0;
};

struct Span {
  double lowest = 0.0;
  double highest = 0.0;
};

Span range_of(const params::CalibratedDomain& domain, const std::string& name, Span otherwise) {
  const auto found = domain.ranges.find(name);
  return found == domain.ranges.end() ? otherwise : Span{found->second.lowest, found->second.highest};
}

/// Prompts of one step: whole ones of the longest length, and the rest.
std::vector<latency::PrefillChunk> chunks_of(std::int64_t tokens, std::int64_t longest) {
  std::vector<latency::PrefillChunk> chunks;
  for (; tokens > 0; tokens -= longest) chunks.push_back({.context_tokens = 0, .new_tokens = std::min(tokens, longest)});
  return chunks;
}

std::vector<TimedBatch> time_batches(const eval::Case& item, const params::Config& config) {
  const domain::Deployment& deployment = item.experiment.deployment;
  const params::Resolved<double> parameters = params::resolve(config, deployment, item.gpu);
  const auto step_time = latency::make_step_time<double>(
      config.step_time_model, {.model = item.model, .gpu = item.gpu, .deployment = deployment, .tables = item.tables.get()},
      parameters);
  const Span prompts = range_of(config.domain, "prompt_tokens", {128, 2048});
  const Span outputs = range_of(config.domain, "output_tokens", {1, 512});
  const Span concurrency = range_of(config.domain, "concurrency", {1, 64});
  const auto longest = static_cast<std::int64_t>(prompts.highest);
  const auto budget = static_cast<std::int64_t>(deployment.settings.max_num_batched_tokens);
  std::vector<std::int64_t> decode_counts{0};
  for (std::int64_t decodes = 1; static_cast<double>(decodes) < concurrency.highest; decodes *= 2) decode_counts.push_back(decodes);
  decode_counts.push_back(static_cast<std::int64_t>(std::ceil(concurrency.highest)));
  std::vector<std::int64_t> prefill_counts{0, 16, 128, static_cast<std::int64_t>(prompts.lowest), longest, budget / 2, budget};
  std::ranges::sort(prefill_counts);
  prefill_counts.erase(std::unique(prefill_counts.begin(), prefill_counts.end()), prefill_counts.end());
  const auto shortest_context = static_cast<std::int64_t>(prompts.lowest);
  const auto longest_context = static_cast<std::int64_t>(prompts.highest + outputs.highest);
  std::vector<TimedBatch> batches;
  for (const std::int64_t prefill_tokens : prefill_counts) {
    const auto chunks = chunks_of(prefill_tokens, longest);
    for (const std::int64_t decodes : decode_counts) {
      if (prefill_tokens + decodes == 0 || prefill_tokens + decodes > budget + decode_counts.back()) continue;
      for (const std::int64_t context : {shortest_context, (shortest_context + longest_context) / 2, longest_context}) {
        const std::vector<std::int64_t> contexts(static_cast<std::size_t>(decodes), context);
        const latency::Batch batch{.prefills = chunks,
                                   .decode_requests = decodes,
                                   .decode_context_tokens = decodes * context,
                                   .decode_max_context_tokens = decodes > 0 ? context : 0,
                                   .decode_contexts = contexts};
        batches.push_back({prefill_tokens, decodes, context, step_time->piece(batch).duration_us});
        if (decodes == 0) break;  // no context to vary
      }
    }
  }
  return batches;
}

using Equation = std::array<double, 4>;  ///< three coefficients and the right-hand side

/// Gaussian elimination with the largest pivot. The batches vary in P and D, so the system has full rank.
std::array<double, 3> solve(std::array<Equation, 3> system) {
  for (std::size_t column = 0; column < 3; ++column) {
    const auto pivot =
        std::max_element(system.begin() + static_cast<std::ptrdiff_t>(column), system.end(),
                         [&](const Equation& a, const Equation& b) { return std::abs(a[column]) < std::abs(b[column]); });
    std::iter_swap(system.begin() + static_cast<std::ptrdiff_t>(column), pivot);
    for (std::size_t row = 0; row < 3; ++row) {
      if (row == column) continue;
      const double factor = system[row][column] / system[column][column];
      for (std::size_t k = column; k < 4; ++k) system[row][k] -= factor * system[column][k];
    }
  }
  return {system[0][3] / system[0][0], system[1][3] / system[1][1], system[2][3] / system[2][2]};
}

std::array<double, 3> terms_of(const TimedBatch& batch) {
  return {1.0, static_cast<double>(batch.prefill_tokens), static_cast<double>(batch.decodes)};
}

}  // namespace

LinearForm fit_linear_form(const eval::Case& item, const params::Config& config) {
  const std::vector<TimedBatch> batches = time_batches(item, config);
  std::array<Equation, 3> normal{};
  for (const TimedBatch& batch : batches) {
    const auto terms = terms_of(batch);
    const double weight = 1.0 / (batch.duration_us * batch.duration_us);
    for (std::size_t row = 0; row < 3; ++row) {
      for (std::size_t column = 0; column < 3; ++column) normal[row][column] += weight * terms[row] * terms[column];
      normal[row][3] += weight * terms[row] * batch.duration_us;
    }
  }
  LinearForm form;
  form.step_us = solve(normal);
  form.batches = static_cast<int>(batches.size());
  for (const TimedBatch& batch : batches) {
    const auto terms = terms_of(batch);
    const double linear_us = form.step_us[0] * terms[0] + form.step_us[1] * terms[1] + form.step_us[2] * terms[2];
    const double error_percent = 100.0 * (linear_us / batch.duration_us - 1.0);
    form.mean_error_percent += std::abs(error_percent) / static_cast<double>(batches.size());
    if (std::abs(error_percent) < std::abs(form.worst_error_percent) && !form.worst_batch.empty()) continue;
    form.worst_error_percent = error_percent;
    form.worst_batch = fmt::format("{} decodes of {} tokens, {} prefill tokens", batch.decodes,
                                   batch.decodes > 0 ? batch.context_tokens : 0, batch.prefill_tokens);
  }
  const params::Resolved<double> parameters = params::resolve(config, item.experiment.deployment, item.gpu);
  const sim::FrontEnd<double> front_end = sim::front_end_of(parameters);
  form.delay_us = {front_end.constant_us, front_end.per_prompt_token_us, front_end.per_output_token_us};
  return form;
}

}  // namespace rooftune::calibrate
