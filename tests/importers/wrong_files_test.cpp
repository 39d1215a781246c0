// One line that says what a wrong file is, in place of hundreds about its bytes.
#include "importers/import_fixture.hpp"

namespace rooftune::importers {
namespace {

using namespace std::string_literals;
using testing::HasSubstr;
using testing::SizeIs;

TEST_F(Import, SaysWhatAFileOfAnotherKindIsAndWhatToDo) {
  const std::string parquet = "PAR1\x15\x04\x15\x40"s + std::string(4096, '\0') + "PAR1";
  for (const auto& [bytes, what] : {std::pair{parquet, "this is an Apache Parquet file (convert it, e.g. with pandas"},
                                    std::pair{"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"s,
                                              "a Git LFS pointer, not the file it stands for (fetch the file itself: git lfs pull)"},
                                    std::pair{"\n<!DOCTYPE html>\n<html><body>404</body></html>\n"s, "this is an HTML page"},
                                    std::pair{"\x1f\x8b\x08\x00"s, "this is a gzip archive (unpack it first)"},
                                    std::pair{"PK\x03\x04rest"s, "this is a zip archive"},
                                    std::pair{"<?xml version=\"1.0\"?><Error/>"s, "this is an XML document"},
                                    std::pair{"{\"a\": \0}"s, "this is a binary file (name a text file)"}}) {
    const auto imported = import_one(ImportFormat::vllm_bench, folder_.write("result.json", bytes));
    ASSERT_FALSE(imported) << what;
    EXPECT_THAT(imported.error(), SizeIs(1)) << what;
    EXPECT_THAT(core::format(imported.error()), HasSubstr(what));
  }
}

}  // namespace
}  // namespace rooftune::importers
