// A short fuzzing run for every build, with any compiler: each target gets its corpus, and mutations of it that are the same every
// time.  short_run CORPUS_DIR [mutations per target, default 200] [one target]
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <sstream>
#include <vector>

#include "target.hpp"

namespace rooftune::fuzz {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> corpus_of(const fs::path& folder) {
  std::vector<fs::path> files;
  if (fs::is_directory(folder)) {
    for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  }
  if (files.empty()) {
    std::fprintf(stderr, "no seeds in %s: tests/fuzz/corpora.txt names none, and tests/fuzz/corpus has none\n", folder.c_str());
    std::exit(1);
  }
  std::ranges::sort(files);
  std::vector<std::string> inputs{""};
  for (const fs::path& file : files) {
    std::ostringstream text;
    text << std::ifstream(file, std::ios::binary).rdbuf();
    inputs.push_back(text.str());
  }
  return inputs;
}

/// Whole pieces cut, doubled and exchanged, bytes flipped, and words that readers stumble over.
class Mutator {
 public:
  explicit Mutator(std::vector<std::string> corpus) : corpus_(std::move(corpus)) {}

  std::string next() {
    std::string input = corpus_[below(corpus_.size())];
    for (std::size_t changes = 1 + below(6); changes > 0; --changes) change(input);
    return input;
  }

 private:
  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : random_() % bound; }

  void change(std::string& input) {
    static const std::vector<std::string> kWords{"nan",
                                                 "-1",
                                                 "1e999",
                                                 "0",
                                                 "9223372036854775808",
                                                 "null",
                                                 "[]",
                                                 "{}",
                                                 "\"",
                                                 ",",
                                                 "\n",
                                                 ": ",
                                                 "\x1b[31m",
                                                 "\xff",
                                                 std::string(1, '\0'),
                                                 "[[[[[[[[",
                                                 std::string(3000, '7'),
                                                 "../"};
    const std::size_t at = below(input.size() + 1);
    const std::size_t length = below(std::min<std::size_t>(input.size() - at, 64) + 1);
    switch (below(5)) {
      case 0: input.erase(at, length); break;
      case 1: input.insert(at, input.substr(at, length)); break;
      case 2: input.insert(at, kWords[below(kWords.size())]); break;
      case 3: input.replace(at, length, corpus_[below(corpus_.size())].substr(0, 64)); break;
      default:
        if (at < input.size()) input[at] = static_cast<char>(static_cast<unsigned char>(input[at]) ^ (1U << below(8)));
        break;
    }
  }

  std::vector<std::string> corpus_;
  std::mt19937_64 random_{1};
};

/// Which input it was, should it never come back.
void run(const Target& target, const std::string& input, const fs::path& last) {
  std::ofstream(last, std::ios::binary).write(input.data(), static_cast<std::streamsize>(input.size()));
  target.run(input);
}

}  // namespace
}  // namespace rooftune::fuzz

int main(int count, char** arguments) {
  namespace fuzz = rooftune::fuzz;
  if (count < 2) {
    std::fprintf(stderr, "short_run CORPUS_DIR [MUTATIONS] [TARGET]\n");
    return 1;
  }
  const std::filesystem::path corpora = arguments[1];
  const int mutations = count > 2 ? std::atoi(arguments[2]) : 200;
  const std::filesystem::path last =
      std::filesystem::temp_directory_path() / ("rooftune_last_fuzz_input_" + std::to_string(::getpid()));
  for (const fuzz::Target& target : fuzz::targets()) {
    if (count > 3 && target.name != arguments[3]) continue;
    std::printf("%s (should it end here, the input is in %s)\n", std::string(target.name).c_str(), last.c_str());
    std::fflush(stdout);
    const auto begin = std::chrono::steady_clock::now();
    const std::vector<std::string> corpus = fuzz::corpus_of(corpora / target.name);
    for (const std::string& input : corpus) fuzz::run(target, input, last);
    fuzz::Mutator mutator(corpus);
    for (int i = 0; i < mutations; ++i) fuzz::run(target, mutator.next(), last);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    std::printf("%s: %zu inputs of the corpus, %d mutations, %.2f s\n", std::string(target.name).c_str(), corpus.size(), mutations,
                taken.count());
  }
  std::filesystem::remove(last);
  return 0;
}
