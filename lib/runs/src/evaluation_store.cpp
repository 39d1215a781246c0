#include "rooftune/runs/evaluation_store.hpp"

#include <chrono>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "sqlite_database.hpp"

namespace rooftune::runs {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

/// "rtev", in the header of every evaluation store.
constexpr int kApplicationId = 0x72746576;

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

void bind_bytes(SQLite::Statement& statement, int index, const void* data, std::size_t size) {
  // A null pointer would bind NULL instead of an empty blob.
  statement.bindNoCopy(index, size == 0 ? "" : data, static_cast<int>(size));
}

class SqliteEvaluationStore final : public calibrate::EvaluationStore {
 public:
  SqliteEvaluationStore(fs::path file, DatabaseAccess access)
      : file_(std::move(file)), access_(access), database_(open_database(file_, access, kApplicationId)) {
    if (access == DatabaseAccess::append) database_.exec(kSchema);
    find_.emplace(
        database_,
        "SELECT numbers, refusal FROM evaluations WHERE problem = (SELECT id FROM problems WHERE sha256 = ?) AND request = ? "
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
    return problems_;
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
    found.numbers.resize(static_cast<std::size_t>(numbers.getBytes()) / sizeof(double));
    if (!found.numbers.empty()) std::memcpy(found.numbers.data(), numbers.getBlob(), found.numbers.size() * sizeof(double));
    if (const SQLite::Column refusal = find_->getColumn(1); !refusal.isNull()) found.refusal = refusal.getString();
    // An open statement would keep other processes from moving the log back into the file.
    find_->reset();
    return found;
  }

  void write() {
    last_write_ = Clock::now();
    if (pending_.empty()) return;
    try {
      SQLite::Transaction transaction(database_, SQLite::TransactionBehavior::IMMEDIATE);
      SQLite::Statement problem(database_, "INSERT OR IGNORE INTO problems (sha256) VALUES (?)");
      SQLite::Statement evaluation(
          database_, "INSERT OR IGNORE INTO evaluations VALUES ((SELECT id FROM problems WHERE sha256 = ?), ?, ?, ?, ?)");
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
        evaluation.exec();
      }
      transaction.commit();
      pending_.clear();
    } catch (const SQLite::Exception& error) {
      // What is pending stays, and is tried again with the next batch.
      report("evaluations cannot be stored", error);
    }
  }

  void report(const std::string& what, const SQLite::Exception& error) {
    if (!problems_.empty()) return;
    problems_.push_back(database_problem(file_, what, error));
    problems_.back().severity = core::Severity::warning;
  }

  fs::path file_;
  DatabaseAccess access_;
  SQLite::Database database_;
  std::optional<SQLite::Statement> find_;
  std::map<OwnedKey, calibrate::StoredEvaluation> pending_;
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
