#pragma once

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <sqlite3.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include "rooftune/core/diagnostics.hpp"

namespace rooftune::runs {

enum class DatabaseAccess { read_only, append };

/// What an SQLite failure tells the user about a file.
[[nodiscard]] inline core::Diagnostic database_problem(const std::filesystem::path& file, const std::string& what,
                                                       const SQLite::Exception& error) {
  return {.position = {.file = file.string()},
          .problem = fmt::format("{}: {}", what, error.what()),
          .remedy = "check the file, its permissions and the free space",
          .severity = core::Severity::error};
}

/// SQLite answers "locked" at once, without the busy timeout, when another connection is about to change the mode as well.
inline void use_write_ahead_log(SQLite::Database& database) {
  constexpr int kTries = 600;
  for (int attempt = 1;; ++attempt) {
    try {
      database.exec("PRAGMA journal_mode = WAL");
      return;
    } catch (const SQLite::Exception& error) {
      if (error.getErrorCode() != SQLITE_BUSY || attempt == kTries) throw;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

/// Opens a database that several processes may share: writers append to a write-ahead log and wait for each other, and a process
/// that is killed leaves whole transactions. `application_id` marks the file as one of ours; a database of another kind throws.
/// The caller turns SQLite::Exception into a diagnostic.
[[nodiscard]] inline SQLite::Database open_database(const std::filesystem::path& file, DatabaseAccess access, int application_id) {
  // Long enough for any transaction of ours; a writer that waits longer has a stuck neighbour.
  constexpr int kBusyTimeout_ms = 60000;
  const bool reads_only = access == DatabaseAccess::read_only;
  SQLite::Database database(file.string(), reads_only ? SQLite::OPEN_READONLY : SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE,
                            kBusyTimeout_ms);
  {
    // One transaction: whoever comes first marks the file, and nobody sees it marked by half.
    SQLite::Transaction transaction(database,
                                    reads_only ? SQLite::TransactionBehavior::DEFERRED : SQLite::TransactionBehavior::IMMEDIATE);
    const int found = database.execAndGet("PRAGMA application_id").getInt();
    const bool is_new = found == 0 && database.execAndGet("SELECT count(*) FROM sqlite_master").getInt() == 0;
    if (found != application_id && (!is_new || reads_only)) throw SQLite::Exception("it is a database of another kind");
    if (is_new) database.exec(fmt::format("PRAGMA application_id = {}", application_id));
    transaction.commit();
  }
  if (reads_only) return database;
  use_write_ahead_log(database);
  // With a write-ahead log this loses at most the latest transactions in a power failure, and nothing when a process is killed.
  database.exec("PRAGMA synchronous = NORMAL");
  return database;
}

}  // namespace rooftune::runs
