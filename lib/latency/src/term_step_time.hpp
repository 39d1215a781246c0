#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "graph_plan.hpp"
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
  explicit TermQuantities(const Target& target) {
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
    if (!target.deployment.settings.cudagraph_mode.empty()) graphs_.emplace(target.deployment);
  }

  [[nodiscard]] const params::QuantityValues& of(const Batch& batch) {
    using enum params::Quantity;
    std::int64_t prefill_tokens_sum = 0;
    std::int64_t prefill_context = 0;
    double pairs = 0.0;
    for (const PrefillChunk& chunk : batch.prefills) {
      prefill_tokens_sum += chunk.new_tokens;
      prefill_context += chunk.context_tokens;
      const auto own = static_cast<double>(chunk.new_tokens);
      pairs += own * (static_cast<double>(chunk.context_tokens) + 0.5 * own);
    }
    const std::int64_t tokens = batch.decode_requests + prefill_tokens_sum;
    set(decodes, static_cast<double>(batch.decode_requests));
    set(prefills, static_cast<double>(batch.prefills.size()));
    set(prefill_tokens, static_cast<double>(prefill_tokens_sum));
    set(context_tokens, static_cast<double>(batch.decode_context_tokens));
    set(prefill_context_tokens, static_cast<double>(prefill_context));
    set(prefill_pairs, pairs);
    set(graph_tokens, static_cast<double>(graphs_ ? graphs_->padded(tokens) : tokens));
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
/// linear in the context (params/term.hpp), so a piece stays one. While a batch only decodes, those that do not read the context
/// depend on the number of decodes alone: their sum is remembered. The others are evaluated once per piece.
template <class Scalar>
class TermStepTime final : public StepTime<Scalar> {
 public:
  TermStepTime(std::unique_ptr<StepTime<Scalar>> inner, const Target& target, const params::Resolved<Scalar>& parameters,
               const std::vector<params::ParameterId>& terms)
      : inner_(std::move(inner)), quantities_(target) {
    for (const params::ParameterId id : terms) {
      Own term{.id = id.spec().id, .coefficient = parameters[id], .formula = params::TermFormula(*params::find_term(id))};
      adds_time_ = adds_time_ || core::value_of(term.coefficient) != 0.0;
      (term.formula.reads_context() ? with_context_ : steady_).push_back(std::move(term));
    }
  }

  [[nodiscard]] StepPiece<Scalar> piece(const Batch& batch) override {
    StepPiece<Scalar> piece = inner_->piece(batch);
    if (!steady_.empty()) piece.duration_us += batch.prefills.empty() ? remembered_steady_us(batch) : steady_us(batch);
    if (with_context_.empty()) return piece;
    const params::QuantityValues& values = quantities_.of(batch);
    for (Own& term : with_context_) {
      const double times = term.formula(values);
      piece.duration_us += times * term.coefficient;
      piece.slope_us_per_token += slope(term, values, times) * term.coefficient;
    }
    return piece;
  }

  [[nodiscard]] StepBreakdown breakdown(const Batch& batch) override {
    StepBreakdown result = inner_->breakdown(batch);
    const params::QuantityValues& values = quantities_.of(batch);
    for (std::vector<Own>* const terms : {&steady_, &with_context_}) {
      for (Own& term : *terms) {
        const double us = term.formula(values) * core::value_of(term.coefficient);
        result.terms.push_back({.name = term.id, .duration_us = us});
        result.total_us += us;
      }
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
    Scalar coefficient{0.0};
    params::TermFormula formula;
  };

  /// Of a straight line: over a distance that a double holds exactly.
  static double slope(Own& term, params::QuantityValues values, double times) {
    constexpr double kDistance = 1 << 20;
    values[static_cast<std::size_t>(params::Quantity::context_tokens)] += kDistance;
    return (term.formula(values) - times) / kDistance;
  }

  [[nodiscard]] Scalar steady_us(const Batch& batch) {
    const params::QuantityValues& values = quantities_.of(batch);
    Scalar sum{0.0};
    for (Own& term : steady_) sum += term.formula(values) * term.coefficient;
    return sum;
  }
  [[nodiscard]] const Scalar& remembered_steady_us(const Batch& batch) {
    if (const Scalar* const known = of_decodes_.find(batch.decode_requests)) return *known;
    return of_decodes_.keep(batch.decode_requests, steady_us(batch));
  }

  [[nodiscard]] double added_us(const Batch& batch) {
    if (!adds_time_) return 0.0;
    double sum = core::value_of(batch.prefills.empty() ? remembered_steady_us(batch) : steady_us(batch));
    if (with_context_.empty()) return sum;
    const params::QuantityValues& values = quantities_.of(batch);
    for (Own& term : with_context_) sum += term.formula(values) * core::value_of(term.coefficient);
    return sum;
  }

  std::unique_ptr<StepTime<Scalar>> inner_;
  TermQuantities quantities_;
  std::vector<Own> steady_;  ///< terms that do not read the context
  std::vector<Own> with_context_;
  bool adds_time_ = false;         ///< a coefficient is not 0: others are there for their derivatives alone
  Remembered<Scalar> of_decodes_;  ///< the sum of the steady ones where a batch only decodes
};

}  // namespace rooftune::latency
