#include "rooftune/params/term.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <initializer_list>
#include <utility>

#include "rooftune/params/config.hpp"

namespace rooftune::params {
namespace {

using testing::HasSubstr;

Term term(const std::string& name, const std::string& expression, TermScale scale = TermScale::per_step) {
  return {.name = name, .scale = scale, .expression = expression, .lower = 0.0, .upper = 100.0};
}

core::Diagnostic problem_of(const Term& wrong) {
  const auto id = declare_term(wrong, {.file = "s.yaml", .line = 4, .column = 20});
  return id ? core::Diagnostic{} : id.error().front();
}

QuantityValues batch(std::initializer_list<std::pair<Quantity, double>> given) {
  QuantityValues values{};
  for (const auto& [quantity, value] : given) values[static_cast<std::size_t>(quantity)] = value;
  return values;
}

TEST(Term, IsAParameterWhoseRegistryValueIsNothing) {
  const ParameterId id = declare_term(term("norm_us", "layers * (decodes + prefill_tokens)")).value();
  EXPECT_EQ(id.spec().id, "user.norm_us");
  EXPECT_EQ(id.spec().unit, "us");
  EXPECT_EQ(Resolved<double>()[id], 0.0) << "a config that does not name it does without";
  ASSERT_NE(find_term(id), nullptr);
  EXPECT_EQ(find_term(id)->expression, "layers * (decodes + prefill_tokens)");
  EXPECT_EQ(find_term(parameter("physics.t_step_us")), nullptr);
}

TEST(Term, CountsItsExpressionAsOftenAsItsScaleSays) {
  const QuantityValues values =
      batch({{Quantity::decodes, 8}, {Quantity::prefills, 2}, {Quantity::prefill_tokens, 100}, {Quantity::layers, 32}});
  EXPECT_EQ(TermFormula(term("a_us", "2"))(values), 2.0);
  EXPECT_EQ(TermFormula(term("a_us", "2", TermScale::per_layer))(values), 64.0);
  EXPECT_EQ(TermFormula(term("a_us", "2", TermScale::per_sequence))(values), 20.0);
  EXPECT_EQ(TermFormula(term("a_us", "2", TermScale::per_token))(values), 216.0);
}

/// Of a batch and a deployment, none of them a round number.
QuantityValues odd_values(double start) {
  QuantityValues values{};
  for (std::size_t i = 0; i < kQuantities; ++i) values[i] = start + 1.7 * static_cast<double>(i);
  return values;
}

double value_of(const LinearForm& form, const QuantityValues& values) {
  double sum = form.constant;
  for (std::size_t i = 0; i < kBatchQuantities; ++i) sum += form.factors[i] * values[i];
  return sum;
}

TEST(Term, IsAStraightLineWhereItIsWrittenAsOne) {
  for (const char* straight : {"1", "layers", "layers * (decodes + prefill_tokens)", "layers*decodes - 2 * -prefills + .5e1*(tp - 1)",
                               "weight_bytes / bandwidth_bytes_per_us", "context_tokens / (2 * heads) / layers",
                               "(graph_tokens - decodes - prefill_tokens) * layers^2", "2^(1/2) * prefill_pairs", "-(decodes)",
                               "(layers + 1) * (decodes - 3) * hidden_size"}) {
    for (const TermScale scale : {TermScale::per_step, TermScale::per_layer}) {
      const Term written = term("a_us", straight, scale);
      TermFormula formula(written);
      const auto line = linear_form(written, odd_values(3.0));
      ASSERT_TRUE(line) << straight;
      QuantityValues values = odd_values(3.0);
      for (std::size_t i = 0; i < kBatchQuantities; ++i) values[i] = 41.0 - 3.3 * static_cast<double>(i);
      EXPECT_NEAR(value_of(*line, values), formula(values), 1e-12 * std::abs(formula(values))) << straight;
    }
  }
  const Term each = term("a_us", "layers", TermScale::per_sequence);
  const QuantityValues values = odd_values(3.0);
  EXPECT_NEAR(value_of(linear_form(each, values).value(), values), TermFormula(each)(values), 1e-9);
}

TEST(Term, IsNoStraightLineOtherwise) {
  for (const char* bent :
       {"decodes * decodes", "max(decodes, 1)", "decodes > 8", "(decodes + prefill_tokens > 64) * layers", "layers / decodes",
        "decodes^2", "-2^2 * decodes", "2^3^2 * decodes", "decodes == 17 ? 1000 : 0", "sqrt(layers)", "1 / sorts_vocabulary"}) {
    QuantityValues values = odd_values(3.0);
    values[static_cast<std::size_t>(Quantity::sorts_vocabulary)] = 0.0;
    EXPECT_FALSE(linear_form(term("a_us", bent), values)) << bent;
  }
  EXPECT_FALSE(linear_form(term("a_us", "decodes", TermScale::per_token), odd_values(3.0))) << "its square";
}

TEST(Term, PointsAtWhatAStepDoesNotKnow) {
  const core::Diagnostic problem = problem_of(term("other_us", "layers * prompt_tokens"));
  EXPECT_THAT(problem.problem, HasSubstr("cannot depend on 'prompt_tokens'"));
  EXPECT_EQ(problem.position.column, 20 + 9);
}

TEST(Term, PointsAtAContextThatBends) {
  for (const char* bent :
       {"sqrt(context_tokens)", "max(0, context_tokens - 4000)", "context_tokens > 10000", "context_tokens^2 / 1000"}) {
    const core::Diagnostic problem = problem_of(term("bent_us", std::string("decodes + ") + bent));
    EXPECT_THAT(problem.problem, HasSubstr("bends with context_tokens")) << bent;
    EXPECT_GT(problem.position.column, 20) << bent;
  }
  EXPECT_TRUE(declare_term(term("straight_us", "layers * context_tokens / max(decodes, 1) + sqrt(decodes)")));
}

TEST(Term, HoldsTheUnitToTheCoefficients) {
  EXPECT_THAT(problem_of(term("bytes_us", "weight_bytes")).problem, HasSubstr("unit of 'weight_bytes' is not that of a number"));
  EXPECT_THAT(problem_of(term("count_factor", "layers * decodes")).problem, HasSubstr("is not us"));
  EXPECT_THAT(problem_of(term("sum_factor", "weight_bytes / bandwidth_bytes_per_us + layers")).problem, HasSubstr("is not us"));
  EXPECT_TRUE(
      declare_term(term("again_factor", "weight_bytes / bandwidth_bytes_per_us + flops_per_token * decodes / peak_flops_per_us")));
  EXPECT_TRUE(declare_term(term("ratio_us", "kv_bytes_per_token / activation_bytes_per_token * decodes")));
  EXPECT_THAT(problem_of(term("nameless", "layers")).problem, HasSubstr("is not known from its name"));
}

TEST(Term, OnlyAddsTime) {
  EXPECT_THAT(problem_of(term("less_us", "decodes - 10")).problem, HasSubstr("is negative for some steps"));
  EXPECT_THAT(problem_of(term("divided_us", "1 / decodes")).problem, HasSubstr("is not a number for some steps"));
  Term taking = term("taking_us", "layers");
  taking.lower = -1.0;
  EXPECT_EQ(problem_of(taking).problem, "the bounds of 'user.taking_us' are -1 to 100");
  EXPECT_EQ(problem_of(taking).remedy, "a term only adds time: give 0 <= lower < upper");
}

TEST(Term, HasOneMeaningForAName) {
  ASSERT_TRUE(declare_term(term("twice_us", "layers")));
  EXPECT_TRUE(declare_term(term("twice_us", "layers"))) << "a journal names it again";
  EXPECT_THAT(problem_of(term("twice_us", "decodes")).problem, HasSubstr("two terms are called 'user.twice_us'"));
}

TEST(Term, SaysWhereAFormulaBreaks) {
  const core::Diagnostic problem = problem_of(term("broken_us", "layers * (decodes"));
  EXPECT_THAT(problem.problem, HasSubstr("is no formula"));
  EXPECT_GT(problem.position.column, 20);
}

}  // namespace
}  // namespace rooftune::params
