#include "rooftune/text/object_reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <functional>

namespace rooftune::text {
namespace {

/// The errors that reading `yaml` with `read` reports.
std::string errors_of(std::string_view yaml, const std::function<void(ObjectReader&)>& read,
                      OtherKeys other_keys = OtherKeys::refuse) {
  const auto document = parse_document(yaml, "file", Syntax::yaml);
  if (!document) return core::format(document.error());
  Problems problems("file");
  {
    ObjectReader reader(document->root, problems, "the thing", other_keys);
    read(reader);
  }
  return core::format(problems.take_errors());
}

std::string number_errors(std::string_view yaml, Range range = any_number()) {
  return errors_of(yaml, [&](ObjectReader& reader) {
    double value = 0.0;
    reader.required("x", value, range);
  });
}

TEST(ObjectReader, FillsTargetsAndLeavesDefaultsOfAbsentKeys) {
  double rate = 0.0;
  int count = 7;
  int whole = 0;
  bool flag = false;
  std::string name;
  std::vector<std::string> files;
  std::optional<int> unset;
  core::Seconds duration;
  EXPECT_EQ(errors_of("{rate: 2.5, whole: 3.0, flag: true, name: n, files: [a, 'b'], duration: 600, unset: ~}",
                      [&](ObjectReader& reader) {
                        reader.required("rate", rate, above(0));
                        reader.optional("count", count, at_least(1));
                        reader.required("whole", whole);
                        reader.required("flag", flag);
                        reader.required("name", name);
                        reader.required("files", files);
                        reader.required("duration", duration, above(0));
                        reader.optional("unset", unset);
                      }),
            "");
  EXPECT_EQ(rate, 2.5);
  EXPECT_EQ(count, 7);
  EXPECT_EQ(whole, 3);
  EXPECT_TRUE(flag);
  EXPECT_EQ(name, "n");
  EXPECT_EQ(files, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(duration.value, 600.0);
  EXPECT_FALSE(unset);
}

TEST(ObjectReader, ReportsAllProblemsInTheOrderOfTheFile) {
  EXPECT_EQ(errors_of("rat: 1\ntp: 0\n",
                      [](ObjectReader& reader) {
                        double rate = 0.0;
                        int tp = 1;
                        reader.required("tp", tp, at_least(1));
                        reader.required("rate", rate);
                      }),
            "file:1:1: error: the thing lacks 'rate' (add it)\n"
            "file:1:1: error: unknown key 'rat' in the thing (did you mean 'rate'?)\n"
            "file:2:5: error: 'tp' is 0 (it must be at least 1)\n");
}

TEST(ObjectReader, ToleratesOtherKeysOnlyWhenTold) {
  const auto read_nothing = [](ObjectReader&) {};
  EXPECT_EQ(errors_of("note: x", read_nothing, OtherKeys::tolerate), "");
  EXPECT_THAT(errors_of("note: x", read_nothing), testing::HasSubstr("unknown key 'note'"));
}

TEST(ObjectReader, TakesOnlyPlainFiniteDecimalNumbers) {
  for (const char* good : {"x: 1", "x: -1.5", "x: +2", "x: 1e-3", "x: .5", "x: 2.", "x: 0", "x: 0.0"}) {
    EXPECT_EQ(number_errors(good), "") << good;
  }
  EXPECT_EQ(number_errors("x: 010"),
            "file:1:4: error: 'x' is '010', which some readers take for an octal number (write it without leading zeros)\n");
  EXPECT_EQ(number_errors("x: .nan"), "file:1:4: error: 'x' is '.nan', which is not a finite number (give a finite number)\n");
  EXPECT_EQ(number_errors("x: -.inf"), "file:1:4: error: 'x' is '-.inf', which is not a finite number (give a finite number)\n");
  EXPECT_EQ(number_errors("x: 1e999"), "file:1:4: error: 'x' is '1e999', which does not fit a double (give a finite number)\n");
  EXPECT_EQ(number_errors("x: '5'"), "file:1:4: error: 'x' must be a number, not the text '5' (remove the quotes)\n");
  EXPECT_EQ(number_errors("x: 0x10"), "file:1:4: error: 'x' must be a number, not the text '0x10' (give a plain decimal number)\n");
  EXPECT_EQ(number_errors("x: [1]"), "file:1:4: error: 'x' must be a number, not a list (give a plain decimal number)\n");
  EXPECT_EQ(number_errors("x:"), "file:1:1: error: the thing lacks 'x' (add it)\n");
}

TEST(ObjectReader, SaysWhatTheRangeIs) {
  EXPECT_EQ(number_errors("x: -2", above(0)), "file:1:4: error: 'x' is -2 (it must be above 0)\n");
  EXPECT_EQ(number_errors("x: 2", above_up_to(0, 1)), "file:1:4: error: 'x' is 2 (it must be above 0 and at most 1)\n");
}

TEST(ObjectReader, RefusesPartsOfWholeNumbersAndTextsThatAreNumbers) {
  EXPECT_EQ(errors_of("{n: 1.5, name: 17, flag: yes, list: 3}",
                      [](ObjectReader& reader) {
                        int n = 0;
                        std::string name;
                        bool flag = false;
                        std::vector<int> list;
                        reader.required("n", n);
                        reader.required("name", name);
                        reader.required("flag", flag);
                        reader.required("list", list);
                      }),
            "file:1:5: error: 'n' is 1.5 (it must be a whole number)\n"
            "file:1:16: error: 'name' must be a text, not the number '17' (put it in quotes)\n"
            "file:1:26: error: 'flag' must be true or false, not the text 'yes' (write true or false)\n"
            "file:1:37: error: 'list' must be a list, not the number '3' (put it in [ ])\n");
}

TEST(ObjectReader, SuggestsTheNearestNameOfAChoice) {
  enum class Colour { red, green };
  constexpr std::array<Choice<Colour>, 2> choices{{{"red", Colour::red}, {"green", Colour::green}}};
  EXPECT_EQ(errors_of("colour: gren",
                      [&](ObjectReader& reader) {
                        Colour colour = Colour::red;
                        reader.required_choice<Colour>("colour", colour, choices);
                      }),
            "file:1:9: error: 'colour' is the text 'gren', which is not one of its values (did you mean 'green'?)\n");
}

TEST(ObjectReader, ReportsANodeThatIsNoObjectOnce) {
  EXPECT_EQ(errors_of("[1]",
                      [](ObjectReader& reader) {
                        double rate = 0.0;
                        reader.required("rate", rate);
                      }),
            "file:1:1: error: the thing must be an object, not a list (write it as 'key: value' pairs)\n");
}

TEST(ObjectReader, ReadsNumbersOfAStatedLength) {
  EXPECT_EQ(number_errors("x: " + std::string(1200, '7')),
            "file:1:4: error: 'x' is a number of 1200 characters (write it in at most 1100)\n");
  EXPECT_EQ(number_errors("x: 0." + std::string(1000, '7')), "");
  EXPECT_THAT(number_errors("x: " + std::string(200'000, '0')), testing::HasSubstr("octal")) << "no recursion for each digit";
}

TEST(ObjectReader, DoesNotRepeatWhatStandsInAFileOfAnotherKind) {
  const auto read = [](ObjectReader& reader) {
    double rate = 0.0;
    reader.optional("rate", rate);
  };
  EXPECT_EQ(errors_of("aws_secret: x\npassword: y\n", read),
            "file:1:1: error: no key here is one of the thing (check that this is the right file; known: rate)\n");
  EXPECT_EQ(errors_of("my password", read),
            "file:1:1: error: the thing must be an object, not a text (write it as 'key: value' pairs)\n");
  EXPECT_THAT(errors_of("rat: 1\n", read), testing::HasSubstr("unknown key 'rat' in the thing (did you mean 'rate'?)"));
}

TEST(Problems, AreCountedBeyondTheFirstHundred) {
  Problems problems("file");
  for (int i = 1; i <= 250; ++i) problems.error({i, 1}, "wrong", "mend it");
  EXPECT_EQ(problems.error_count(), 250u);
  const core::Diagnostics errors = problems.take_errors();
  ASSERT_EQ(errors.size(), 101u);
  EXPECT_EQ(core::format(errors.back()), "file: error: 150 more problems like these are not shown (mend the first 100 and try again)");
}

}  // namespace
}  // namespace rooftune::text
