#include "foreign_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "rooftune/core/letters.hpp"

namespace rooftune::text {
namespace {

using namespace std::string_view_literals;

/// How a kind of file begins, what it is, and what to do about it.
struct Beginning {
  std::string_view bytes;
  std::string_view what;
  std::string_view remedy;
};

constexpr std::string_view kUnpack = "unpack it first";
constexpr std::array kBeginnings{
    Beginning{"PAR1"sv, "an Apache Parquet file",
              "convert it, e.g. with pandas: python3 -c \"import pandas, sys; pandas.read_parquet(sys.argv[1]).to_csv(sys.argv[2], "
              "index=False)\" IN.parquet OUT.csv"},
    Beginning{"version https://git-lfs.github.com/spec/"sv, "a Git LFS pointer, not the file it stands for",
              "fetch the file itself: git lfs pull"},
    Beginning{"\x1f\x8b"sv, "a gzip archive", kUnpack},
    Beginning{"PK\x03\x04"sv, "a zip archive", kUnpack},
    Beginning{"\x28\xb5\x2f\xfd"sv, "a Zstandard archive", kUnpack},
    Beginning{"\xfd\x37zXZ"sv, "an xz archive", kUnpack},
    Beginning{"BZh"sv, "a bzip2 archive", kUnpack},
    Beginning{"SQLite format 3"sv, "an SQLite database", "export its table as CSV or JSON"},
    Beginning{"\x93NUMPY"sv, "a NumPy array", "save it as CSV: numpy.savetxt"},
    Beginning{"\x89HDF"sv, "an HDF5 file", "export its table as CSV"},
    Beginning{"%PDF"sv, "a PDF document", "name the file of data itself"},
    Beginning{"\xff\xfe"sv, "text in UTF-16", "save it as UTF-8"},
    Beginning{"\xfe\xff"sv, "text in UTF-16", "save it as UTF-8"},
};

/// A NUL byte this early means that no text follows.
constexpr std::size_t kLookedAt = 8192;

bool begins_like(std::string_view text, std::string_view lower) {
  const std::size_t start = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  return core::same_word(text.substr(start, lower.size()), lower);
}

}  // namespace

std::optional<core::Diagnostic> foreign_file(std::string_view bytes, const std::string& file) {
  const auto say = [&](std::string_view what, std::string_view remedy) {
    return core::Diagnostic{.position = {.file = file}, .problem = fmt::format("this is {}", what), .remedy = std::string(remedy)};
  };
  for (const Beginning& beginning : kBeginnings) {
    if (bytes.starts_with(beginning.bytes)) return say(beginning.what, beginning.remedy);
  }
  if (begins_like(bytes, "<!doctype html") || begins_like(bytes, "<html")) {
    return say("an HTML page, as a failed download or a login leaves it", "download the file itself again (its raw form)");
  }
  if (begins_like(bytes, "<?xml")) {
    return say("an XML document, as a storage service answers when it refuses", "download the file itself again");
  }
  if (bytes.substr(0, kLookedAt).find('\0') != std::string_view::npos) return say("a binary file", "name a text file");
  return std::nullopt;
}

}  // namespace rooftune::text
