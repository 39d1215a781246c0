#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "graph_plan.hpp"
#include "linear_sum.hpp"
#include "prefill_sums.hpp"
#include "remembered.hpp"
#include "rooftune/core/derivative.hpp"
#include "rooftune/latency/operators.hpp"
#include "rooftune/latency/step_time.hpp"
#include "rooftune/params/term.hpp"

namespace rooftune::latency {

/// The coefficient is neither 0 nor anything that a derivative is asked of.
inline bool takes_part(double coefficient) { return coefficient != 0.0; }
template <int N>
bool takes_part(const core::Dual<N>& coefficient) {
  return coefficient.a != 0.0 || !coefficient.v.isZero(0.0);
}

/// The terms that take part with these values.
template <class Scalar>
std::vector<params::ParameterId> terms_of(const params::Resolved<Scalar>& parameters) {
  std::vector<params::ParameterId> ids = params::declared_terms();
  std::erase_if(ids, [&](params::ParameterId id) { return !takes_part(parameters[id]); });
  // Sums must not depend on the order in which a process came to know them.
  std::ranges::sort(ids, {}, [](params::ParameterId id) { return id.spec().id; });
  return ids;
}

/// What expressions may read: facts of the deployment, and the sums of a batch.
class TermQuantities {
 public:
  /// `pads`: whether anything reads the size of the CUDA graph.
  TermQuantities(const Target& target, bool pads) {
    const Operators operators = operators_of(target.model, target.deployment);
    using enum params::Quantity;
    set(layers, target.model.layers());
    set(moe_layers, target.model.moe_layers());
    set(hidden_size, target.model.hidden);
    set(vocabulary, target.model.vocabulary);
    double kv_bytes = 0.0;
    for (const Attention& attention : operators.attentions) {
      for (const ContextRead& read : attention.reads) kv_bytes += attention.count * read.bytes / read.tokens_per_entry;
    }
    if (!operators.attentions.empty()) {
      set(heads, operators.attentions.front().heads);
      set(kv_heads, operators.attentions.front().kv_heads);
      set(head_dim, operators.attentions.front().head_dim);
    }
    if (!operators.experts.empty()) {
      set(experts, operators.experts.front().experts);
      set(experts_per_token, operators.experts.front().per_token);
    }
    double flops = 0.0;
    for (const Gemm& gemm : operators.gemms) {
      if (gemm.rows == Rows::tokens) flops += 2.0 * gemm.count * gemm.elements();
    }
    for (const ExpertLayer& layer : operators.experts) {
      flops += 2.0 * layer.count * layer.elements() * static_cast<double>(layer.per_token) / (layer.tp * layer.ep);
    }
    set(sorts_vocabulary, operators.sampler.truncates ? 1.0 : 0.0);
    set(tp, target.deployment.tp);
    set(pp, target.deployment.pp);
    set(weight_bytes, weight_bytes_of_one_gpu(target.model, target.deployment));
    set(kv_bytes_per_token, kv_bytes);
    set(activation_bytes_per_token, target.model.hidden * target.model.activation_bytes);
    set(flops_per_token, flops);
    set(bandwidth_bytes_per_us, target.gpu.hbm_bandwidth.value * 1e6);
    set(link_bytes_per_us, target.gpu.link_bandwidth.value * 1e3);
    set(peak_flops_per_us, target.gpu.peak_bf16.value * 1e6);
    if (pads && !target.deployment.settings.cudagraph_mode.empty()) graphs_.emplace(target.deployment);
  }

  /// Those of the last batch; facts of the deployment hold for all.
  [[nodiscard]] const params::QuantityValues& values() const { return values_; }

  [[nodiscard]] const params::QuantityValues& of(const Batch& batch) {
    const PrefillSums sums = prefill_sums(batch.prefills);
    const std::int64_t tokens = batch.decode_requests + sums.tokens;
    using enum params::Quantity;
    set(decodes, batch.decode_requests);
    set(prefills, batch.prefills.size());
    set(prefill_tokens, sums.tokens);
    set(context_tokens, batch.decode_context_tokens);
    set(prefill_context_tokens, sums.context_tokens);
    set(prefill_pairs, sums.attention_pairs);
    set(graph_tokens, graphs_ ? graphs_->padded(tokens) : tokens);
    return values_;
  }

 private:
  template <class Number>
  void set(params::Quantity quantity, Number value) {
    values_[static_cast<std::size_t>(quantity)] = static_cast<double>(value);
  }

  params::QuantityValues values_{};
  std::optional<GraphPlan> graphs_;
};

/// A step-time model with the terms of a study or config on top: each adds its coefficient times its expression. Expressions are
/// linear in the context (params/term.hpp), so a piece stays one. Those that are straight lines in all sums of the batch are one line
/// together, however many there are. The others are evaluated: while a batch only decodes, what does not read the context depends on the
/// number of decodes alone and is remembered.
template <class Scalar>
class TermStepTime final : public StepTime<Scalar> {
 public:
  TermStepTime(std::unique_ptr<StepTime<Scalar>> inner, const Target& target, const params::Resolved<Scalar>& parameters,
               const std::vector<params::ParameterId>& terms)
      : inner_(std::move(inner)),
        terms_(own_terms(parameters, terms)),
        quantities_(target,
                    std::ranges::any_of(terms_, [](const Own& term) { return term.formula.reads(params::Quantity::graph_tokens); })) {
    for (Own& term : terms_) {
      adds_time_ = adds_time_ || core::value_of(term.coefficient) != 0.0;
      if (const auto line = params::linear_form(term.written, quantities_.values())) {
        constant_us_ += line->constant * term.coefficient;
        for (std::size_t i = 0; i < line_us_.size(); ++i) line_us_[i] += line->factors[i] * term.coefficient;
      } else {
        (term.formula.reads(params::Quantity::context_tokens) ? with_context_ : steady_).push_back(&term);
      }
    }
    has_line_ = takes_part(constant_us_) || std::ranges::any_of(line_us_, [](const Scalar& us) { return takes_part(us); });
    has_steady_ = !steady_.empty() || takes_part(of_line(params::Quantity::graph_tokens));
    bends_ = has_steady_ || !with_context_.empty();
  }

  [[nodiscard]] StepPiece<Scalar> piece(const Batch& batch) override {
    StepPiece<Scalar> piece = inner_->piece(batch);
    if (has_line_) add_line(piece, batch);
    if (bends_) add_bent(piece, batch);
    return piece;
  }

  [[nodiscard]] StepBreakdown breakdown(const Batch& batch) override {
    StepBreakdown result = inner_->breakdown(batch);
    const params::QuantityValues& values = quantities_.of(batch);
    for (Own& term : terms_) {
      const double us = term.formula(values) * core::value_of(term.coefficient);
      result.terms.push_back({.name = term.id, .duration_us = us});
      result.total_us += us;
    }
    return result;
  }

  [[nodiscard]] double duration_us(const Batch& batch) override { return inner_->duration_us(batch) + added_us(batch); }

  [[nodiscard]] double decode_marginal_us(const Batch& batch) override {
    Batch larger = batch;
    ++larger.decode_requests;
    return inner_->decode_marginal_us(batch) + added_us(larger) - added_us(batch);
  }

  [[nodiscard]] bool wants_decode_contexts() const override { return inner_->wants_decode_contexts(); }
  [[nodiscard]] const kernels::LookupReport* lookup_report() const override { return inner_->lookup_report(); }

 private:
  struct Own {
    std::string_view id;
    const params::Term& written;
    Scalar coefficient{0.0};
    params::TermFormula formula;
  };

  static std::vector<Own> own_terms(const params::Resolved<Scalar>& parameters, const std::vector<params::ParameterId>& ids) {
    std::vector<Own> terms;
    for (const params::ParameterId id : ids) {
      const params::Term& written = *params::find_term(id);
      terms.push_back(
          {.id = id.spec().id, .written = written, .coefficient = parameters[id], .formula = params::TermFormula(written)});
    }
    return terms;
  }

  [[nodiscard]] const Scalar& of_line(params::Quantity quantity) const { return line_us_[static_cast<std::size_t>(quantity)]; }
  template <class Number>
  [[nodiscard]] Scaled<Scalar> product(params::Quantity quantity, Number sum) const {
    return {.scalar = of_line(quantity), .factor = static_cast<double>(sum)};
  }

  void add_line(StepPiece<Scalar>& piece, const Batch& batch) const {
    using enum params::Quantity;
    piece.duration_us = linear_sum(piece.duration_us, Scaled<Scalar>{constant_us_, 1.0}, product(decodes, batch.decode_requests),
                                   product(context_tokens, batch.decode_context_tokens));
    piece.slope_us_per_token += of_line(context_tokens);
    if (!batch.prefills.empty()) add_line_of_prefills(piece, batch.prefills);
  }
  [[gnu::noinline]] void add_line_of_prefills(StepPiece<Scalar>& piece, std::span<const PrefillChunk> chunks) const {
    using enum params::Quantity;
    const PrefillSums sums = prefill_sums(chunks);
    piece.duration_us = linear_sum(piece.duration_us, product(prefills, std::ssize(chunks)), product(prefill_tokens, sums.tokens),
                                   product(prefill_context_tokens, sums.context_tokens), product(prefill_pairs, sums.attention_pairs));
  }

  [[gnu::noinline]] void add_bent(StepPiece<Scalar>& piece, const Batch& batch) {
    if (has_steady_) piece.duration_us += steady_us(batch);
    if (!with_context_.empty()) add_with_context(piece, batch);
  }
  void add_with_context(StepPiece<Scalar>& piece, const Batch& batch) {
    const params::QuantityValues& values = quantities_.of(batch);
    for (Own* const term : with_context_) {
      const double times = term->formula(values);
      piece.duration_us += times * term->coefficient;
      piece.slope_us_per_token += slope(*term, values, times) * term->coefficient;
    }
  }

  /// Of a straight line: over a distance that a double holds exactly.
  static double slope(Own& term, params::QuantityValues values, double times) {
    constexpr double kDistance = 1 << 20;
    values[static_cast<std::size_t>(params::Quantity::context_tokens)] += kDistance;
    return (term.formula(values) - times) / kDistance;
  }

  /// What has to be evaluated and does not read the context: the size of CUDA graphs, and terms that bend.
  [[nodiscard]] Scalar steady_us(const Batch& batch) {
    if (!batch.prefills.empty()) return evaluated_us(batch);
    const Scalar* const known = of_decodes_.find(batch.decode_requests);
    return known != nullptr ? *known : of_decodes_.keep(batch.decode_requests, evaluated_us(batch));
  }
  [[nodiscard]] Scalar evaluated_us(const Batch& batch) {
    using enum params::Quantity;
    const params::QuantityValues& values = quantities_.of(batch);
    Scalar sum = of_line(graph_tokens) * values[static_cast<std::size_t>(graph_tokens)];
    for (Own* const term : steady_) sum += term->formula(values) * term->coefficient;
    return sum;
  }

  [[nodiscard]] double added_us(const Batch& batch) {
    if (!adds_time_) return 0.0;
    const params::QuantityValues& values = quantities_.of(batch);
    double us = core::value_of(constant_us_);
    for (std::size_t i = 0; i < line_us_.size(); ++i) us += values[i] * core::value_of(line_us_[i]);
    for (std::vector<Own*>* const bent : {&steady_, &with_context_}) {
      for (Own* const term : *bent) us += term->formula(values) * core::value_of(term->coefficient);
    }
    return us;
  }

  std::unique_ptr<StepTime<Scalar>> inner_;
  std::vector<Own> terms_;
  TermQuantities quantities_;
  bool adds_time_ = false;  ///< a coefficient is not 0: others are there for their derivatives alone
  bool has_line_ = false;
  bool has_steady_ = false;
  bool bends_ = false;                                      ///< something has to be evaluated
  Scalar constant_us_{0.0};                                 ///< of the straight lines, whatever the batch
  std::array<Scalar, params::kBatchQuantities> line_us_{};  ///< of the straight lines, by the sums of a batch
  std::vector<Own*> steady_;                                ///< terms that bend and do not read the context
  std::vector<Own*> with_context_;
  Remembered<Scalar> of_decodes_;  ///< what steps that only decode take of steady_us
};

}  // namespace rooftune::latency
