#pragma once

#include <cstddef>

/// The most that is taken from files, programs and flags. Each limit is far beyond what honest inputs need, is said by the message
/// that it causes, and stands in docs/limits.md with what to do about it.
namespace rooftune::core::limits {

/// Of one input file. What is read is held in memory.
inline constexpr std::size_t kFileBytes = std::size_t{512} << 20U;
/// Values (cells, items, keys) of one file: each takes about 100 bytes while the file is read.
inline constexpr std::size_t kValues = 10'000'000;
/// Levels of lists and objects in each other; readers recurse.
inline constexpr std::size_t kNesting = 100;
/// Columns of a table.
inline constexpr std::size_t kColumns = 1'000;
/// Spelling of one number: any double can be written out with all its digits.
inline constexpr std::size_t kNumberCharacters = 1'100;
/// Spelling of a regular expression, and the memory of what it is compiled to.
inline constexpr std::size_t kPatternCharacters = 1'000;
inline constexpr std::size_t kPatternBytes = std::size_t{1} << 20U;
/// Shown of one token of a foreign text in a message.
inline constexpr std::size_t kShownCharacters = 40;
/// Messages about one file, and the length of one message's two parts.
inline constexpr std::size_t kMessages = 100;
inline constexpr std::size_t kMessageCharacters = 2'000;
/// How long a pipe that is read or written may stay silent.
inline constexpr double kPipeSilence_s = 5.0;

/// Of one experiment. Requests are planned one by one.
inline constexpr int kRequests = 5'000'000;
inline constexpr double kRate_per_s = 1e6;
inline constexpr double kSeconds = 1e8;
inline constexpr int kTokens = 100'000'000;  ///< of one request, one batch, one context
inline constexpr int kGroups = 1'000'000;    ///< of prompts that share a prefix, and distinct prompts
inline constexpr int kSequences = 1'000'000;
inline constexpr int kParallelDegree = 4'096;  ///< TP, PP, DP
inline constexpr int kKvBlocks = 1'000'000'000;
/// Of one model: layers; widths, heads, experts, words of the vocabulary.
inline constexpr int kLayers = 10'000;
inline constexpr int kModelWidth = 10'000'000;
/// Of one run.
inline constexpr int kThreads = 4'096;
inline constexpr int kRepeats = 1'000'000;

/// Of an external program: each of its two streams, and the file that it writes.
inline constexpr std::size_t kProgramOutputBytes = std::size_t{64} << 20U;

/// A word for which a similar known one is looked for ("did you mean").
inline constexpr std::size_t kSuggestionCharacters = 200;

}  // namespace rooftune::core::limits
