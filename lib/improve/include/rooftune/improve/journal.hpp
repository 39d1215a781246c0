#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "rooftune/calibrate/study_spec.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/improve/diagnosis.hpp"
#include "rooftune/improve/trial.hpp"

namespace rooftune::improve {

enum class CandidateFate {
  refused,       ///< before any fit: it contradicts what is known
  screened_out,  ///< cheap fits held nothing for it
  judged,        ///< good enough for a verdict
};
inline constexpr std::array<core::Word<CandidateFate>, 3> kCandidateFates{{
    {"refused", CandidateFate::refused},
    {"screened_out", CandidateFate::screened_out},
    {"judged", CandidateFate::judged},
}};

/// A move as a screening saw it.
struct CandidateRecord {
  std::string move;
  std::string change;
  std::string reason;
  std::string suggested_by;
  double strength = 0.0;
  long extra_parameters = 0;
  Burden burden = Burden::must_gain;
  CandidateFate fate = CandidateFate::screened_out;
  std::string why;                         ///< it was refused
  int folds = 0;                           ///< fitted before it was dropped or passed
  std::optional<double> score_percent{};   ///< held-out score on those folds
  std::optional<double> before_percent{};  ///< of the structure without it, on the same
  calibrate::StudySpec spec;
  friend bool operator==(const CandidateRecord&, const CandidateRecord&) = default;
};

/// What became of something that the study's proposer said.
enum class OutsideFate {
  proposed,  ///< a move that was screened
  repeated,  ///< one that was tried on this structure, or that changes nothing
  unusable,  ///< no move at all
  failed,    ///< no answer: the program ended badly, took too long, or wrote no JSON
};
inline constexpr std::array<core::Word<OutsideFate>, 4> kOutsideFates{{
    {"proposed", OutsideFate::proposed},
    {"repeated", OutsideFate::repeated},
    {"unusable", OutsideFate::unusable},
    {"failed", OutsideFate::failed},
}};

struct OutsideRecord {
  OutsideFate fate = OutsideFate::proposed;
  std::string move;
  std::string text;
  friend bool operator==(const OutsideRecord&, const OutsideRecord&) = default;
};

/// What was found wrong with a structure, and which moves were screened for it. Survivors are judged one after another, the most
/// promising first; what is kept stays in place when the next is judged.
struct ScreeningRecord {
  int screening = 0;
  int structure = 0;  ///< the round whose structure was diagnosed
  std::vector<Finding> findings;
  std::vector<CandidateRecord> candidates;
  std::vector<std::size_t> queue;  ///< indices of candidates, as they are to be judged
  std::vector<OutsideRecord> outside{};
  long evaluations = 0;
  friend bool operator==(const ScreeningRecord&, const ScreeningRecord&) = default;
};

enum class RoundFate { start, kept, reverted };
inline constexpr std::array<core::Word<RoundFate>, 3> kRoundFates{{
    {"start", RoundFate::start},
    {"kept", RoundFate::kept},
    {"reverted", RoundFate::reverted},
}};

/// One verdict. Round 0 is the structure as the study has it.
struct RoundRecord {
  int round = 0;
  int screening = 0;
  std::string move;
  std::string change;
  std::string reason;
  std::string suggested_by;
  RoundFate fate = RoundFate::start;
  std::string why;
  long free_parameters = 0;
  long extra_parameters = 0;
  double before_percent = 0.0;
  double after_percent = 0.0;
  double gain_percent = 0.0;
  double noise_percent = 0.0;
  std::vector<GroupChange> groups;
  std::vector<FoldFit> fits;
  long evaluations = 0;
  calibrate::StudySpec spec;  ///< reproduces the round: its structure as a study
  friend bool operator==(const RoundRecord&, const RoundRecord&) = default;
};

/// Why the loop ended.
struct OutcomeRecord {
  int structure = 0;  ///< the round whose structure is the result
  std::string reason;
  bool machine_dependent = false;
  friend bool operator==(const OutcomeRecord&, const OutcomeRecord&) = default;
};

struct JournalEntries {
  std::vector<ScreeningRecord> screenings;
  std::vector<RoundRecord> rounds;
  std::optional<OutcomeRecord> outcome;
  friend bool operator==(const JournalEntries&, const JournalEntries&) = default;
};

/// Where an improvement writes down what it did, and finds it again. Every call is durable when it returns. Seconds are kept apart
/// from the records, so that two runs of one study have equal journals.
class Journal {
 public:
  Journal() = default;
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  virtual ~Journal() = default;

  [[nodiscard]] virtual core::Result<JournalEntries> read() = 0;
  [[nodiscard]] virtual core::Result<void> add(const ScreeningRecord& record, double seconds) = 0;
  [[nodiscard]] virtual core::Result<void> add(const RoundRecord& record, double seconds) = 0;
  [[nodiscard]] virtual core::Result<void> add(const OutcomeRecord& record) = 0;
};

/// A journal that lasts as long as the process.
class JournalInMemory final : public Journal {
 public:
  [[nodiscard]] core::Result<JournalEntries> read() override { return entries_; }
  [[nodiscard]] core::Result<void> add(const ScreeningRecord& record, double seconds) override;
  [[nodiscard]] core::Result<void> add(const RoundRecord& record, double seconds) override;
  [[nodiscard]] core::Result<void> add(const OutcomeRecord& record) override;

 private:
  JournalEntries entries_;
};

}  // namespace rooftune::improve
