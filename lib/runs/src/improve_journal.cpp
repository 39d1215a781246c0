#include "rooftune/runs/improve_journal.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "rooftune/core/digest.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/runs/study_file.hpp"
#include "sqlite_database.hpp"

namespace rooftune::runs {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 9> kTables{"improve_screenings", "improve_findings", "improve_candidates",
                                             "improve_outside",    "improve_rounds",   "improve_errors",
                                             "improve_fits",       "improve_outcome",  "improve_seconds"};

constexpr auto kJournalTables = R"(
CREATE TABLE IF NOT EXISTS improve_screenings (
  screening INTEGER PRIMARY KEY,
  structure INTEGER NOT NULL,  -- the round whose structure was diagnosed
  evaluations INTEGER NOT NULL, checksum TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS improve_findings (
  screening INTEGER NOT NULL, rank INTEGER NOT NULL, kind TEXT NOT NULL, metric TEXT NOT NULL, factor TEXT NOT NULL,
  level TEXT NOT NULL, parameter TEXT NOT NULL, effect REAL NOT NULL, strength REAL NOT NULL, text TEXT NOT NULL,
  checksum TEXT NOT NULL, PRIMARY KEY (screening, rank)
);
CREATE TABLE IF NOT EXISTS improve_candidates (
  screening INTEGER NOT NULL, rank INTEGER NOT NULL, move TEXT NOT NULL, change TEXT NOT NULL, reason TEXT NOT NULL,
  suggested_by TEXT NOT NULL, strength REAL NOT NULL, extra_parameters INTEGER NOT NULL, burden TEXT NOT NULL, fate TEXT NOT NULL, why TEXT NOT NULL,
  folds INTEGER NOT NULL, before_percent REAL, score_percent REAL,
  place INTEGER,               -- in the queue of those to judge
  study TEXT NOT NULL, checksum TEXT NOT NULL,
  PRIMARY KEY (screening, rank)
);
CREATE TABLE IF NOT EXISTS improve_outside (
  screening INTEGER NOT NULL, rank INTEGER NOT NULL, fate TEXT NOT NULL, move TEXT NOT NULL, text TEXT NOT NULL, checksum TEXT NOT NULL,
  PRIMARY KEY (screening, rank)
);
CREATE TABLE IF NOT EXISTS improve_rounds (
  round INTEGER PRIMARY KEY, screening INTEGER NOT NULL, move TEXT NOT NULL, change TEXT NOT NULL, reason TEXT NOT NULL,
  suggested_by TEXT NOT NULL, fate TEXT NOT NULL, why TEXT NOT NULL, free_parameters INTEGER NOT NULL,
  extra_parameters INTEGER NOT NULL, before_percent REAL NOT NULL, after_percent REAL NOT NULL, gain_percent REAL NOT NULL,
  noise_percent REAL NOT NULL, evaluations INTEGER NOT NULL,
  study TEXT NOT NULL,         -- reproduces the round
  checksum TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS improve_errors (
  round INTEGER NOT NULL, position INTEGER NOT NULL, grouped_by TEXT NOT NULL, name TEXT NOT NULL, metric TEXT NOT NULL,
  runs INTEGER NOT NULL, before_percent REAL NOT NULL, after_percent REAL NOT NULL, ape_before_percent REAL NOT NULL,
  ape_after_percent REAL NOT NULL, checksum TEXT NOT NULL,
  PRIMARY KEY (round, position)
);
CREATE TABLE IF NOT EXISTS improve_fits (
  round INTEGER NOT NULL, position INTEGER NOT NULL, seed TEXT NOT NULL, fold TEXT NOT NULL, objective REAL NOT NULL,
  evaluations INTEGER NOT NULL, termination TEXT NOT NULL,
  point TEXT NOT NULL,         -- of the free parameters, in the study's order
  checksum TEXT NOT NULL,
  PRIMARY KEY (round, position)
);
CREATE TABLE IF NOT EXISTS improve_outcome (
  structure INTEGER NOT NULL, reason TEXT NOT NULL, machine_dependent INTEGER NOT NULL, checksum TEXT NOT NULL
);
-- Kept apart, so that all other tables are equal for equal runs.
CREATE TABLE IF NOT EXISTS improve_seconds (entry TEXT PRIMARY KEY, seconds REAL NOT NULL, checksum TEXT NOT NULL);
)";

/// Makes the checksum of a row from its table and its values in their order, on the way in and on the way out.
class RowChecksum {
 public:
  explicit RowChecksum(std::string_view table) { digest_.add(table); }
  template <class Value>
  void add(const Value& value) {
    // SQLite keeps whole numbers in columns of numbers as integers: -0.0 comes back as 0.0.
    if constexpr (std::is_same_v<Value, double>) {
      digest_.add(value + 0.0);
    } else {
      digest_.add(value);
    }
  }
  [[nodiscard]] std::string text() const { return digest_.hex().substr(0, kDigits); }

 private:
  static constexpr std::size_t kDigits = 16;
  core::Digest digest_;
};

/// Binds values to the placeholders of a statement in turn; run() adds the checksum as the last.
class Insert {
 public:
  Insert(SQLite::Database& database, std::string_view table, int columns)
      : statement_(database, fmt::format("INSERT INTO {} VALUES ({})", table,
                                         fmt::join(std::vector<std::string_view>(static_cast<std::size_t>(columns) + 1, "?"), ", "))),
        checksum_(table) {}

  Insert& operator<<(const std::string& value) { return bind(value); }
  Insert& operator<<(std::string_view value) { return bind(std::string(value)); }
  Insert& operator<<(double value) { return bind(value); }
  Insert& operator<<(std::int64_t value) { return bind(value); }
  Insert& operator<<(int value) { return bind(std::int64_t{value}); }
  Insert& operator<<(const std::optional<double>& value) {
    if (value) return bind(*value);
    checksum_.add(std::string_view("null"));
    ++next_;  // stays NULL
    return *this;
  }
  void run() {
    statement_.bind(next_, checksum_.text());
    statement_.exec();
  }

 private:
  template <class Value>
  Insert& bind(const Value& value) {
    checksum_.add(value);
    statement_.bind(next_++, value);
    return *this;
  }

  SQLite::Statement statement_;
  RowChecksum checksum_;
  int next_ = 1;
};

/// What is not as it was written.
class DamagedJournal final : public SQLite::Exception {
 public:
  explicit DamagedJournal(const std::string& what) : SQLite::Exception(what) {}
};

/// Reads the columns of a row in turn: all of its table's, in their order. check() comes last.
class Row {
 public:
  Row(SQLite::Statement& statement, std::string_view table) : statement_(statement), checksum_(table) {}
  std::string text() { return noted(next().getString()); }
  double number() { return noted(next().getDouble()); }
  std::int64_t long_integer() { return noted(std::int64_t{next().getInt64()}); }
  int integer() {
    const std::int64_t value = long_integer();
    if (value < 0 || value > std::numeric_limits<int>::max()) throw DamagedJournal("a count in the journal is out of its range");
    return static_cast<int>(value);
  }
  std::optional<double> optional_number() {
    const SQLite::Column column = next();
    if (!column.isNull()) return noted(column.getDouble());
    checksum_.add(std::string_view("null"));
    return std::nullopt;
  }
  void check() {
    if (next().getString() != checksum_.text()) throw DamagedJournal("a row of the journal is damaged");
  }

 private:
  template <class Value>
  Value noted(Value value) {
    checksum_.add(value);
    return value;
  }
  SQLite::Column next() { return statement_.getColumn(next_++); }
  SQLite::Statement& statement_;
  RowChecksum checksum_;
  int next_ = 0;
};

template <class Enum, std::size_t N>
Enum enum_of(const std::string& word, const std::array<core::Word<Enum>, N>& words) {
  const auto found = std::ranges::find(words, word, [](const auto& entry) { return entry.first; });
  if (found == words.end()) throw DamagedJournal(fmt::format("the journal holds the unknown word '{}'", word));
  return found->second;
}

std::vector<double> numbers_of(const std::string& text) {
  std::vector<double> numbers;
  for (const char* at = text.data(); at < text.data() + text.size();) {
    double value = 0.0;
    const auto [end, failed] = std::from_chars(at, text.data() + text.size(), value);
    if (failed != std::errc()) throw DamagedJournal("the journal holds a point that is no list of numbers");
    numbers.push_back(value);
    at = end == text.data() + text.size() ? end : end + 1;
  }
  return numbers;
}

std::uint64_t seed_of(const std::string& text) {
  std::uint64_t seed = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (failed != std::errc() || end != text.data() + text.size()) throw DamagedJournal("the journal holds a seed that is no number");
  return seed;
}

class SqliteJournal final : public improve::Journal {
 public:
  explicit SqliteJournal(fs::path file, DatabaseAccess access = DatabaseAccess::append)
      : file_(std::move(file)), database_(open_database(file_, access, format_)) {
    if (format_ == kFormatWithoutChecksums) {
      throw SQLite::Exception("it was written by an older version, whose rows carry no checksums; start afresh with another --out");
    }
    // Before other structures, terms and proposers there was no such table: such a journal would be continued by other rules.
    if (database_.tableExists("improve_rounds") && !database_.tableExists("improve_outside")) {
      throw SQLite::Exception("it was written by an older version, whose loop knew other moves; start afresh with another --out");
    }
    if (access == DatabaseAccess::append) database_.exec(kJournalTables);
  }

  core::Result<improve::JournalEntries> read() override {
    try {
      // Of one moment, whoever writes meanwhile. Where nobody has written yet there are no tables.
      const SQLite::Transaction moment(database_);
      return database_.tableExists("improve_rounds") ? read_all() : improve::JournalEntries{};
    } catch (const SQLite::Exception& error) {
      return tl::unexpected(core::Diagnostics{database_problem(file_, "the journal cannot be read", error)});
    }
  }

  /// Makes the journal empty if what it holds is not as it was written, and says so.
  core::Result<core::Diagnostics> discard_damaged() {
    try {
      try {
        static_cast<void>(read_all());
        return core::Diagnostics{};
      } catch (const DamagedJournal& damage) {
        return core::Diagnostics{discard_all(damage.what())};
      }
    } catch (const SQLite::Exception& error) {
      return tl::unexpected(core::Diagnostics{database_problem(file_, "the journal cannot be read", error)});
    }
  }

  core::Result<void> add(const improve::ScreeningRecord& record, double seconds) override {
    return transaction([&] {
      (Insert(database_, "improve_screenings", 3) << record.screening << record.structure << std::int64_t{record.evaluations}).run();
      for (std::size_t rank = 0; rank < record.findings.size(); ++rank) {
        const improve::Finding& finding = record.findings[rank];
        (Insert(database_, "improve_findings", 10)
         << record.screening << static_cast<std::int64_t>(rank) << core::word_of(improve::kFindingKinds, finding.kind)
         << finding.metric << finding.factor << finding.level << finding.parameter << finding.effect << finding.strength
         << finding.text)
            .run();
      }
      for (std::size_t rank = 0; rank < record.candidates.size(); ++rank) {
        const improve::CandidateRecord& item = record.candidates[rank];
        const auto place = std::ranges::find(record.queue, rank);
        std::optional<double> queued;
        if (place != record.queue.end()) queued = static_cast<double>(place - record.queue.begin());
        (Insert(database_, "improve_candidates", 16)
         << record.screening << static_cast<std::int64_t>(rank) << item.move << item.change << item.reason << item.suggested_by
         << item.strength << std::int64_t{item.extra_parameters} << core::word_of(improve::kBurdens, item.burden)
         << core::word_of(improve::kCandidateFates, item.fate) << item.why << item.folds << item.before_percent << item.score_percent
         << queued << text_of(item.spec))
            .run();
      }
      for (std::size_t rank = 0; rank < record.outside.size(); ++rank) {
        const improve::OutsideRecord& item = record.outside[rank];
        (Insert(database_, "improve_outside", 5) << record.screening << static_cast<std::int64_t>(rank)
                                                 << core::word_of(improve::kOutsideFates, item.fate) << item.move << item.text)
            .run();
      }
      add_seconds(fmt::format("screening {}", record.screening), seconds);
    });
  }

  core::Result<void> add(const improve::RoundRecord& record, double seconds) override {
    return transaction([&] {
      (Insert(database_, "improve_rounds", 16)
       << record.round << record.screening << record.move << record.change << record.reason << record.suggested_by
       << core::word_of(improve::kRoundFates, record.fate) << record.why << std::int64_t{record.free_parameters}
       << std::int64_t{record.extra_parameters} << record.before_percent << record.after_percent << record.gain_percent
       << record.noise_percent << std::int64_t{record.evaluations} << text_of(record.spec))
          .run();
      for (std::size_t i = 0; i < record.groups.size(); ++i) {
        const improve::GroupChange& change = record.groups[i];
        (Insert(database_, "improve_errors", 10)
         << record.round << static_cast<std::int64_t>(i) << change.group.first << change.group.second
         << domain::metric_name(change.metric) << change.runs << change.before_percent << change.after_percent
         << change.ape_before_percent << change.ape_after_percent)
            .run();
      }
      for (std::size_t i = 0; i < record.fits.size(); ++i) {
        const improve::FoldFit& fit = record.fits[i];
        (Insert(database_, "improve_fits", 8) << record.round << static_cast<std::int64_t>(i) << fmt::format("{}", fit.seed)
                                              << fit.fold << fit.objective << std::int64_t{fit.evaluations} << fit.termination
                                              << fmt::format("{}", fmt::join(fit.values, " ")))
            .run();
      }
      add_seconds(fmt::format("round {}", record.round), seconds);
    });
  }

  core::Result<void> add(const improve::OutcomeRecord& record) override {
    return transaction([&] {
      (Insert(database_, "improve_outcome", 3) << record.structure << record.reason << (record.machine_dependent ? 1 : 0)).run();
    });
  }

 private:
  improve::JournalEntries read_all() {
    improve::JournalEntries entries;
    read_screenings(entries);
    read_rounds(entries);
    read_outcome(entries);
    check(entries);
    return entries;
  }

  core::Diagnostic discard_all(const std::string& damage) {
    SQLite::Transaction transaction(database_, SQLite::TransactionBehavior::IMMEDIATE);
    const auto count = [&](const char* table) {
      return database_.execAndGet(fmt::format("SELECT count(*) FROM {}", table)).getInt64();
    };
    const std::int64_t screenings = count("improve_screenings");
    const std::int64_t rounds = count("improve_rounds");
    for (const char* const table : kTables) database_.exec(fmt::format("DELETE FROM {}", table));
    transaction.commit();
    return {.position = {.file = file_.string()},
            .problem = fmt::format("{}: {} screenings and {} rounds are computed again", damage, screenings, rounds),
            .remedy = "the result is not affected; check the disk",
            .severity = core::Severity::warning};
  }

  /// Numbers that other entries are found by.
  static void check(const improve::JournalEntries& entries) {
    const auto require = [](bool holds) {
      if (!holds) throw DamagedJournal("the journal's entries do not fit together");
    };
    const auto rounds = static_cast<int>(entries.rounds.size());
    const auto screenings = static_cast<int>(entries.screenings.size());
    for (int i = 0; i < screenings; ++i) {
      const improve::ScreeningRecord& screening = entries.screenings[static_cast<std::size_t>(i)];
      require(screening.screening == i + 1 && screening.structure < rounds);
    }
    for (int i = 0; i < rounds; ++i) {
      const improve::RoundRecord& round = entries.rounds[static_cast<std::size_t>(i)];
      require(round.round == i && round.screening <= screenings && (round.fate == improve::RoundFate::start) == (i == 0));
    }
    require(!entries.outcome || entries.outcome->structure < rounds);
  }

  template <class Body>
  core::Result<void> transaction(const Body& body) {
    try {
      SQLite::Transaction transaction(database_, SQLite::TransactionBehavior::IMMEDIATE);
      body();
      transaction.commit();
      return {};
    } catch (const SQLite::Exception& error) {
      return tl::unexpected(core::Diagnostics{database_problem(file_, "the journal cannot be written", error)});
    }
  }

  void add_seconds(const std::string& entry, double seconds) { (Insert(database_, "improve_seconds", 2) << entry << seconds).run(); }

  [[nodiscard]] std::string text_of(const calibrate::StudySpec& spec) const {
    return study_text(with_paths_from(spec, ".", file_.parent_path()));
  }

  [[nodiscard]] calibrate::StudySpec spec_of(const std::string& text) const {
    auto file = parse_study(text, file_.string());
    if (!file) throw DamagedJournal("a study in the journal cannot be read: " + core::format(file.error()));
    return with_paths_from(std::move(file->spec), file_.parent_path(), ".");
  }

  void read_screenings(improve::JournalEntries& entries) {
    SQLite::Statement screenings(database_, "SELECT * FROM improve_screenings ORDER BY screening");
    while (screenings.executeStep()) {
      Row row(screenings, "improve_screenings");
      improve::ScreeningRecord& record = entries.screenings.emplace_back();
      record.screening = row.integer();
      record.structure = row.integer();
      record.evaluations = row.long_integer();
      row.check();
      read_findings(record);
      read_candidates(record);
      read_outside(record);
    }
  }

  /// Rows of an entry are counted from 0 without a gap.
  static void require_rank(Row& row, std::size_t rank) {
    if (row.integer() != static_cast<int>(rank)) throw DamagedJournal("the journal lacks a row");
  }

  void read_findings(improve::ScreeningRecord& record) {
    SQLite::Statement findings(database_, "SELECT * FROM improve_findings WHERE screening = ? ORDER BY rank");
    findings.bind(1, record.screening);
    while (findings.executeStep()) {
      Row row(findings, "improve_findings");
      static_cast<void>(row.integer());
      require_rank(row, record.findings.size());
      improve::Finding& finding = record.findings.emplace_back();
      finding.kind = enum_of(row.text(), improve::kFindingKinds);
      for (std::string* text : {&finding.metric, &finding.factor, &finding.level, &finding.parameter}) *text = row.text();
      finding.effect = row.number();
      finding.strength = row.number();
      finding.text = row.text();
      row.check();
    }
  }

  void read_candidates(improve::ScreeningRecord& record) {
    SQLite::Statement candidates(database_, "SELECT * FROM improve_candidates WHERE screening = ? ORDER BY rank");
    candidates.bind(1, record.screening);
    std::vector<std::pair<double, std::size_t>> queue;
    while (candidates.executeStep()) {
      Row row(candidates, "improve_candidates");
      static_cast<void>(row.integer());
      require_rank(row, record.candidates.size());
      improve::CandidateRecord& item = record.candidates.emplace_back();
      for (std::string* text : {&item.move, &item.change, &item.reason, &item.suggested_by}) *text = row.text();
      item.strength = row.number();
      item.extra_parameters = row.long_integer();
      item.burden = enum_of(row.text(), improve::kBurdens);
      item.fate = enum_of(row.text(), improve::kCandidateFates);
      item.why = row.text();
      item.folds = row.integer();
      item.before_percent = row.optional_number();
      item.score_percent = row.optional_number();
      if (const auto place = row.optional_number()) queue.emplace_back(*place, record.candidates.size() - 1);
      const std::string study = row.text();
      row.check();
      item.spec = spec_of(study);
    }
    std::ranges::sort(queue);
    for (const auto& [place, index] : queue) record.queue.push_back(index);
  }

  void read_outside(improve::ScreeningRecord& record) {
    SQLite::Statement outside(database_, "SELECT * FROM improve_outside WHERE screening = ? ORDER BY rank");
    outside.bind(1, record.screening);
    while (outside.executeStep()) {
      Row row(outside, "improve_outside");
      static_cast<void>(row.integer());
      require_rank(row, record.outside.size());
      improve::OutsideRecord& item = record.outside.emplace_back();
      item.fate = enum_of(row.text(), improve::kOutsideFates);
      item.move = row.text();
      item.text = row.text();
      row.check();
    }
  }

  void read_rounds(improve::JournalEntries& entries) {
    SQLite::Statement rounds(database_, "SELECT * FROM improve_rounds ORDER BY round");
    while (rounds.executeStep()) {
      Row row(rounds, "improve_rounds");
      improve::RoundRecord& record = entries.rounds.emplace_back();
      record.round = row.integer();
      record.screening = row.integer();
      for (std::string* text : {&record.move, &record.change, &record.reason, &record.suggested_by}) *text = row.text();
      record.fate = enum_of(row.text(), improve::kRoundFates);
      record.why = row.text();
      record.free_parameters = row.long_integer();
      record.extra_parameters = row.long_integer();
      for (double* number : {&record.before_percent, &record.after_percent, &record.gain_percent, &record.noise_percent})
        *number = row.number();
      record.evaluations = row.long_integer();
      const std::string study = row.text();
      row.check();
      record.spec = spec_of(study);
      read_errors(record);
      read_fits(record);
    }
  }

  void read_errors(improve::RoundRecord& record) {
    SQLite::Statement errors(database_, "SELECT * FROM improve_errors WHERE round = ? ORDER BY position");
    errors.bind(1, record.round);
    while (errors.executeStep()) {
      Row row(errors, "improve_errors");
      static_cast<void>(row.integer());
      require_rank(row, record.groups.size());
      improve::GroupChange& change = record.groups.emplace_back();
      change.group.first = row.text();
      change.group.second = row.text();
      const auto metric = domain::find_metric(row.text());
      if (!metric) throw DamagedJournal("the journal holds an unknown metric");
      change.metric = *metric;
      change.runs = row.integer();
      for (double* number : {&change.before_percent, &change.after_percent, &change.ape_before_percent, &change.ape_after_percent}) {
        *number = row.number();
      }
      row.check();
    }
  }

  void read_fits(improve::RoundRecord& record) {
    SQLite::Statement fits(database_, "SELECT * FROM improve_fits WHERE round = ? ORDER BY position");
    fits.bind(1, record.round);
    while (fits.executeStep()) {
      Row row(fits, "improve_fits");
      static_cast<void>(row.integer());
      require_rank(row, record.fits.size());
      improve::FoldFit& fit = record.fits.emplace_back();
      fit.seed = seed_of(row.text());
      fit.fold = row.text();
      fit.objective = row.number();
      fit.evaluations = row.long_integer();
      fit.termination = row.text();
      const std::string point = row.text();
      row.check();
      fit.values = numbers_of(point);
    }
  }

  void read_outcome(improve::JournalEntries& entries) {
    SQLite::Statement outcome(database_, "SELECT * FROM improve_outcome");
    if (!outcome.executeStep()) return;
    Row row(outcome, "improve_outcome");
    improve::OutcomeRecord& record = entries.outcome.emplace();
    record.structure = row.integer();
    record.reason = row.text();
    record.machine_dependent = row.integer() != 0;
    row.check();
  }

  int format_ = kRunDatabaseFormat;
  fs::path file_;
  SQLite::Database database_;
};

}  // namespace

core::Result<std::unique_ptr<improve::Journal>> open_journal(const fs::path& file) {
  try {
    return std::make_unique<SqliteJournal>(file);
  } catch (const SQLite::Exception& error) {
    return tl::unexpected(core::Diagnostics{database_problem(file, "the journal cannot be opened", error)});
  }
}

core::Result<improve::JournalEntries> read_journal(const fs::path& file) {
  try {
    return SqliteJournal(file, DatabaseAccess::read_only).read();
  } catch (const SQLite::Exception& error) {
    return tl::unexpected(core::Diagnostics{database_problem(file, "the journal cannot be opened", error)});
  }
}

core::Result<core::Diagnostics> discard_damaged_journal(const fs::path& file) {
  try {
    return SqliteJournal(file).discard_damaged();
  } catch (const SQLite::Exception& error) {
    return tl::unexpected(core::Diagnostics{database_problem(file, "the journal cannot be opened", error)});
  }
}

}  // namespace rooftune::runs
