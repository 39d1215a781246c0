#include "rooftune/runs/improve_journal.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "rooftune/core/word.hpp"
#include "rooftune/runs/study_file.hpp"
#include "sqlite_database.hpp"

namespace rooftune::runs {
namespace {

namespace fs = std::filesystem;

/// "rtev": the databases of run folders.
constexpr int kRunDatabaseId = 0x72746576;

constexpr auto kSchema = R"(
CREATE TABLE IF NOT EXISTS improve_screenings (
  screening INTEGER PRIMARY KEY,
  structure INTEGER NOT NULL,  -- the round whose structure was diagnosed
  evaluations INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS improve_findings (
  screening INTEGER NOT NULL, rank INTEGER NOT NULL, kind TEXT NOT NULL, metric TEXT NOT NULL, factor TEXT NOT NULL,
  level TEXT NOT NULL, parameter TEXT NOT NULL, effect REAL NOT NULL, strength REAL NOT NULL, text TEXT NOT NULL,
  PRIMARY KEY (screening, rank)
);
CREATE TABLE IF NOT EXISTS improve_candidates (
  screening INTEGER NOT NULL, rank INTEGER NOT NULL, move TEXT NOT NULL, change TEXT NOT NULL, reason TEXT NOT NULL,
  suggested_by TEXT NOT NULL, strength REAL NOT NULL, extra_parameters INTEGER NOT NULL, burden TEXT NOT NULL, fate TEXT NOT NULL, why TEXT NOT NULL,
  folds INTEGER NOT NULL, before_percent REAL, score_percent REAL,
  place INTEGER,               -- in the queue of those to judge
  study TEXT NOT NULL,
  PRIMARY KEY (screening, rank)
);
CREATE TABLE IF NOT EXISTS improve_rounds (
  round INTEGER PRIMARY KEY, screening INTEGER NOT NULL, move TEXT NOT NULL, change TEXT NOT NULL, reason TEXT NOT NULL,
  suggested_by TEXT NOT NULL, fate TEXT NOT NULL, why TEXT NOT NULL, free_parameters INTEGER NOT NULL,
  extra_parameters INTEGER NOT NULL, before_percent REAL NOT NULL, after_percent REAL NOT NULL, gain_percent REAL NOT NULL,
  noise_percent REAL NOT NULL, evaluations INTEGER NOT NULL,
  study TEXT NOT NULL          -- reproduces the round
);
CREATE TABLE IF NOT EXISTS improve_errors (
  round INTEGER NOT NULL, position INTEGER NOT NULL, grouped_by TEXT NOT NULL, name TEXT NOT NULL, metric TEXT NOT NULL,
  runs INTEGER NOT NULL, before_percent REAL NOT NULL, after_percent REAL NOT NULL, ape_before_percent REAL NOT NULL,
  ape_after_percent REAL NOT NULL,
  PRIMARY KEY (round, position)
);
CREATE TABLE IF NOT EXISTS improve_fits (
  round INTEGER NOT NULL, position INTEGER NOT NULL, seed TEXT NOT NULL, fold TEXT NOT NULL, objective REAL NOT NULL,
  evaluations INTEGER NOT NULL, termination TEXT NOT NULL,
  point TEXT NOT NULL,         -- of the free parameters, in the study's order
  PRIMARY KEY (round, position)
);
CREATE TABLE IF NOT EXISTS improve_outcome (
  structure INTEGER NOT NULL, reason TEXT NOT NULL, machine_dependent INTEGER NOT NULL
);
-- Kept apart, so that all other tables are equal for equal runs.
CREATE TABLE IF NOT EXISTS improve_seconds (entry TEXT PRIMARY KEY, seconds REAL NOT NULL);
)";

/// Binds values to the placeholders of a statement in turn.
class Insert {
 public:
  Insert(SQLite::Database& database, std::string_view table, int columns)
      : statement_(database, fmt::format("INSERT INTO {} VALUES ({})", table,
                                         fmt::join(std::vector<std::string_view>(static_cast<std::size_t>(columns), "?"), ", "))) {}

  Insert& operator<<(const std::string& value) { return bind(value); }
  Insert& operator<<(std::string_view value) { return bind(std::string(value)); }
  Insert& operator<<(double value) { return bind(value); }
  Insert& operator<<(std::int64_t value) { return bind(value); }
  Insert& operator<<(int value) { return bind(value); }
  Insert& operator<<(const std::optional<double>& value) {
    if (value) return bind(*value);
    ++next_;  // stays NULL
    return *this;
  }
  void run() { statement_.exec(); }

 private:
  template <class Value>
  Insert& bind(const Value& value) {
    statement_.bind(next_++, value);
    return *this;
  }

  SQLite::Statement statement_;
  int next_ = 1;
};

/// Reads the columns of a row in turn.
class Row {
 public:
  explicit Row(SQLite::Statement& statement) : statement_(statement) {}
  std::string text() { return next().getString(); }
  double number() { return next().getDouble(); }
  int integer() { return next().getInt(); }
  std::int64_t long_integer() { return next().getInt64(); }
  std::optional<double> optional_number() {
    const SQLite::Column column = next();
    if (column.isNull()) return std::nullopt;
    return column.getDouble();
  }
  std::optional<int> optional_integer() {
    const SQLite::Column column = next();
    if (column.isNull()) return std::nullopt;
    return column.getInt();
  }

 private:
  SQLite::Column next() { return statement_.getColumn(next_++); }
  SQLite::Statement& statement_;
  int next_ = 0;
};

template <class Enum, std::size_t N>
Enum enum_of(const std::string& word, const std::array<core::Word<Enum>, N>& words) {
  const auto found = std::ranges::find(words, word, [](const auto& entry) { return entry.first; });
  if (found == words.end()) throw SQLite::Exception(fmt::format("the journal holds the unknown word '{}'", word));
  return found->second;
}

std::vector<double> numbers_of(const std::string& text) {
  std::vector<double> numbers;
  for (const char* at = text.data(); at < text.data() + text.size();) {
    double value = 0.0;
    const auto [end, failed] = std::from_chars(at, text.data() + text.size(), value);
    if (failed != std::errc()) throw SQLite::Exception("the journal holds a point that is no list of numbers");
    numbers.push_back(value);
    at = end + 1;
  }
  return numbers;
}

class SqliteJournal final : public improve::Journal {
 public:
  explicit SqliteJournal(fs::path file)
      : file_(std::move(file)), database_(open_database(file_, DatabaseAccess::append, kRunDatabaseId)) {
    database_.exec(kSchema);
  }

  core::Result<improve::JournalEntries> read() override {
    try {
      improve::JournalEntries entries;
      read_screenings(entries);
      read_rounds(entries);
      SQLite::Statement outcome(database_, "SELECT structure, reason, machine_dependent FROM improve_outcome");
      if (outcome.executeStep()) {
        Row row(outcome);
        improve::OutcomeRecord& record = entries.outcome.emplace();
        record.structure = row.integer();
        record.reason = row.text();
        record.machine_dependent = row.integer() != 0;
      }
      return entries;
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
    if (!file) throw SQLite::Exception("a study in the journal cannot be read: " + core::format(file.error()));
    return with_paths_from(std::move(file->spec), file_.parent_path(), ".");
  }

  void read_screenings(improve::JournalEntries& entries) {
    SQLite::Statement screenings(database_, "SELECT screening, structure, evaluations FROM improve_screenings ORDER BY screening");
    while (screenings.executeStep()) {
      Row row(screenings);
      improve::ScreeningRecord& record = entries.screenings.emplace_back();
      record.screening = row.integer();
      record.structure = row.integer();
      record.evaluations = row.long_integer();
      SQLite::Statement findings(database_,
                                 "SELECT kind, metric, factor, level, parameter, effect, strength, text FROM improve_findings WHERE "
                                 "screening = ? ORDER BY rank");
      findings.bind(1, record.screening);
      while (findings.executeStep()) {
        Row column(findings);
        improve::Finding& finding = record.findings.emplace_back();
        finding.kind = enum_of(column.text(), improve::kFindingKinds);
        for (std::string* text : {&finding.metric, &finding.factor, &finding.level, &finding.parameter}) *text = column.text();
        finding.effect = column.number();
        finding.strength = column.number();
        finding.text = column.text();
      }
      read_candidates(record);
    }
  }

  void read_candidates(improve::ScreeningRecord& record) {
    SQLite::Statement candidates(
        database_,
        "SELECT move, change, reason, suggested_by, strength, extra_parameters, burden, fate, why, folds, "
        "before_percent, score_percent, place, study FROM improve_candidates WHERE screening = ? ORDER BY rank");
    candidates.bind(1, record.screening);
    std::vector<std::pair<int, std::size_t>> queue;
    while (candidates.executeStep()) {
      Row row(candidates);
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
      if (const auto place = row.optional_integer()) queue.emplace_back(*place, record.candidates.size() - 1);
      item.spec = spec_of(row.text());
    }
    std::ranges::sort(queue);
    for (const auto& [place, index] : queue) record.queue.push_back(index);
  }

  void read_rounds(improve::JournalEntries& entries) {
    SQLite::Statement rounds(database_,
                             "SELECT round, screening, move, change, reason, suggested_by, fate, why, free_parameters, "
                             "extra_parameters, before_percent, after_percent, gain_percent, noise_percent, evaluations, study FROM "
                             "improve_rounds ORDER BY round");
    while (rounds.executeStep()) {
      Row row(rounds);
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
      record.spec = spec_of(row.text());
      SQLite::Statement errors(database_,
                               "SELECT grouped_by, name, metric, runs, before_percent, after_percent, ape_before_percent, "
                               "ape_after_percent FROM improve_errors WHERE round = ? ORDER BY position");
      errors.bind(1, record.round);
      while (errors.executeStep()) {
        Row column(errors);
        improve::GroupChange& change = record.groups.emplace_back();
        change.group.first = column.text();
        change.group.second = column.text();
        const auto metric = domain::find_metric(column.text());
        if (!metric) throw SQLite::Exception("the journal holds an unknown metric");
        change.metric = *metric;
        change.runs = column.integer();
        for (double* number : {&change.before_percent, &change.after_percent, &change.ape_before_percent, &change.ape_after_percent}) {
          *number = column.number();
        }
      }
      SQLite::Statement fits(
          database_,
          "SELECT seed, fold, objective, evaluations, termination, point FROM improve_fits WHERE round = ? ORDER BY position");
      fits.bind(1, record.round);
      while (fits.executeStep()) {
        Row column(fits);
        improve::FoldFit& fit = record.fits.emplace_back();
        fit.seed = std::stoull(column.text());
        fit.fold = column.text();
        fit.objective = column.number();
        fit.evaluations = column.long_integer();
        fit.termination = column.text();
        fit.values = numbers_of(column.text());
      }
    }
  }

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

}  // namespace rooftune::runs
