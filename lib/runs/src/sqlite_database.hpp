#pragma once

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <sqlite3.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <system_error>
#include <thread>

#include "rooftune/core/diagnostics.hpp"

namespace rooftune::runs {

enum class DatabaseAccess { read_only, append };

/// "rtev", in the header of every database of ours: evaluation stores and journals of run folders.
inline constexpr int kRunDatabaseId = 0x72746576;
/// Every row carries a checksum. Counts up when a table changes its meaning.
inline constexpr int kRunDatabaseFormat = 2;
/// Of files from before that: rows without checksums, and no number in the header.
inline constexpr int kFormatWithoutChecksums = 0;
/// No row of ours is nearly as long.
inline constexpr int kMostRowBytes = 256 << 20;

/// The code of exceptions that are not SQLite's.
inline constexpr int kRefusedByUs = -1;

/// What an SQLite failure tells the user about a file.
[[nodiscard]] inline core::Diagnostic database_problem(const std::filesystem::path& file, const std::string& what,
                                                       const SQLite::Exception& error) {
  const auto remedy = [&] {
    switch (error.getErrorCode()) {
      case SQLITE_CORRUPT: return "the file is damaged: remove it, and what it held is computed again";
      case SQLITE_NOTADB: return "name another file; if it was a store or a journal it is damaged: remove it";
      case kRefusedByUs: return "name another file: what it lacks is computed again";
      default: return "check the file, its permissions and the free space";
    }
  };
  return {.position = {.file = file.string()},
          .problem = fmt::format("{}: {}", what, error.what()),
          .remedy = remedy(),
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

/// A file may come from anybody: nothing in it is obeyed, and lengths that it claims are checked.
inline void distrust(SQLite::Database& database) {
  sqlite3_db_config(database.getHandle(), SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(database.getHandle(), SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_limit(database.getHandle(), SQLITE_LIMIT_LENGTH, kMostRowBytes);
  database.exec("PRAGMA cell_size_check = ON");
}

/// Opens a database that several processes may share: writers append to a write-ahead log and wait for each other, and a process
/// that is killed leaves whole transactions. Marks a new file as one of ours; one of another kind or format throws, but for that
/// without checksums: its number is left in `format`, and the caller says what becomes of it.
/// The caller turns SQLite::Exception into a diagnostic.
[[nodiscard]] inline SQLite::Database open_database(const std::filesystem::path& file, DatabaseAccess access, int& format) {
  // Long enough for any transaction of ours; a writer that waits longer has a stuck neighbour.
  constexpr int kBusyTimeout_ms = 60000;
  const bool reads_only = access == DatabaseAccess::read_only;
  // To open a pipe would wait for somebody at its other end.
  std::error_code ignored;
  if (std::filesystem::exists(file, ignored) && !std::filesystem::is_regular_file(file, ignored)) {
    throw SQLite::Exception("it is no regular file");
  }
  SQLite::Database database(file.string(), reads_only ? SQLite::OPEN_READONLY : SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE,
                            kBusyTimeout_ms);
  distrust(database);
  {
    // One transaction: whoever comes first marks the file, and nobody sees it marked by half.
    SQLite::Transaction transaction(database,
                                    reads_only ? SQLite::TransactionBehavior::DEFERRED : SQLite::TransactionBehavior::IMMEDIATE);
    const int found = database.execAndGet("PRAGMA application_id").getInt();
    const bool is_new = found == 0 && database.execAndGet("SELECT count(*) FROM sqlite_master").getInt() == 0;
    if (found != kRunDatabaseId && (!is_new || reads_only)) throw SQLite::Exception("it is a database of another kind");
    if (is_new) {
      database.exec(fmt::format("PRAGMA application_id = {}", kRunDatabaseId));
      database.exec(fmt::format("PRAGMA user_version = {}", kRunDatabaseFormat));
    }
    format = database.execAndGet("PRAGMA user_version").getInt();
    if (format != kRunDatabaseFormat && format != kFormatWithoutChecksums) {
      throw SQLite::Exception(
          fmt::format("its format is {}, and this version of rooftune reads format {}", format, kRunDatabaseFormat));
    }
    if (database.execAndGet("SELECT count(*) FROM sqlite_master WHERE type NOT IN ('table', 'index')").getInt() > 0) {
      throw SQLite::Exception("it holds views or triggers, which no rooftune makes");
    }
    transaction.commit();
  }
  if (reads_only) return database;
  use_write_ahead_log(database);
  // With a write-ahead log this loses at most the latest transactions in a power failure, and nothing when a process is killed.
  database.exec("PRAGMA synchronous = NORMAL");
  return database;
}

}  // namespace rooftune::runs
