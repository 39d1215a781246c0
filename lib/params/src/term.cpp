#include "rooftune/params/term.hpp"

#include <fmt/format.h>
#include <muParser.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <random>

#include "formula_text.hpp"
#include "rooftune/params/declared.hpp"

namespace rooftune::params {
namespace {

constexpr std::array<QuantitySpec, kQuantities> kSpecs{{
    {"decodes", "1", "requests that decode in the step"},
    {"prefills", "1", "requests that compute part of their prompt"},
    {"prefill_tokens", "1", "prompt tokens that the step computes"},
    {"context_tokens", "1", "tokens in the KV cache of the decoding requests together; linear only"},
    {"prefill_context_tokens", "1", "tokens in the KV cache of the requests that prefill"},
    {"prefill_pairs", "1", "pairs of a query and a key that prefill attention computes (causal)"},
    {"graph_tokens", "1", "tokens of the step, rounded up to the captured size of the CUDA graph that holds them"},
    {"layers", "1", "layers of the model"},
    {"moe_layers", "1", "layers with routed experts"},
    {"hidden_size", "1", "hidden size of the model"},
    {"heads", "1", "query heads of one GPU"},
    {"kv_heads", "1", "KV heads of one GPU"},
    {"head_dim", "1", "size of a head"},
    {"vocabulary", "1", "entries of the vocabulary"},
    {"experts", "1", "routed experts of a layer"},
    {"experts_per_token", "1", "of them for each token"},
    {"sorts_vocabulary", "1", "1 where the model asks for top-p or top-k by default, else 0"},
    {"tp", "1", "tensor parallelism"},
    {"pp", "1", "pipeline stages"},
    {"weight_bytes", "byte", "weights that one GPU holds"},
    {"kv_bytes_per_token", "byte", "of the KV cache, on one GPU"},
    {"activation_bytes_per_token", "byte", "of one token between two layers"},
    {"flops_per_token", "flop", "of matrix products for one token, on one GPU"},
    {"bandwidth_bytes_per_us", "byte/us", "memory bandwidth of one GPU, data sheet"},
    {"link_bytes_per_us", "byte/us", "GPU-to-GPU link in one direction, data sheet"},
    {"peak_flops_per_us", "flop/us", "dense bf16 peak of one GPU, data sheet"},
}};

constexpr std::string_view kSuffixes = "'_us' (times a number) or '_factor' (times a time)";

std::size_t index_of(Quantity quantity) { return static_cast<std::size_t>(quantity); }

/// What a quantity of this unit is multiplied by when a microsecond, a byte and a FLOP are counted in units of their own.
struct UnitScale {
  double us = 1.0;
  double byte = 1.0;
  double flop = 1.0;

  [[nodiscard]] double of(std::string_view unit) const {
    if (unit == "byte") return byte;
    if (unit == "flop") return flop;
    if (unit == "byte/us") return byte / us;
    if (unit == "flop/us") return flop / us;
    return 1.0;
  }
};

/// Batches and deployments all over what is served, the same in every process.
class Samples {
 public:
  QuantityValues next() {
    QuantityValues values{};
    for (std::size_t i = 0; i < kQuantities; ++i) values[i] = std::floor(log_uniform(1.0, 2000.0));
    const auto set = [&](Quantity quantity, double value) { values[index_of(quantity)] = value; };
    if (coin()) set(Quantity::decodes, 0.0);
    if (coin()) {
      for (const Quantity quantity :
           {Quantity::prefills, Quantity::prefill_tokens, Quantity::prefill_context_tokens, Quantity::prefill_pairs}) {
        set(quantity, 0.0);
      }
    }
    const double tokens = values[index_of(Quantity::decodes)] + values[index_of(Quantity::prefill_tokens)];
    if (values[index_of(Quantity::decodes)] == 0.0) set(Quantity::context_tokens, 0.0);
    set(Quantity::prefills, std::min(values[index_of(Quantity::prefills)], values[index_of(Quantity::prefill_tokens)]));
    set(Quantity::graph_tokens, std::max(values[index_of(Quantity::graph_tokens)], tokens));
    if (coin()) {
      for (const Quantity quantity : {Quantity::moe_layers, Quantity::experts, Quantity::experts_per_token}) set(quantity, 0.0);
    }
    set(Quantity::sorts_vocabulary, coin() ? 1.0 : 0.0);
    set(Quantity::tp, std::exp2(std::floor(log_uniform(1.0, 8.0))));
    set(Quantity::pp, std::exp2(std::floor(log_uniform(1.0, 4.0)) - 1.0));
    set(Quantity::weight_bytes, log_uniform(1e9, 2e11));
    set(Quantity::flops_per_token, log_uniform(1e9, 2e11));
    set(Quantity::bandwidth_bytes_per_us, log_uniform(3e5, 8e6));
    set(Quantity::link_bytes_per_us, log_uniform(3e4, 9e5));
    set(Quantity::peak_flops_per_us, log_uniform(1e8, 3e9));
    return values;
  }

 private:
  double log_uniform(double low, double high) {
    const double part = static_cast<double>(engine_() >> 11U) * 0x1p-53;
    return low * std::pow(high / low, part);
  }
  bool coin() { return (engine_() & 1U) != 0U; }

  std::mt19937_64 engine_{20260501};
};

/// Where a name stands in a formula, and not as a part of another one.
std::size_t place_of(const std::string& text, std::string_view name) {
  const std::string_view characters = kNameCharacters;
  for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
    const bool begins = at == 0 || characters.find(text[at - 1]) == std::string_view::npos;
    const std::size_t end = at + name.size();
    if (begins && (end == text.size() || characters.find(text[end]) == std::string_view::npos)) return at;
  }
  return 0;
}

std::vector<std::string_view> quantity_names() {
  std::vector<std::string_view> names;
  for (const QuantitySpec& spec : kSpecs) names.push_back(spec.name);
  return names;
}

/// Samples for each property that is checked; a formula is short, and a step in it shows at once.
constexpr int kSamples = 200;
constexpr int kContexts = 48;
constexpr double kMostContext = 1e7;
constexpr double kRounding = 1e-9;
constexpr double kBend = 1e-6;

bool nearly_equal(double a, double b) { return std::abs(a - b) <= kRounding * std::max({std::abs(a), std::abs(b), 1e-12}); }

/// Why the expression is no term; nothing where it is one.
std::optional<core::Diagnostic> objection(const Term& term, TermFormula& formula, const core::SourcePosition& position) {
  const auto error = [&](std::size_t place, std::string problem, std::string remedy) {
    return core::Diagnostic{.position = moved(position, place),
                            .problem = std::move(problem),
                            .remedy = std::move(remedy),
                            .severity = core::Severity::error};
  };
  const bool times_a_time = term.name.ends_with("_factor");
  Samples samples;
  for (int i = 0; i < kSamples; ++i) {
    QuantityValues values = samples.next();
    const double value = formula(values);
    if (!std::isfinite(value)) {
      return error(0, fmt::format("'{}' is not a number for some steps", term.expression),
                   "mind divisions and logarithms of what may be 0, e.g. decodes in a step that only prefills");
    }
    if (value < 0.0) {
      return error(0, fmt::format("'{}' is negative for some steps, and a term only adds time", term.expression),
                   "turn it round, or limit it with max(0, ...)");
    }
    for (const UnitScale& scale : {UnitScale{.us = 7.0}, UnitScale{.byte = 3.0}, UnitScale{.flop = 5.0}}) {
      QuantityValues scaled = values;
      for (std::size_t q = 0; q < kQuantities; ++q) scaled[q] *= scale.of(kSpecs[q].unit);
      const double expected = value * (times_a_time ? scale.us : 1.0);
      if (nearly_equal(formula(scaled), expected)) continue;
      return error(0, fmt::format("the unit of '{}' is not {}", term.expression, times_a_time ? "us" : "that of a number"),
                   times_a_time ? "e.g. weight_bytes / bandwidth_bytes_per_us for a coefficient that ends in '_factor'"
                                : "a coefficient that ends in '_us' stands before a number, e.g. layers * decodes");
    }
    if (!formula.reads(Quantity::context_tokens) || values[index_of(Quantity::decodes)] == 0.0) continue;
    // While a batch only decodes its context grows, and the engine goes on in closed form: a straight line.
    double& context = values[index_of(Quantity::context_tokens)];
    context = 0.0;
    const double at_none = formula(values);
    context = kMostContext;
    const double slope = (formula(values) - at_none) / kMostContext;
    for (int k = 0; k < kContexts; ++k) {
      context = std::pow(kMostContext, static_cast<double>(k) / kContexts);
      const double line = at_none + slope * context;
      if (std::abs(formula(values) - line) <= kBend * (std::abs(at_none) + std::abs(slope) * context)) continue;
      return error(place_of(term.expression, "context_tokens"), fmt::format("'{}' bends with context_tokens", term.expression),
                   "between two events a step grows along a straight line with its context: use context_tokens linearly");
    }
  }
  return std::nullopt;
}

struct Declared {
  ParameterId id;
  Term term;
};

std::deque<Declared>& declared() {
  static std::deque<Declared> all;
  return all;
}

core::Diagnostics problems_of_name(const Term& term, const core::SourcePosition& position) {
  const auto fail = [&](std::string problem, std::string remedy) {
    return core::Diagnostics{
        {.position = position, .problem = std::move(problem), .remedy = std::move(remedy), .severity = core::Severity::error}};
  };
  const bool is_plain = !term.name.empty() && std::ranges::all_of(term.name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
  if (!is_plain) return fail(fmt::format("'{}' is no name of a term", term.name), "use a-z, 0-9 and _, e.g. user.norm_us");
  if (!term.name.ends_with("_us") && !term.name.ends_with("_factor")) {
    return fail(fmt::format("the unit of 'user.{}' is not known from its name", term.name),
                fmt::format("let it end in {}", kSuffixes));
  }
  return {};
}

}  // namespace

std::span<const QuantitySpec, kQuantities> quantities() { return kSpecs; }

struct TermFormula::Parser {
  mu::Parser parser;
  QuantityValues values{};
};

TermFormula::TermFormula(const Term& term) : parser_(std::make_unique<Parser>()), scale_(term.scale) {
  parser_->parser.DefineNameChars(kNameCharacters);
  for (std::size_t i = 0; i < kQuantities; ++i) parser_->parser.DefineVar(std::string(kSpecs[i].name), &parser_->values[i]);
  parser_->parser.SetExpr(term.expression);
  const auto& used = parser_->parser.GetUsedVar();
  for (std::size_t i = 0; i < kQuantities; ++i) reads_[i] = used.contains(std::string(kSpecs[i].name));
}
TermFormula::TermFormula(TermFormula&&) noexcept = default;
TermFormula& TermFormula::operator=(TermFormula&&) noexcept = default;
TermFormula::~TermFormula() = default;

int TermFormula::results() const { return parser_->parser.GetNumResults(); }

double TermFormula::operator()(const QuantityValues& values) {
  parser_->values = values;
  const double times = [&] {
    switch (scale_) {
      case TermScale::per_step: return 1.0;
      case TermScale::per_layer: return values[index_of(Quantity::layers)];
      case TermScale::per_sequence: return values[index_of(Quantity::decodes)] + values[index_of(Quantity::prefills)];
      case TermScale::per_token: return values[index_of(Quantity::decodes)] + values[index_of(Quantity::prefill_tokens)];
    }
    return 1.0;
  }();
  return times * parser_->parser.Eval();
}

core::Result<ParameterId> declare_term(const Term& term, const core::SourcePosition& expression) {
  if (auto problems = problems_of_name(term, expression); !problems.empty()) return tl::unexpected(std::move(problems));
  if (!(term.lower >= 0.0) || !(term.lower < term.upper)) {
    return core::fail(expression, fmt::format("the bounds of 'user.{}' are {} to {}", term.name, term.lower, term.upper),
                      "a term only adds time: give 0 <= lower < upper");
  }
  if (const std::size_t assignment = find_assignment(term.expression); assignment != std::string::npos) {
    return core::fail(moved(expression, assignment), fmt::format("'{}' assigns something", term.expression),
                      "write the right-hand side alone");
  }
  const std::string id = fmt::format("{}.{}", kUserGroup, term.name);
  const auto known = std::ranges::find(declared(), term.name, [](const Declared& other) { return other.term.name; });
  if (known != declared().end() && (known->term.expression != term.expression || known->term.scale != term.scale)) {
    return core::fail(expression, fmt::format("two terms are called '{}': '{}' and '{}'", id, known->term.expression, term.expression),
                      "give one of them another name");
  }
  if (known == declared().end()) {
    if (declared().size() == kMostTerms) {
      return core::fail(expression, fmt::format("more than {} terms", declared().size()), "declare fewer");
    }
    try {
      TermFormula formula(term);
      static_cast<void>(formula(QuantityValues{}));
      if (formula.results() != 1) {
        return core::fail(expression, fmt::format("'{}' is more than one formula", term.expression),
                          "write one, without commas around it");
      }
      if (auto problem = objection(term, formula, expression)) return tl::unexpected(core::Diagnostics{*std::move(problem)});
    } catch (const mu::Parser::exception_type& error) {
      const std::string& token = error.GetToken();
      if (error.GetCode() == mu::ecUNASSIGNABLE_TOKEN) {
        return core::fail(moved(expression, place_of(term.expression, token)), fmt::format("a term cannot depend on '{}'", token),
                          core::suggest(token, quantity_names()) + "; `rooftune params` lists what a step knows");
      }
      return core::fail(moved(expression, static_cast<std::size_t>(std::max(0, static_cast<int>(error.GetPos())))),
                        fmt::format("'{}' is no formula: {}", term.expression, error.GetMsg()),
                        "e.g. layers * (decodes + prefill_tokens)");
    }
  }
  const ParameterId made = declare_in(
      kUserGroup, {.name = term.name,
                   .unit = term.name.ends_with("_us") ? "us" : "1",
                   .lower = term.lower,
                   .initial = 0.0,
                   .upper = term.upper,
                   .transform = Transform::linear,
                   .meaning = fmt::format("coefficient of {} ({})", term.expression, core::word_of(kTermScales, term.scale))});
  if (known == declared().end()) {
    declared().push_back({made, term});
  } else {
    known->term = term;
  }
  return made;
}

const Term* find_term(ParameterId id) {
  const auto found = std::ranges::find(declared(), id, &Declared::id);
  return found == declared().end() ? nullptr : &found->term;
}

std::vector<ParameterId> declared_terms() {
  std::vector<ParameterId> ids;
  for (const Declared& one : declared()) ids.push_back(one.id);
  return ids;
}

}  // namespace rooftune::params
