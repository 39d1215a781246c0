#include "rooftune/text/document.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "rooftune/core/limits.hpp"
#include "support/temporary_folder.hpp"

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

TEST(DocumentParser, TakesAsManyLevelsAsTheLimitSays) {
  const auto nested = [](std::size_t levels) { return std::string(levels, '[') + "1" + std::string(levels, ']'); };
  for (const Syntax syntax : {Syntax::json, Syntax::yaml}) {
    EXPECT_EQ(errors_of(nested(core::limits::kNesting), syntax), "");
    EXPECT_THAT(errors_of(nested(core::limits::kNesting + 1), syntax), testing::HasSubstr("nested deeper than 100 levels"));
    EXPECT_THAT(errors_of(std::string(101, '[') + std::string(101, ']'), syntax), testing::HasSubstr("nested deeper"));
  }
}

TEST(DocumentParser, FindsRepeatedKeysOfLargeObjectsInNoTime) {
  constexpr int kKeys = 100'000;
  std::string json = "{";
  std::string yaml;
  for (int i = 0; i < kKeys; ++i) {
    json += "\"key" + std::to_string(i) + "\": 1,\n";
    yaml += "key" + std::to_string(i) + ": 1\n";
  }
  const std::clock_t begin = std::clock();  // of this process, whatever else the machine does
  EXPECT_EQ(errors_of(json + "\"key7\": 2}", Syntax::json),
            "file:100001:1: error: duplicate key 'key7', first given in line 8 (keep one of them)\n");
  EXPECT_EQ(errors_of(yaml + "key7: 2\n", Syntax::yaml),
            "file:100001:1: error: duplicate key 'key7', first given in line 8 (keep one of them)\n");
  EXPECT_LT((std::clock() - begin) / CLOCKS_PER_SEC, 10) << "comparing each with all others takes minutes";
}

TEST(DocumentParser, RepeatsAtMostOneTokenOfWhatItCannotRead) {
  EXPECT_THAT(errors_of("[\"" + std::string(1000, 's') + "\n", Syntax::json), testing::SizeIs(testing::Lt(300)));
  const std::string many = errors_of(
      "{" +
          [] {
            std::string members;
            for (int i = 0; i < 1000; ++i) members += "\"a\": 1,";
            return members;
          }() +
          "\"a\": 1}",
      Syntax::json);
  EXPECT_EQ(std::ranges::count(many, '\n'), 100) << "one key repeated a thousand times";
}

class DocumentFiles : public testing_support::TemporaryFolderTest {
 protected:
  [[nodiscard]] std::string error_of(const std::string& name) const {
    const auto text = read_text(folder_ / name);
    return text ? "read" : text.error().front().problem;
  }
};

TEST_F(DocumentFiles, AreReadFromPipesButNotFromDevices) {
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(folder_ / "pipe") << "a: " << std::string(200'000, 'x'); });
  const auto text = read_text(folder_ / "pipe");
  writer.join();
  ASSERT_TRUE(text) << core::format(text.error());
  EXPECT_EQ(text->size(), 200'003u);
  EXPECT_EQ(core::format(read_text("/dev/zero").error()),
            "/dev/zero: error: this is a device or a socket, not a file (name a file, or give the content through a pipe)\n");
}

TEST_F(DocumentFiles, AreNotWaitedForWhenNobodyWritesIntoThePipe) {
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(core::format(read_text(folder_ / "pipe").error()),
              testing::HasSubstr("pipe: error: nothing came from this pipe for 5 s (write the content to a file and name that)"));
}

TEST_F(DocumentFiles, HaveAStatedSize) {
  folder_.write("small.txt", "1234");
  EXPECT_TRUE(read_bytes(folder_ / "small.txt", 4));
  EXPECT_FALSE(read_bytes(folder_ / "small.txt", 3));
  folder_.write("huge.txt", "");
  ASSERT_EQ(::truncate((folder_ / "huge.txt").c_str(), std::int64_t{1} << 40U), 0);
  EXPECT_EQ(error_of("huge.txt"), "the file is larger than 512 MiB");
  std::filesystem::create_symlink("circle", folder_ / "circle");
  EXPECT_EQ(error_of("circle"), "cannot be read: Too many levels of symbolic links");
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
