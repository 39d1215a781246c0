#include "rooftune/runs/evaluation_store.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "rooftune/core/digest.hpp"
#include "sqlite_database.hpp"

namespace rooftune::runs {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

/// Evaluations that end sooner after the last write wait for the next one.
constexpr auto kBatchTime = std::chrono::milliseconds(200);

constexpr auto kStoreTables = R"(
CREATE TABLE IF NOT EXISTS problems (id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS evaluations (
  problem INTEGER NOT NULL REFERENCES problems(id),
  request TEXT NOT NULL,
  point BLOB NOT NULL,     -- doubles, as the machine has them
  numbers BLOB NOT NULL,
  refusal TEXT,
  checksum TEXT NOT NULL,  -- of all of the above, the problem by its hash
  PRIMARY KEY (problem, request, point)
) WITHOUT ROWID;
)";

/// An EvaluationKey that owns what it names.
struct OwnedKey {
  std::string problem;
  std::string request;
  std::string point;
  OwnedKey(std::string of_problem, std::string of_request, std::string of_point)
      : problem(std::move(of_problem)), request(std::move(of_request)), point(std::move(of_point)) {}
  explicit OwnedKey(const calibrate::EvaluationKey& key)
      : problem(key.problem), request(key.request), point(reinterpret_cast<const char*>(key.point.data()), key.point.size_bytes()) {}
  friend auto operator<=>(const OwnedKey&, const OwnedKey&) = default;
};

/// Covers the key as well: a row that is found under another key than it was stored under is as wrong as one with other numbers.
std::string checksum_of(const OwnedKey& key, const calibrate::StoredEvaluation& evaluation) {
  constexpr std::size_t kDigits = 16;
  return core::Digest().add(key.problem, key.request, key.point, evaluation.numbers, evaluation.refusal).hex().substr(0, kDigits);
}

std::vector<double> doubles_of(std::string_view bytes) {
  std::vector<double> numbers(bytes.size() / sizeof(double));
  if (!numbers.empty()) std::memcpy(numbers.data(), bytes.data(), numbers.size() * sizeof(double));
  return numbers;
}

/// What a row holds, when it is as it was written.
std::optional<calibrate::StoredEvaluation> sound_evaluation(const OwnedKey& key, std::string_view numbers,
                                                            std::optional<std::string> refusal, std::string_view checksum) {
  if (numbers.size() % sizeof(double) != 0) return std::nullopt;
  calibrate::StoredEvaluation found{.numbers = doubles_of(numbers), .refusal = std::move(refusal)};
  if (checksum != checksum_of(key, found)) return std::nullopt;
  return found;
}

constexpr auto kIsDamaged =
    "NOT rooftune_is_sound((SELECT sha256 FROM problems WHERE id = problem), request, point, numbers, refusal, checksum)";

std::string bytes_of(sqlite3_value* value) {
  const void* const bytes = sqlite3_value_blob(value);
  return bytes == nullptr ? "" : std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(sqlite3_value_bytes(value)));
}

/// The function of kIsDamaged.
void is_sound(sqlite3_context* context, int, sqlite3_value** values) {
  try {
    const OwnedKey key(bytes_of(values[0]), bytes_of(values[1]), bytes_of(values[2]));
    std::optional<std::string> refusal;
    if (sqlite3_value_type(values[4]) != SQLITE_NULL) refusal = bytes_of(values[4]);
    sqlite3_result_int(context, sound_evaluation(key, bytes_of(values[3]), std::move(refusal), bytes_of(values[5])) ? 1 : 0);
  } catch (const std::bad_alloc&) {
    sqlite3_result_error_nomem(context);
  }
}

/// Puts the rows of a file without checksums aside, and says how many there are. They are not thrown away: an older rooftune may
/// want them.
long set_old_rows_aside(SQLite::Database& database) {
  SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
  long rows = 0;
  if (database.execAndGet("PRAGMA user_version").getInt() == kFormatWithoutChecksums) {
    for (const char* const table : {"evaluations", "problems"}) {
      if (!database.tableExists(table)) continue;
      rows = std::max<long>(rows, database.execAndGet(fmt::format("SELECT count(*) FROM {}", table)).getInt64());
      database.exec(fmt::format("ALTER TABLE {0} RENAME TO {0}_without_checksums", table));
    }
    database.exec(fmt::format("PRAGMA user_version = {}", kRunDatabaseFormat));
  }
  transaction.commit();
  return rows;
}

void bind_bytes(SQLite::Statement& statement, int index, const void* data, std::size_t size) {
  // A null pointer would bind NULL instead of an empty blob.
  statement.bindNoCopy(index, size == 0 ? "" : data, static_cast<int>(size));
}

/// Two stores that were not made by the same program on the same kind of machine.
class Contradiction final : public SQLite::Exception {
 public:
  explicit Contradiction(const std::string& what) : SQLite::Exception(what) {}
};

constexpr std::size_t kShownDigits = 12;

class SqliteEvaluationStore final : public calibrate::EvaluationStore {
 public:
  SqliteEvaluationStore(fs::path file, DatabaseAccess access)
      : file_(std::move(file)), access_(access), database_(open_database(file_, access, format_)) {
    if (format_ == kFormatWithoutChecksums) {
      if (access == DatabaseAccess::read_only) {
        throw SQLite::Exception("its rows carry no checksums (format 0)");
      }
      unchecked_ = set_old_rows_aside(database_);
    }
    if (access == DatabaseAccess::append) database_.exec(kStoreTables);
    sqlite3_create_function_v2(database_.getHandle(), "rooftune_is_sound", 6, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY,
                               nullptr, is_sound, nullptr, nullptr, nullptr);
    put_damaged_rows_away();
    find_.emplace(database_,
                  "SELECT numbers, refusal, checksum FROM evaluations WHERE problem = (SELECT id FROM problems WHERE sha256 = ?) AND "
                  "request = ? "
                  "AND point = ?");
  }
  ~SqliteEvaluationStore() override { SqliteEvaluationStore::flush(); }

  std::optional<calibrate::StoredEvaluation> find(const calibrate::EvaluationKey& key) override {
    const OwnedKey owned(key);
    const std::scoped_lock lock(mutex_);
    if (const auto pending = pending_.find(owned); pending != pending_.end()) return pending->second;
    try {
      return find_in_file(owned);
    } catch (const SQLite::Exception& error) {
      report("cannot be read", error);
      return std::nullopt;
    }
  }

  void append(const calibrate::EvaluationKey& key, const calibrate::StoredEvaluation& evaluation) override {
    if (access_ == DatabaseAccess::read_only) return;
    const std::scoped_lock lock(mutex_);
    pending_.try_emplace(OwnedKey(key), evaluation);
    if (Clock::now() - last_write_ >= kBatchTime) write();
  }

  void flush() override {
    const std::scoped_lock lock(mutex_);
    write();
  }

  /// Calls visit(key, evaluation) for every sound row.
  template <class Visit>
  void for_each(const Visit& visit) {
    SQLite::Statement rows(database_,
                           "SELECT sha256, request, point, numbers, refusal, checksum FROM evaluations JOIN problems ON id = problem");
    while (rows.executeStep()) {
      const OwnedKey key(rows.getColumn(0).getString(), rows.getColumn(1).getString(), rows.getColumn(2).getString());
      const std::string numbers = rows.getColumn(3).getString();
      std::optional<std::string> refusal;
      if (!rows.getColumn(4).isNull()) refusal = rows.getColumn(4).getString();
      if (const auto sound = sound_evaluation(key, numbers, std::move(refusal), rows.getColumn(5).getString())) visit(key, *sound);
    }
  }

  /// Adds the rows of others in one transaction; throws, and adds nothing, where one contradicts what is here.
  StoreMerge merge(const std::vector<std::unique_ptr<SqliteEvaluationStore>>& others) {
    StoreMerge merge;
    SQLite::Transaction transaction(database_, SQLite::TransactionBehavior::IMMEDIATE);
    for (const auto& other : others) {
      MergedStore& merged = merge.stores.emplace_back(MergedStore{.file = other->file_});
      other->for_each([&](const OwnedKey& key, const calibrate::StoredEvaluation& evaluation) {
        ++merged.evaluations;
        const auto known = find_in_file(key);
        // By their bits: a number that is none equals nothing.
        if (known && checksum_of(key, *known) != checksum_of(key, evaluation)) {
          throw Contradiction(fmt::format("{}: its '{}' of problem {} is another than that of what was merged before",
                                          other->file_.string(), key.request, key.problem.substr(0, kShownDigits)));
        }
        if (known) return;
        insert(key, evaluation);
        ++merged.added;
      });
      const core::Diagnostics problems = other->problems();
      merge.warnings.insert(merge.warnings.end(), problems.begin(), problems.end());
    }
    transaction.commit();
    return merge;
  }

  core::Diagnostics problems() const override {
    const std::scoped_lock lock(mutex_);
    core::Diagnostics problems = problems_;
    const char* const fate = access_ == DatabaseAccess::append ? "computed again" : "left out";
    if (unchecked_ > 0) {
      problems.push_back(warning(fmt::format("{} evaluations of an older version carry no checksums and were {}", unchecked_, fate)));
    }
    if (damaged_ > 0) problems.push_back(warning(fmt::format("{} evaluations in the store are damaged and were {}", damaged_, fate)));
    return problems;
  }

 private:
  /// Checks every row, so that those are counted as well whose key is what was damaged: nobody would find them.
  void put_damaged_rows_away() {
    try {
      damaged_ = database_.execAndGet(fmt::format("SELECT count(*) FROM evaluations WHERE {}", kIsDamaged)).getInt64();
      if (damaged_ == 0 || access_ == DatabaseAccess::read_only) return;
      SQLite::Transaction transaction(database_, SQLite::TransactionBehavior::IMMEDIATE);
      database_.exec(fmt::format("DELETE FROM evaluations WHERE {}", kIsDamaged));
      transaction.commit();
    } catch (const SQLite::Exception& error) {
      report("cannot be checked", error);
    }
  }

  std::optional<calibrate::StoredEvaluation> find_in_file(const OwnedKey& key) {
    find_->reset();
    find_->bindNoCopy(1, key.problem);
    find_->bindNoCopy(2, key.request);
    bind_bytes(*find_, 3, key.point.data(), key.point.size());
    if (!find_->executeStep()) return std::nullopt;
    const std::string numbers = find_->getColumn(0).getString();
    std::optional<std::string> refusal;
    if (!find_->getColumn(1).isNull()) refusal = find_->getColumn(1).getString();
    auto found = sound_evaluation(key, numbers, std::move(refusal), find_->getColumn(2).getString());
    // An open statement would keep other processes from moving the log back into the file.
    find_->reset();
    if (!found && access_ == DatabaseAccess::append) ++damaged_;  // since it was opened
    return found;
  }

  /// In a transaction of the caller's. Nothing that is there is replaced.
  void insert(const OwnedKey& key, const calibrate::StoredEvaluation& value) {
    if (!insert_problem_) {
      insert_problem_.emplace(database_, "INSERT OR IGNORE INTO problems (sha256) VALUES (?)");
      insert_.emplace(database_,
                      "INSERT OR IGNORE INTO evaluations VALUES ((SELECT id FROM problems WHERE sha256 = ?), ?, ?, ?, ?, ?)");
    }
    insert_problem_->reset();
    insert_problem_->bindNoCopy(1, key.problem);
    insert_problem_->exec();
    insert_->reset();
    insert_->clearBindings();
    insert_->bindNoCopy(1, key.problem);
    insert_->bindNoCopy(2, key.request);
    bind_bytes(*insert_, 3, key.point.data(), key.point.size());
    bind_bytes(*insert_, 4, value.numbers.data(), value.numbers.size() * sizeof(double));
    if (value.refusal) insert_->bindNoCopy(5, *value.refusal);
    insert_->bind(6, checksum_of(key, value));
    insert_->exec();
  }

  void write() {
    last_write_ = Clock::now();
    if (pending_.empty()) return;
    try {
      SQLite::Transaction transaction(database_, SQLite::TransactionBehavior::IMMEDIATE);
      for (const auto& [key, value] : pending_) insert(key, value);
      transaction.commit();
      pending_.clear();
    } catch (const SQLite::Exception& error) {
      // What is pending stays, and is tried again with the next batch.
      report("evaluations cannot be stored", error);
    }
  }

  [[nodiscard]] core::Diagnostic warning(std::string problem) const {
    return {.position = {.file = file_.string()},
            .problem = std::move(problem),
            .remedy = "the result is not affected; if no older version wrote the file, check the disk",
            .severity = core::Severity::warning};
  }

  void report(const std::string& what, const SQLite::Exception& error) {
    if (!problems_.empty()) return;
    problems_.push_back(database_problem(file_, what, error));
    problems_.back().severity = core::Severity::warning;
  }

  fs::path file_;
  DatabaseAccess access_;
  int format_ = kRunDatabaseFormat;
  SQLite::Database database_;
  std::optional<SQLite::Statement> find_;
  std::optional<SQLite::Statement> insert_problem_;
  std::optional<SQLite::Statement> insert_;
  std::map<OwnedKey, calibrate::StoredEvaluation> pending_;
  std::int64_t damaged_ = 0;  ///< rows
  long unchecked_ = 0;        ///< rows from before there were checksums
  Clock::time_point last_write_ = Clock::now();
  core::Diagnostics problems_;
  mutable std::mutex mutex_;
};

core::Result<std::unique_ptr<calibrate::EvaluationStore>> open_store(const fs::path& file, DatabaseAccess access) {
  try {
    return std::make_unique<SqliteEvaluationStore>(file, access);
  } catch (const SQLite::Exception& error) {
    return tl::unexpected(core::Diagnostics{database_problem(file, "cannot be used as an evaluation store", error)});
  }
}

}  // namespace

core::Result<std::unique_ptr<calibrate::EvaluationStore>> open_evaluation_store(const fs::path& file) {
  return open_store(file, DatabaseAccess::append);
}

core::Result<std::unique_ptr<calibrate::EvaluationStore>> read_evaluation_store(const fs::path& file) {
  return open_store(file, DatabaseAccess::read_only);
}

std::vector<SeenEvaluation> read_new_evaluations(const fs::path& file, std::set<std::string>& seen) {
  std::vector<SeenEvaluation> found;
  try {
    int format = 0;
    SQLite::Database database = open_database(file, DatabaseAccess::read_only, format);
    if (format != kRunDatabaseFormat || !database.tableExists("evaluations")) return found;
    const auto stored = database.execAndGet("SELECT count(*) FROM evaluations").getInt64();
    if (static_cast<std::size_t>(stored) == seen.size()) return found;
    SQLite::Statement rows(database,
                           "SELECT sha256, request, point, numbers, refusal, checksum FROM evaluations JOIN problems ON id = problem");
    while (rows.executeStep()) {
      const OwnedKey key(rows.getColumn(0).getString(), rows.getColumn(1).getString(), rows.getColumn(2).getString());
      // Its numbers are only read where it is new.
      if (!seen.insert(key.problem + key.request + key.point).second) continue;
      std::optional<std::string> refusal;
      if (!rows.getColumn(4).isNull()) refusal = rows.getColumn(4).getString();
      auto evaluation = sound_evaluation(key, rows.getColumn(3).getString(), std::move(refusal), rows.getColumn(5).getString());
      if (evaluation) found.push_back({.problem = key.problem, .point = doubles_of(key.point), .evaluation = *std::move(evaluation)});
    }
  } catch (const SQLite::Exception&) {
    // Somebody is writing, or about to begin: the next look sees more.
  }
  return found;
}

core::Result<StoreMerge> merge_evaluation_stores(const std::vector<fs::path>& stores, const fs::path& into) {
  std::vector<std::unique_ptr<SqliteEvaluationStore>> others;
  core::Diagnostics problems;
  for (const fs::path& file : stores) {
    std::error_code ignored;
    if (fs::equivalent(file, into, ignored)) {
      problems.push_back({.position = {.file = file.string()},
                          .problem = "it is the store that the others are to be merged into",
                          .remedy = "leave it out of the list"});
      continue;
    }
    try {
      others.push_back(std::make_unique<SqliteEvaluationStore>(file, DatabaseAccess::read_only));
    } catch (const SQLite::Exception& error) {
      problems.push_back(database_problem(file, "cannot be used as an evaluation store", error));
    }
  }
  if (!problems.empty()) return tl::unexpected(std::move(problems));
  const bool is_new = !fs::exists(into);
  try {
    return SqliteEvaluationStore(into, DatabaseAccess::append).merge(others);
  } catch (const Contradiction& error) {
    problems.push_back({.position = {.file = into.string()},
                        .problem = fmt::format("nothing was merged: {}", error.what()),
                        .remedy = "merge what one version of rooftune computed on one kind of processor"});
  } catch (const SQLite::Exception& error) {
    problems.push_back(database_problem(into, "cannot be used as an evaluation store", error));
  }
  std::error_code ignored;
  if (is_new) fs::remove(into, ignored);
  return tl::unexpected(std::move(problems));
}

}  // namespace rooftune::runs
