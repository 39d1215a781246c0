#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/params/registry.hpp"

namespace rooftune::params {

/// The group of the coefficients of terms.
inline constexpr std::string_view kUserGroup = "user";

/// What a term's expression may read, all of it known for a step as a whole: sums over its batch (the first kBatchQuantities), and facts
/// of the deployment.
enum class Quantity : std::size_t {
  decodes,
  prefills,
  prefill_tokens,
  context_tokens,
  prefill_context_tokens,
  prefill_pairs,
  graph_tokens,
  layers,
  moe_layers,
  hidden_size,
  heads,
  kv_heads,
  head_dim,
  vocabulary,
  experts,
  experts_per_token,
  sorts_vocabulary,
  tp,
  pp,
  weight_bytes,
  kv_bytes_per_token,
  activation_bytes_per_token,
  flops_per_token,
  bandwidth_bytes_per_us,
  link_bytes_per_us,
  peak_flops_per_us,
};
inline constexpr std::size_t kQuantities = 26;
inline constexpr std::size_t kBatchQuantities = 7;
using QuantityValues = std::array<double, kQuantities>;

struct QuantitySpec {
  std::string_view name;
  std::string_view unit;  ///< "1", "byte", "flop", "byte/us", "flop/us"
  std::string_view meaning;
};
/// In the order of Quantity.
[[nodiscard]] std::span<const QuantitySpec, kQuantities> quantities();

/// How often the expression counts in a step.
enum class TermScale { per_step, per_layer, per_sequence, per_token };
inline constexpr std::array<core::Word<TermScale>, 4> kTermScales{{
    {"per_step", TermScale::per_step},
    {"per_layer", TermScale::per_layer},
    {"per_sequence", TermScale::per_sequence},
    {"per_token", TermScale::per_token},
}};

/// Time that a step takes beside what its step-time model says: a coefficient times an expression. The coefficient is a parameter of
/// the group `user` whose registry value is 0: a config that does not name it does without.
struct Term {
  std::string name;  ///< of the coefficient, without "user."; "..._us" times a number, "..._factor" times a time
  TermScale scale = TermScale::per_step;
  std::string expression;
  double lower = 0.0;
  double upper = 0.0;
  friend bool operator==(const Term&, const Term&) = default;
};

/// Adds the term to the registry for the rest of the process. An expression that no linear piece can carry, whose unit is not the
/// coefficient's, or that may be negative is an error at its place in the text; so is another term of that name. As `declare`: while
/// no other thread runs.
[[nodiscard]] core::Result<ParameterId> declare_term(const Term& term, const core::SourcePosition& expression = {});

/// Null for parameters that are no term's coefficient.
[[nodiscard]] const Term* find_term(ParameterId id);
/// Those that were declared so far.
[[nodiscard]] std::vector<ParameterId> declared_terms();

/// A term's expression made ready. Remembers its variables' values, so it is not shared between threads.
class TermFormula {
 public:
  explicit TermFormula(const Term& term);
  TermFormula(TermFormula&&) noexcept;
  TermFormula& operator=(TermFormula&&) noexcept;
  ~TermFormula();

  [[nodiscard]] bool reads(Quantity quantity) const { return reads_[static_cast<std::size_t>(quantity)]; }
  /// Formulas with commas between them, as of the last evaluation.
  [[nodiscard]] int results() const;
  /// By how much the coefficient is multiplied; its scale included.
  [[nodiscard]] double operator()(const QuantityValues& values);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
  TermScale scale_;
  std::array<bool, kQuantities> reads_{};
};

/// A straight line in the sums of a batch: constant + factors * sums.
struct LinearForm {
  double constant = 0.0;
  std::array<double, kBatchQuantities> factors{};
};

/// By how much a term's coefficient is multiplied in steps of a deployment, its scale included, where the expression is written as a
/// straight line: sums and products of which no two read the batch, quotients and powers of what it does not change. Nothing elsewhere,
/// even where some function of the batch happens to be straight. The batch's part of `deployment` is not read.
[[nodiscard]] std::optional<LinearForm> linear_form(const Term& term, const QuantityValues& deployment);

}  // namespace rooftune::params
