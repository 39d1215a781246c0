#include "rooftune/runs/evaluation_store.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "rooftune/core/digest.hpp"
#include "sqlite_database.hpp"

namespace rooftune::runs {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

/// Evaluations that end sooner after the last write wait for the next one.
constexpr auto kBatchTime = std::chrono::milliseconds(200);

constexpr auto kSchema = R"(
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
  explicit OwnedKey(const calibrate::EvaluationKey& key)
      : problem(key.problem), request(key.request), point(reinterpret_cast<const char*>(key.point.data()), key.point.size_bytes()) {}
  friend auto operator<=>(const OwnedKey&, const OwnedKey&) = default;
};

/// Covers the key as well: a row that is found under another key than it was stored under is as wrong as one with other numbers.
std::string checksum_of(const OwnedKey& key, const calibrate::StoredEvaluation& evaluation) {
  constexpr std::size_t kDigits = 16;
  return core::Digest().add(key.problem, key.request, key.point, evaluation.numbers, evaluation.refusal).hex().substr(0, kDigits);
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

class SqliteEvaluationStore final : public calibrate::EvaluationStore {
 public:
  SqliteEvaluationStore(fs::path file, DatabaseAccess access)
      : file_(std::move(file)), access_(access), database_(open_database(file_, access, format_)) {
    if (format_ == kFormatWithoutChecksums) {
      if (access == DatabaseAccess::read_only) {
        throw SQLite::Exception("its rows carry no checksums (format 0); have them computed again by a run with --store");
      }
      unchecked_ = set_old_rows_aside(database_);
    }
    if (access == DatabaseAccess::append) database_.exec(kSchema);
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

  core::Diagnostics problems() const override {
    const std::scoped_lock lock(mutex_);
    core::Diagnostics problems = problems_;
    const char* const fate = access_ == DatabaseAccess::append ? "computed again" : "left out";
    if (unchecked_ > 0) {
      problems.push_back(warning(fmt::format("{} evaluations of an older version carry no checksums and were {}", unchecked_, fate)));
    }
    if (!damaged_.empty())
      problems.push_back(warning(fmt::format("{} evaluations in the store are damaged and were {}", damaged_.size(), fate)));
    return problems;
  }

 private:
  std::optional<calibrate::StoredEvaluation> find_in_file(const OwnedKey& key) {
    find_->reset();
    find_->bindNoCopy(1, key.problem);
    find_->bindNoCopy(2, key.request);
    bind_bytes(*find_, 3, key.point.data(), key.point.size());
    if (!find_->executeStep()) return std::nullopt;
    calibrate::StoredEvaluation found;
    const SQLite::Column numbers = find_->getColumn(0);
    const auto bytes = static_cast<std::size_t>(numbers.getBytes());
    found.numbers.resize(bytes / sizeof(double));
    if (!found.numbers.empty()) std::memcpy(found.numbers.data(), numbers.getBlob(), found.numbers.size() * sizeof(double));
    if (const SQLite::Column refusal = find_->getColumn(1); !refusal.isNull()) found.refusal = refusal.getString();
    const bool is_sound = bytes % sizeof(double) == 0 && find_->getColumn(2).getString() == checksum_of(key, found);
    // An open statement would keep other processes from moving the log back into the file.
    find_->reset();
    if (is_sound) return found;
    damaged_.insert(key);
    return std::nullopt;
  }

  /// One that is damaged gives way to what was computed instead.
  void remove_damaged() {
    SQLite::Statement remove(
        database_, "DELETE FROM evaluations WHERE problem = (SELECT id FROM problems WHERE sha256 = ?) AND request = ? AND point = ?");
    for (const auto& [key, value] : pending_) {
      if (!damaged_.contains(key)) continue;
      remove.reset();
      remove.bindNoCopy(1, key.problem);
      remove.bindNoCopy(2, key.request);
      bind_bytes(remove, 3, key.point.data(), key.point.size());
      remove.exec();
    }
  }

  void write() {
    last_write_ = Clock::now();
    if (pending_.empty()) return;
    try {
      SQLite::Transaction transaction(database_, SQLite::TransactionBehavior::IMMEDIATE);
      SQLite::Statement problem(database_, "INSERT OR IGNORE INTO problems (sha256) VALUES (?)");
      SQLite::Statement evaluation(
          database_, "INSERT OR IGNORE INTO evaluations VALUES ((SELECT id FROM problems WHERE sha256 = ?), ?, ?, ?, ?, ?)");
      if (!damaged_.empty()) remove_damaged();
      for (const auto& [key, value] : pending_) {
        problem.reset();
        problem.bindNoCopy(1, key.problem);
        problem.exec();
        evaluation.reset();
        evaluation.clearBindings();
        evaluation.bindNoCopy(1, key.problem);
        evaluation.bindNoCopy(2, key.request);
        bind_bytes(evaluation, 3, key.point.data(), key.point.size());
        bind_bytes(evaluation, 4, value.numbers.data(), value.numbers.size() * sizeof(double));
        if (value.refusal) evaluation.bindNoCopy(5, *value.refusal);
        evaluation.bind(6, checksum_of(key, value));
        evaluation.exec();
      }
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
  std::map<OwnedKey, calibrate::StoredEvaluation> pending_;
  std::set<OwnedKey> damaged_;
  long unchecked_ = 0;  ///< rows from before there were checksums
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

}  // namespace rooftune::runs
