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

}  // namespace rooftune::testing_support
