#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <filesystem>
#include <string>
#include <vector>

namespace rooftune::testing_support {

/// Files of a run folder that must not depend on whether the run was broken off.
inline const std::vector<std::string> kResults{"result.json", "tuned.json", "evaluation.json", "evaluation.csv"};

/// Evaluations in a store that another process may be writing; 0 while there is none.
inline int stored_evaluations(const std::filesystem::path& store) {
  try {
    SQLite::Database database(store.string(), SQLite::OPEN_READONLY, 1000);
    return database.execAndGet("SELECT count(*) FROM evaluations").getInt();
  } catch (const SQLite::Exception&) {
    return 0;
  }
}

/// What SQLite says about the file: "ok" when all is well.
inline std::string integrity(const std::filesystem::path& store) {
  SQLite::Database database(store.string(), SQLite::OPEN_READWRITE);
  return database.execAndGet("PRAGMA integrity_check").getString();
}

/// Tables of an improvement's journal that must not depend on whether the run was broken off.
inline std::string journal_text(const std::filesystem::path& file) {
  SQLite::Database database(file.string(), SQLite::OPEN_READONLY, 1000);
  std::string text;
  for (const char* table : {"improve_screenings", "improve_findings", "improve_candidates", "improve_outside", "improve_rounds",
                            "improve_errors", "improve_fits", "improve_outcome"}) {
    SQLite::Statement rows(database, std::string("SELECT * FROM ") + table + " ORDER BY rowid");
    while (rows.executeStep()) {
      for (int column = 0; column < rows.getColumnCount(); ++column) text += rows.getColumn(column).getString() + "|";
      text += "\n";
    }
  }
  return text;
}

}  // namespace rooftune::testing_support
