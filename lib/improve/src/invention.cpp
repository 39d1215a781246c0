#include "invention.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "rooftune/core/statistics.hpp"
#include "rooftune/params/term.hpp"
#include "score_test.hpp"

namespace rooftune::improve {
namespace {

/// One of about a hundred hypotheses that are tested at once.
constexpr double kReportedTerm = 4.0;
constexpr std::size_t kReportedTerms = 3;
/// Two terms whose residuals differ by less than this share of their length say the same: the stronger stands for both.
constexpr double kSameDirection = 0.98;
/// What a term may add to a step at most: bounds of its coefficient come from it.
constexpr double kMostAdded_us = 50000.0;
/// The prior holds the coefficient at nothing, as wide as so many times what the score test makes of it.
constexpr double kPriorWidth = 3.0;

/// A factor of the grammar: of the batch, or of the deployment.
struct Factor {
  std::string_view label;       ///< in the name of the coefficient
  std::string_view expression;  ///< empty: none
  std::string_view words;
};

constexpr std::array kBatch{
    Factor{"step", "", "every step"},
    Factor{"decode", "decodes", "decodes"},
    Factor{"prefill", "prefills", "requests that prefill"},
    Factor{"sequence", "(decodes + prefills)", "sequences"},
    Factor{"prefill_token", "prefill_tokens", "prefill tokens"},
    Factor{"token", "(decodes + prefill_tokens)", "tokens"},
    Factor{"context_token", "context_tokens", "tokens of context"},
    Factor{"prefill_pair", "prefill_pairs", "pairs of prefill attention"},
    Factor{"mixed_step", "(prefill_tokens > 0)", "steps that prefill"},
    Factor{"padding", "(graph_tokens - decodes - prefill_tokens)", "tokens that pad a step to its CUDA graph"},
    Factor{"over_8", "(decodes + prefill_tokens > 8)", "steps of more than 8 tokens"},
    Factor{"over_64", "(decodes + prefill_tokens > 64)", "steps of more than 64 tokens"},
    Factor{"over_256", "(decodes + prefill_tokens > 256)", "steps of more than 256 tokens"},
};

constexpr std::array kProperties{
    Factor{"", "", ""},
    Factor{"layer", "layers", "layers"},
    Factor{"layer2", "layers^2", "the square of layers"},
    Factor{"hidden", "hidden_size", "hidden size"},
    Factor{"layer_hidden", "layers * hidden_size", "layers and hidden size"},
    Factor{"vocabulary", "vocabulary", "vocabulary"},
    Factor{"layer_rank", "layers * (tp - 1)", "layers and further ranks"},
};

/// What such a cost mostly is.
std::string_view looks_like(const Factor& batch, const Factor& property) {
  const bool per_layer = property.label.starts_with("layer");
  if (property.label == "layer_rank") return "a wait for other ranks";
  if (property.label == "vocabulary") return "the sampler or the LM head";
  if (batch.label == "padding") return "work that a CUDA graph does for nothing";
  if (batch.label == "context_token") return "reads of the KV cache";
  if (batch.label == "prefill_pair") return "prefill attention";
  if (batch.label.starts_with("over_")) return "another kernel, or no CUDA graph, beyond that size";
  if (batch.label == "mixed_step") return "launches outside of a CUDA graph";
  if (batch.label == "step") return per_layer ? "launches and gaps between a layer's kernels" : "the scheduler";
  if (property.label == "hidden" || property.label == "layer_hidden") return "activations that are moved about";
  if (per_layer) return "a launch per layer and request";
  return "host work per request or token";
}

struct Invention {
  const Factor* batch = nullptr;
  const Factor* property = nullptr;
  params::ParameterId id;
};

std::string name_of(const Factor& batch, const Factor& property) {
  return fmt::format("per_{}{}{}_us", batch.label, property.label.empty() ? "" : "_", property.label);
}

std::string expression_of(const Factor& batch, const Factor& property) {
  if (batch.expression.empty() && property.expression.empty()) return "1";
  if (batch.expression.empty() || property.expression.empty()) return fmt::format("{}{}", batch.expression, property.expression);
  return fmt::format("{} * {}", batch.expression, property.expression);
}

/// A step of much of everything: what a coefficient may be at most is measured by it.
params::QuantityValues busy_step() {
  params::QuantityValues values{};
  values.fill(1.0);
  const auto set = [&](params::Quantity quantity, double value) { values[static_cast<std::size_t>(quantity)] = value; };
  using enum params::Quantity;
  set(decodes, 64.0);
  set(prefills, 4.0);
  set(prefill_tokens, 512.0);
  set(context_tokens, 64.0 * 512.0);
  set(prefill_pairs, 512.0 * 512.0);
  set(graph_tokens, 600.0);
  set(layers, 32.0);
  set(hidden_size, 4096.0);
  set(vocabulary, 32000.0);
  set(tp, 2.0);
  return values;
}

/// All terms of the grammar; the first call declares them (declare_grammar).
const std::vector<Invention>& grammar() {
  static const std::vector<Invention> all = [] {
    std::vector<Invention> inventions;
    for (const Factor& batch : kBatch) {
      for (const Factor& property : kProperties) {
        params::Term term{.name = name_of(batch, property), .expression = expression_of(batch, property), .lower = 0.0, .upper = 1.0};
        term.upper = kMostAdded_us / std::max(1.0, params::TermFormula(term)(busy_step()));
        const auto id = params::declare_term(term);
        // A study may have a term of that name already.
        if (id) inventions.push_back({.batch = &batch, .property = &property, .id = *id});
      }
    }
    return inventions;
  }();
  return all;
}

std::string sentence(const Invention& invention, const Score& score) {
  const std::string grows = invention.property->words.empty()
                                ? fmt::format("with {}", invention.batch->words)
                                : fmt::format("with {} and {}", invention.property->words, invention.batch->words);
  return fmt::format("a cost that grows {}, {:.2g} us each, would explain {:.0f} % of what the fit leaves: looks like {}", grows,
                     score.coefficient, 100.0 * score.explained_fraction, looks_like(*invention.batch, *invention.property));
}

}  // namespace

params::FreeParameter invented_coefficient(params::ParameterId id, double estimate) {
  params::FreeParameter coefficient = params::make_free(id);
  coefficient.initial = std::clamp(estimate, coefficient.lower, coefficient.upper);
  coefficient.initial_is_given = true;
  coefficient.prior = params::Prior{.centre = 0.0, .standard_deviation = kPriorWidth * std::max(coefficient.initial, 1e-12)};
  return coefficient;
}

void declare_grammar() { static_cast<void>(grammar()); }

void find_missing_terms(Diagnosis& diagnosis, const calibrate::PreparedStudy& study, const ImproveRuns& runs,
                        const params::Config& tuned) {
  if (study.spec.simulator) return;
  const eval::Dataset training = study.dataset.subset(runs.training);
  std::vector<params::FreeParameter> all = study.spec.free;
  std::vector<const Invention*> tested;
  for (const Invention& invention : grammar()) {
    if (std::ranges::any_of(study.spec.free, [&](const auto& parameter) { return parameter.id == invention.id; })) continue;
    all.push_back(params::make_free(invention.id));
    tested.push_back(&invention);
  }
  const auto linear = linearise(study, training, tuned, all);
  if (!linear) return;
  Complement complement;
  const std::size_t free = study.spec.free.size();
  for (std::size_t i = 0; i < free; ++i) complement.take_out(linear->column(i));
  const Column left_over = complement.of(linear->residuals.values);

  struct Found {
    const Invention* invention;
    Score score;
    Column direction;  ///< what it does that nothing free does, of length one
  };
  std::vector<Found> found;
  for (std::size_t i = 0; i < tested.size(); ++i) {
    const Score score = score_test(complement, left_over, linear->column(free + i));
    // A term only adds time: what would have to be taken away is no term that is missing.
    if (score.t < kReportedTerm || score.coefficient <= 0.0) continue;
    Column own = complement.of(linear->column(free + i));
    const double length = std::sqrt(dot(own, own));
    for (double& value : own) value /= length;
    found.push_back({.invention = tested[i], .score = score, .direction = std::move(own)});
  }
  std::ranges::stable_sort(found, [](const Found& a, const Found& b) { return a.score.t > b.score.t; });
  std::vector<const Found*> reported;
  for (const Found& one : found) {
    const auto is_same = [&](const Found* other) { return std::abs(dot(one.direction, other->direction)) > kSameDirection; };
    if (reported.size() == kReportedTerms || std::ranges::any_of(reported, is_same)) continue;
    reported.push_back(&one);
    diagnosis.findings.push_back({.kind = FindingKind::missing_term,
                                  .metric = {},
                                  .factor = std::string(one.invention->batch->words),
                                  .level = std::string(one.invention->property->words),
                                  .parameter = std::string(one.invention->id.spec().id),
                                  .effect = one.score.coefficient,
                                  .strength = one.score.t,
                                  .text = sentence(*one.invention, one.score)});
  }
}

}  // namespace rooftune::improve
