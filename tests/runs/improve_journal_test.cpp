#include "rooftune/runs/improve_journal.hpp"

#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "rooftune/runs/improve_file.hpp"
#include "rooftune/runs/study_file.hpp"
#include "support/temporary_folder.hpp"

namespace rooftune::runs {
namespace {

class ImproveJournal : public testing_support::TemporaryFolderTest {};

calibrate::StudySpec study_named(const std::string& name) {
  return parse_study("name: " + name + "\nfree: [frontend.constant_us]\nimprove: {train: {tp: 1}, quarantine: ['48']}\n", "study.yaml")
      ->spec;
}

improve::JournalEntries rich_entries() {
  improve::JournalEntries entries;
  improve::RoundRecord start;
  start.move = "start";
  start.change = "roofline_v1, 1 free parameter";
  start.after_percent = 1.0 / 3.0;
  start.groups = {{.group = {"model", "it's"},
                   .metric = domain::Metric::e2e_mean,
                   .before_percent = 0.1,
                   .after_percent = 0.2,
                   .ape_before_percent = 0.3,
                   .ape_after_percent = 0.4,
                   .runs = 5}};
  start.fits = {{.seed = 18446744073709551615U,
                 .fold = "model=a",
                 .objective = 1e-300,
                 .evaluations = 7,
                 .termination = "converged",
                 .values = {1.0 / 3.0, -2.5e-7}},
                {.seed = 2, .fold = "model=b", .objective = 0.0, .evaluations = 0, .termination = "", .values = {}}};
  start.evaluations = 7;
  start.spec = study_named("start");
  improve::ScreeningRecord screening;
  screening.screening = 1;
  screening.findings = {{.kind = improve::FindingKind::missing_factor,
                         .metric = "",
                         .factor = "layers",
                         .level = "",
                         .parameter = "p",
                         .effect = -1.0,
                         .strength = 9.5,
                         .text = "text"}};
  screening.candidates.resize(3);
  for (improve::CandidateRecord& item : screening.candidates) item.spec = study_named("candidate");
  screening.candidates[0].fate = improve::CandidateFate::refused;
  screening.candidates[0].why = "contradicts";
  screening.candidates[2].burden = improve::Burden::must_not_lose;
  screening.candidates[1].score_percent = 0.25;
  screening.candidates[1].before_percent = 0.5;
  screening.queue = {2, 1};
  screening.outside = {{.fate = improve::OutsideFate::proposed, .move = "outside:a", .text = "free b"},
                       {.fate = improve::OutsideFate::failed, .move = "", .text = "no end within timeout_s: 1 s"}};
  screening.evaluations = 12;
  improve::RoundRecord kept;
  kept.round = 1;
  kept.screening = 1;
  kept.move = "move";
  kept.fate = improve::RoundFate::kept;
  kept.noise_percent = 0.1;
  kept.extra_parameters = -1;
  kept.spec = study_named("kept");
  entries.rounds = {start, kept};
  entries.screenings = {screening};
  entries.outcome = improve::OutcomeRecord{.structure = 1, .reason = "nothing helps", .machine_dependent = true};
  return entries;
}

TEST_F(ImproveJournal, GivesBackWhatWasWrittenToTheLastBit) {
  const improve::JournalEntries entries = rich_entries();
  const auto file = folder_ / "journal.sqlite";
  {
    auto journal = open_journal(file);
    ASSERT_TRUE(journal) << core::format(journal.error());
    ASSERT_TRUE((*journal)->add(entries.rounds[0], 1.5));
    ASSERT_TRUE((*journal)->add(entries.screenings[0], 2.5));
    ASSERT_TRUE((*journal)->add(entries.rounds[1], 3.5));
    ASSERT_TRUE((*journal)->add(*entries.outcome));
  }
  const auto read = (*open_journal(file))->read();
  ASSERT_TRUE(read) << core::format(read.error());
  EXPECT_EQ(*read, entries);
}

/// As `report --watch` does. A reader that opened it for writing would wait for the writer, for a minute.
TEST_F(ImproveJournal, IsReadWhileAnImprovementWrites) {
  const auto file = folder_ / "journal.sqlite";
  ASSERT_TRUE((*open_journal(file))->add(rich_entries().rounds[0], 1.5));
  SQLite::Database writer(file.string(), SQLite::OPEN_READWRITE);
  const SQLite::Transaction writing(writer, SQLite::TransactionBehavior::IMMEDIATE);
  writer.exec("DELETE FROM improve_rounds");
  const auto read = read_journal(file);
  ASSERT_TRUE(read) << core::format(read.error());
  EXPECT_EQ(read->rounds.size(), 1U) << "as it was before";
}

TEST_F(ImproveJournal, ThatIsOnlyBeingMadeIsReadAsEmptyAndStaysSo) {
  const auto file = folder_ / "journal.sqlite";
  EXPECT_FALSE(read_journal(file));
  EXPECT_FALSE(std::filesystem::exists(file));
  {
    SQLite::Database made(file.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    made.exec("PRAGMA application_id = 1920230774; PRAGMA user_version = 2");
  }
  EXPECT_EQ(*read_journal(file), improve::JournalEntries{});
  EXPECT_FALSE(SQLite::Database(file.string()).tableExists("improve_rounds"));
}

TEST_F(ImproveJournal, OfAnOlderLoopIsRefusedWithAWord) {
  const auto file = folder_ / "journal.sqlite";
  ASSERT_TRUE((*open_journal(file))->add(rich_entries().rounds[0], 1.5));
  SQLite::Database(file.string(), SQLite::OPEN_READWRITE).exec("DROP TABLE improve_outside");
  const auto refused = open_journal(file);
  ASSERT_FALSE(refused);
  EXPECT_THAT(core::format(refused.error()), testing::HasSubstr("an older version, whose loop knew other moves"));
}

TEST_F(ImproveJournal, BecomesATableWithALineForEveryRound) {
  improve::JournalEntries entries = rich_entries();
  entries.rounds[1].why = "a \"quote\", and a comma";
  const std::string table = improvement_csv(entries);
  EXPECT_EQ(std::ranges::count(table, '\n'), 3);
  EXPECT_THAT(table, testing::HasSubstr("\n0,start,start,\"roofline_v1, 1 free parameter\","));
  EXPECT_THAT(table, testing::HasSubstr("\"a \"\"quote\"\", and a comma\""));
}

TEST_F(ImproveJournal, BecomesJsonWithRoundsScreeningsAndWhyItEnded) {
  improve::Improvement improvement;
  improvement.journal = rich_entries();
  improvement.start.name = "small";
  improvement.next.push_back(
      {.model = "m", .tp = 4, .rate_per_s = 2.0, .prompt_tokens = 500, .output_tokens = 128, .gpu_minutes = 32.0, .value = {}});
  const auto json = nlohmann::json::parse(improvement_json(improvement));
  EXPECT_EQ(json["schema"], "rooftune/improvement/1");
  EXPECT_EQ(json["rounds"].size(), 2u);
  EXPECT_EQ(json["rounds"][1]["fate"], "kept");
  EXPECT_EQ(json["screenings"][0]["candidates"][2]["burden"], "must_not_lose");
  EXPECT_TRUE(json["screenings"][0]["candidates"][2]["score_percent"].is_null());
  EXPECT_EQ(json["outcome"]["reason"], "nothing helps");
  EXPECT_EQ(json["next_runs"][0]["tp"], 4);
}

TEST_F(ImproveJournal, KeepsEveryEntryOnce) {
  auto journal = open_journal(folder_ / "journal.sqlite");
  ASSERT_TRUE((*journal)->add(rich_entries().rounds[0], 1.0));
  EXPECT_FALSE((*journal)->add(rich_entries().rounds[0], 1.0));
  EXPECT_EQ((*journal)->read()->rounds.size(), 1u);
}

TEST_F(ImproveJournal, RefusesAFileThatIsNoDatabase) {
  const auto journal = open_journal(folder_.write("journal.sqlite", "this is a text, and long enough to be taken for one\n"));
  ASSERT_FALSE(journal);
  EXPECT_THAT(core::format(journal.error()), testing::HasSubstr("the journal cannot be opened"));
}

TEST_F(ImproveJournal, ThatIsNotAsItWasWrittenIsEmptiedAndCounted) {
  const auto file = folder_ / "journal.sqlite";
  for (const std::string damage : {
           "UPDATE improve_outcome SET structure = 99",
           "UPDATE improve_fits SET seed = 'x'",
           "UPDATE improve_fits SET point = '1 2 three'",
           "UPDATE improve_fits SET objective = objective + 1",
           "UPDATE improve_rounds SET gain_percent = 50 WHERE round = 1",
           "UPDATE improve_rounds SET study = 'no study'",
           "UPDATE improve_candidates SET place = 7 WHERE rank = 1",
           "DELETE FROM improve_rounds WHERE round = 0",
           "DELETE FROM improve_candidates WHERE rank = 0",
           "DELETE FROM improve_screenings",
       }) {
    std::filesystem::remove(file);
    {
      const improve::JournalEntries entries = rich_entries();
      auto journal = open_journal(file);
      ASSERT_TRUE((*journal)->add(entries.rounds[0], 1.5));
      ASSERT_TRUE((*journal)->add(entries.screenings[0], 2.5));
      ASSERT_TRUE((*journal)->add(entries.rounds[1], 3.5));
      ASSERT_TRUE((*journal)->add(*entries.outcome));
    }
    ASSERT_TRUE(discard_damaged_journal(file)) << damage;
    EXPECT_EQ(*(*open_journal(file))->read(), rich_entries()) << "a sound one stays";
    SQLite::Database(file.string(), SQLite::OPEN_READWRITE).exec(damage);
    EXPECT_FALSE((*open_journal(file))->read()) << damage;
    const auto said = discard_damaged_journal(file);
    ASSERT_TRUE(said) << damage << core::format(said.error());
    EXPECT_THAT(core::format(*said), testing::HasSubstr("rounds are computed again")) << damage;
    const auto emptied = (*open_journal(file))->read();
    ASSERT_TRUE(emptied) << damage;
    EXPECT_EQ(*emptied, improve::JournalEntries{}) << damage;
  }
}

TEST_F(ImproveJournal, OfAnOlderVersionIsRefusedWithTheWayOut) {
  const auto file = folder_ / "journal.sqlite";
  ASSERT_TRUE(open_journal(file));
  SQLite::Database(file.string(), SQLite::OPEN_READWRITE).exec("PRAGMA user_version = 0");
  const auto journal = open_journal(file);
  ASSERT_FALSE(journal);
  EXPECT_THAT(core::format(journal.error()), testing::HasSubstr("whose rows carry no checksums; start afresh with another --out"));
}

}  // namespace
}  // namespace rooftune::runs
