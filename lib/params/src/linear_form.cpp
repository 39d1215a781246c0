#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

#include "formula_text.hpp"
#include "rooftune/params/term.hpp"

namespace rooftune::params {
namespace {

bool is_constant(const LinearForm& form) {
  return std::ranges::all_of(form.factors, [](double factor) { return factor == 0.0; });
}

LinearForm constant(double value) { return {.constant = value, .factors = {}}; }

LinearForm sum_of(Quantity quantity) {
  LinearForm form;
  form.factors[static_cast<std::size_t>(quantity)] = 1.0;
  return form;
}

LinearForm scaled(LinearForm form, double by) {
  form.constant *= by;
  for (double& factor : form.factors) factor *= by;
  return form;
}

LinearForm plus(LinearForm a, const LinearForm& b) {
  a.constant += b.constant;
  for (std::size_t i = 0; i < kBatchQuantities; ++i) a.factors[i] += b.factors[i];
  return a;
}

/// Reads formulas as muParser does, as far as they are straight lines. What begins otherwise is left unread, or marked.
class Reader {
 public:
  Reader(std::string_view text, const QuantityValues& deployment) : rest_(text), deployment_(deployment) {}

  [[nodiscard]] std::optional<LinearForm> whole(TermScale scale) {
    LinearForm form = sum();
    switch (scale) {
      case TermScale::per_step: break;
      case TermScale::per_layer: form = scaled(form, deployment_[static_cast<std::size_t>(Quantity::layers)]); break;
      case TermScale::per_sequence: form = times(form, plus(sum_of(Quantity::decodes), sum_of(Quantity::prefills))); break;
      case TermScale::per_token: form = times(form, plus(sum_of(Quantity::decodes), sum_of(Quantity::prefill_tokens))); break;
    }
    skip_blanks();
    const bool is_finite =
        std::isfinite(form.constant) && std::ranges::all_of(form.factors, [](double f) { return std::isfinite(f); });
    if (bends_ || !rest_.empty() || !is_finite) return std::nullopt;
    return form;
  }

 private:
  LinearForm sum() {
    LinearForm total = product();
    while (!bends_) {
      if (take('+')) {
        total = plus(total, product());
      } else if (take('-')) {
        total = plus(total, scaled(product(), -1.0));
      } else {
        break;
      }
    }
    return total;
  }

  LinearForm product() {
    LinearForm form = factor();
    while (!bends_) {
      if (take('*')) {
        form = times(form, factor());
      } else if (take('/')) {
        const LinearForm divisor = factor();
        form = is_constant(divisor) ? scaled(form, 1.0 / divisor.constant) : bend();
      } else {
        break;
      }
    }
    return form;
  }

  LinearForm times(const LinearForm& a, const LinearForm& b) {
    if (is_constant(b)) return scaled(a, b.constant);
    return is_constant(a) ? scaled(b, a.constant) : bend();
  }

  /// Which of a sign and a power, or of two powers, binds more tightly is left to muParser.
  LinearForm factor() {
    const bool is_negative = take('-');
    LinearForm form = primary();
    if (take('^')) {
      const LinearForm exponent = primary();
      const bool is_plain = !is_negative && is_constant(form) && is_constant(exponent) && !take('^');
      form = is_plain ? constant(std::pow(form.constant, exponent.constant)) : bend();
    }
    return is_negative ? scaled(form, -1.0) : form;
  }

  LinearForm primary() {
    if (take('(')) {
      const LinearForm form = sum();
      return take(')') ? form : bend();
    }
    double number = 0.0;
    const auto read = std::from_chars(rest_.data(), rest_.data() + rest_.size(), number);
    if (read.ec == std::errc{} && !rest_.starts_with('-')) {
      rest_.remove_prefix(static_cast<std::size_t>(read.ptr - rest_.data()));
      return constant(number);
    }
    const std::string_view name = rest_.substr(0, std::min(rest_.find_first_not_of(kNameCharacters), rest_.size()));
    const auto known = std::ranges::find(quantities(), name, &QuantitySpec::name);
    if (known == quantities().end()) return bend();
    rest_.remove_prefix(name.size());
    const auto index = static_cast<std::size_t>(known - quantities().begin());
    return index < kBatchQuantities ? sum_of(static_cast<Quantity>(index)) : constant(deployment_[index]);
  }

  LinearForm bend() {
    bends_ = true;
    return {};
  }

  void skip_blanks() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size())); }
  bool take(char wanted) {
    skip_blanks();
    if (!rest_.starts_with(wanted)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  std::string_view rest_;
  const QuantityValues& deployment_;
  bool bends_ = false;  ///< something was no straight line, or is not read here
};

}  // namespace

std::optional<LinearForm> linear_form(const Term& term, const QuantityValues& deployment) {
  return Reader(term.expression, deployment).whole(term.scale);
}

}  // namespace rooftune::params
