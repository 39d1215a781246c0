#include "rooftune/text/document.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace rooftune::text {
namespace {

std::string errors_of(std::string_view text, Syntax syntax) {
  const auto document = parse_document(text, "file", syntax);
  return document ? "" : core::format(document.error());
}

TEST(JsonParser, PlacesEveryKeyAndValueFromLineOneColumnOne) {
  const auto document = parse_document("{\n  \"a\": [1,\n        \"x\\u00e9\\\"\"],\n  \"b\": {\"c\": null}}", "file", Syntax::json);
  ASSERT_TRUE(document) << core::format(document.error());
  const Node& root = document->root;
  EXPECT_EQ(root.place, (Place{1, 1}));
  ASSERT_EQ(root.members.size(), 2U);
  EXPECT_EQ(root.members[0].place, (Place{2, 3}));
  ASSERT_EQ(root.members[0].value.items.size(), 2U);
  EXPECT_EQ(root.members[0].value.items[0].place, (Place{2, 9}));
  EXPECT_EQ(root.members[0].value.items[1].place, (Place{3, 9}));
  EXPECT_EQ(root.members[0].value.items[1].text, "x\u00e9\"");
  EXPECT_TRUE(root.members[0].value.items[1].quoted);
  EXPECT_EQ(root.members[1].value.members[0].place, (Place{4, 9}));
  EXPECT_EQ(root.members[1].value.members[0].value.kind, Node::Kind::null);
}

TEST(JsonParser, ReadsEmptyContainersAndBareValues) {
  const auto document = parse_document(R"([{}, [], true, -1.5e3, ""])", "file", Syntax::json);
  ASSERT_TRUE(document) << core::format(document.error());
  ASSERT_EQ(document->root.items.size(), 5U);
  EXPECT_EQ(document->root.items[3].text, "-1.5e3");
  EXPECT_EQ(document->root.items[4].place, (Place{1, 24}));
}

TEST(JsonParser, SaysWhereTruncatedTextEnds) {
  EXPECT_EQ(errors_of("{\"a\": [1,\n 2", Syntax::json),
            "file:2:2: error: the JSON ends in the middle of a value (the file looks truncated: copy or write it again)\n");
  EXPECT_EQ(errors_of("{\"a\": \"tex", Syntax::json),
            "file:1:10: error: the JSON ends in the middle of a value (the file looks truncated: copy or write it again)\n");
}

TEST(JsonParser, RefusesWhatJsonDoesNotKnow) {
  EXPECT_THAT(errors_of("{\"a\": NaN}", Syntax::json), testing::StartsWith("file:1:7: error: not valid JSON: "));
  EXPECT_THAT(errors_of("[1,\n2,]", Syntax::json), testing::StartsWith("file:2:3: error: not valid JSON: "));
  EXPECT_THAT(errors_of("[010]", Syntax::json), testing::StartsWith("file:1:4: error: not valid JSON: "));
  EXPECT_THAT(errors_of("{'a': 1}", Syntax::json), testing::StartsWith("file:1:2: error: not valid JSON: "));
  EXPECT_THAT(errors_of("[1] // why", Syntax::json), testing::StartsWith("file:1:5: error: not valid JSON: "));
  EXPECT_THAT(errors_of("[1e999]", Syntax::json), testing::HasSubstr("number overflow"));
}

TEST(JsonParser, NamesBothPlacesOfADuplicateKey) {
  EXPECT_EQ(errors_of("{\"a\": 1,\n \"a\": 2}", Syntax::json),
            "file:2:2: error: duplicate key 'a', first given in line 1 (keep one of them)\n");
}

TEST(YamlParser, PlacesEveryKeyAndValueFromLineOneColumnOne) {
  const auto document = parse_document("a:\n  - 1\n  - 'x'\nb:\nc: ~\n", "file", Syntax::yaml);
  ASSERT_TRUE(document) << core::format(document.error());
  const Node& root = document->root;
  ASSERT_EQ(root.members.size(), 3U);
  EXPECT_EQ(root.members[0].place, (Place{1, 1}));
  EXPECT_EQ(root.members[0].value.items[0].place, (Place{2, 5}));
  EXPECT_FALSE(root.members[0].value.items[0].quoted);
  EXPECT_TRUE(root.members[0].value.items[1].quoted);
  EXPECT_EQ(root.members[1].value.kind, Node::Kind::null);
  EXPECT_EQ(root.members[1].value.place, (Place{4, 1})) << "a missing value is at its key";
  EXPECT_EQ(root.members[2].value.kind, Node::Kind::null);
}

TEST(YamlParser, RefusesWhatHidesMistakes) {
  EXPECT_EQ(errors_of("a: 1\nb: 2\na: 3\n", Syntax::yaml),
            "file:3:1: error: duplicate key 'a', first given in line 1 (keep one of them)\n");
  EXPECT_THAT(errors_of("a: &x 1\n", Syntax::yaml), testing::HasSubstr("anchors (&name) are not supported"));
  EXPECT_THAT(errors_of("a: !!str 1\n", Syntax::yaml), testing::HasSubstr("tags (!name) are not supported"));
  EXPECT_THAT(errors_of("a: 1\n---\nb: 2\n", Syntax::yaml), testing::HasSubstr("several YAML documents"));
  EXPECT_THAT(errors_of("a: [1\n", Syntax::yaml), testing::HasSubstr("not valid YAML"));
  EXPECT_THAT(errors_of("# nothing\n", Syntax::yaml), testing::HasSubstr("holds no value"));
}

TEST(DocumentParser, RefusesEmptyTextAndByteOrderMarksInBothSyntaxes) {
  for (const Syntax syntax : {Syntax::json, Syntax::yaml}) {
    EXPECT_EQ(errors_of(" \n", syntax), "file: error: the file is empty (write it again or name another one)\n");
    EXPECT_EQ(errors_of("\xEF\xBB\xBF{}", syntax),
              "file:1:1: error: the file starts with a byte order mark (save it as UTF-8 without one)\n");
  }
}

TEST(DocumentParser, RefusesNestingThatWouldExhaustTheStack) {
  EXPECT_THAT(errors_of(std::string(100000, '[') + std::string(100000, ']'), Syntax::json),
              testing::HasSubstr("nested deeper than 100 levels"));
}

TEST(DocumentReader, SaysThatAFileIsMissingOrAFolder) {
  const auto missing = read_document("no/such/file.yaml");
  ASSERT_FALSE(missing);
  EXPECT_EQ(core::format(missing.error()), "no/such/file.yaml: error: no such file (check the path)\n");
  const auto folder = read_document("/");
  ASSERT_FALSE(folder);
  EXPECT_EQ(core::format(folder.error()), "/: error: this is a folder, not a file (name a file in it)\n");
}

}  // namespace
}  // namespace rooftune::text
