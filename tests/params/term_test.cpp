#include "rooftune/params/term.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
