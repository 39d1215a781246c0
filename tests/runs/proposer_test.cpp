#include "rooftune/runs/proposer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "rooftune/runs/study_file.hpp"
#include "support/simulated_runs.hpp"
#include "support/temporary_folder.hpp"

namespace rooftune::runs {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

improve::Answer answer_of(const std::string& proposals) {
  return read_answer(R"({"schema": "rooftune/proposals/1", "proposals": )" + proposals + "}");
}

TEST(Answer, IsReadAsMoves) {
  const improve::Answer answer = answer_of(R"json([
    {"id": "a", "reason": "r", "take": "physics", "free": ["physics.pnorm"], "fix": {"physics.t_step_us": 100},
     "switches": {"engine.async_scheduling": "on"}},
    {"id": "b", "reason": "r", "terms": [{"id": "user.answered_us", "expression": "layers * decodes", "start": 0.5, "bounds": [0, 2]}]}])json");
  EXPECT_FALSE(answer.failure);
  EXPECT_THAT(answer.unusable, SizeIs(0));
  ASSERT_THAT(answer.moves, SizeIs(2));
  EXPECT_EQ(answer.moves[0].id, "outside:a");
  EXPECT_EQ(answer.moves[0].take, "physics");
  EXPECT_THAT(answer.moves[0].free, testing::ElementsAre("physics.pnorm"));
  EXPECT_THAT(answer.moves[0].fix, testing::ElementsAre(testing::Pair("physics.t_step_us", 100.0)));
  EXPECT_THAT(answer.moves[0].switches, testing::ElementsAre(testing::Pair("engine.async_scheduling", "on")));
  ASSERT_THAT(answer.moves[1].add, SizeIs(1));
  EXPECT_EQ(answer.moves[1].add.front().initial, 0.5);
  EXPECT_TRUE(answer.moves[1].add.front().prior) << "no naked freedom";
}

TEST(Answer, NamesItemsThatAreNoMovesAndKeepsTheOthers) {
  const improve::Answer answer = answer_of(R"json([
    {"id": "a", "reason": "r", "free": ["physics.magic"]},
    {"id": "b", "reason": "r", "terms": [{"id": "user.bent_answer_us", "expression": "sqrt(context_tokens)"}]
},
    {"id": "c", "reason": "r", "take": "blackbox"},
    {"id": "d"},
    {"id": "e", "reason": "r", "free": ["physics.pnorm"]}])json");
  ASSERT_THAT(answer.unusable, SizeIs(4));
  EXPECT_THAT(answer.unusable[0], HasSubstr("physics.magic"));
  EXPECT_THAT(answer.unusable[1], HasSubstr("bends with context_tokens"));
  EXPECT_THAT(answer.unusable[2],
              HasSubstr("'blackbox' cannot take over: nobody knows what a first fit of it frees (take one that the question lists)"));
  EXPECT_THAT(answer.unusable[3], HasSubstr("reason"));
  ASSERT_THAT(answer.moves, SizeIs(1));
  EXPECT_EQ(answer.moves.front().id, "outside:e");
}

TEST(Answer, OfAnotherKindIsNone) {
  EXPECT_THAT(*read_answer("I would try norms.").failure, HasSubstr("no JSON"));
  EXPECT_THAT(*read_answer(R"({"schema": "rooftune/proposals/9"})").failure, HasSubstr("this version reads"));
  EXPECT_THAT(*read_answer("[]").failure, HasSubstr("an answer"));
  EXPECT_THAT(answer_of("[" +
                        [] {
                          std::string many;
                          for (int i = 0; i < 10; ++i)
                            many += std::string(i == 0 ? "" : ",") + R"({"id": "a", "reason": "r", "free": ["physics.pnorm"]})";
                          return many;
                        }() +
                        "]")
                  .moves,
              SizeIs(8));
}

class AskedProgram : public testing_support::TemporaryFolderTest {
 protected:
  improve::Answer asked(const std::string& program, double timeout_s = 20.0) {
    folder_.write("program.sh", program);
    const auto proposer =
        make_proposer({.folder = folder_.path().string(), .command = {"sh", "${folder}/program.sh"}, .timeout_s = timeout_s});
    calibrate::StudySpec spec;
    spec.name = "asked";
    spec.step_time_model = "physics";
    spec.free = {params::make_free(params::parameter("physics.t_step_us"))};
    const calibrate::PreparedStudy study =
        calibrate::prepare(spec, {.experiments = examples::measured(examples::four_runs(), examples::config_with("physics", {})),
                                  .models = examples::models(),
                                  .gpus = examples::gpus(),
                                  .start = {}})
            .value();
    improve::JournalEntries journal;
    improve::RoundRecord round;
    round.move = "start";
    round.groups = {{.group = {"model", "a model"}, .before_percent = 12.3456, .after_percent = 65.4321}};
    journal.rounds.push_back(round);
    std::vector<improve::Finding> findings(1);
    findings.front().kind = improve::FindingKind::bias;
    findings.front().text = "all are off";
    return proposer->ask({.study = study, .findings = findings, .journal = journal});
  }
};

TEST_F(AskedProgram, FindsTheQuestionOnItsStandardInput) {
  const improve::Answer answer =
      asked("cat > " + (folder_ / "question.json").string() + "\necho '{\"schema\": \"rooftune/proposals/1\", \"proposals\": []}'\n");
  EXPECT_FALSE(answer.failure) << *answer.failure;
  const auto question = nlohmann::json::parse(folder_.read("question.json"));
  EXPECT_EQ(question["schema"], "rooftune/question/1");
  EXPECT_EQ(question["structure"]["step_time_model"], "physics");
  EXPECT_EQ(question["structure"]["free"][0]["id"], "physics.t_step_us");
  EXPECT_EQ(question["findings"][0]["text"], "all are off");
  EXPECT_EQ(question["verdicts"][0]["move"], "start");
  EXPECT_GT(question["grammar"]["term_quantities"].size(), 10U);
  EXPECT_THAT(question.dump(), testing::Not(HasSubstr("12.3456")))
      << "tables of errors are nobody's business outside; verdicts say what matters";
}

TEST_F(AskedProgram, ThatTakesTooLongEndsBadlyOrSaysNothingHasFailed) {
  EXPECT_THAT(*asked("sleep 60\n", 0.3).failure, HasSubstr("no end within timeout_s"));
  EXPECT_THAT(*asked("echo broken >&2; exit 3\n").failure, HasSubstr("exit code 3; it said: broken"));
  EXPECT_THAT(*asked("true\n").failure, HasSubstr("no JSON"));
}

}  // namespace
}  // namespace rooftune::runs
