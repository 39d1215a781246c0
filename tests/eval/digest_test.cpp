#include "rooftune/eval/digest.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "support/simulated_runs.hpp"

namespace rooftune::eval {
namespace {

/// Everything that a residual function is made of.
struct Parts {
  params::Config config = examples::config_with("physics", {{"physics.t_step_us", 900.0}});
  Dataset dataset = examples::dataset_of(examples::measured(examples::four_runs(), config), config);
  std::vector<params::FreeParameter> free{params::make_free(params::parameter("physics.t_layer_us"))};
  ObjectiveSpec objective;
  int threads = 1;
};

std::string digest_after(const std::function<void(Parts&)>& change) {
  Parts parts;
  change(parts);
  return problem_digest(ResidualFunction(parts.dataset, parts.config, parts.free, parts.objective, {parts.threads}));
}

const std::string kAsItIs = digest_after([](Parts&) {});

TEST(ProblemDigest, ChangesWithEverythingThatResidualsDependOn) {
  const std::vector<std::pair<std::string, std::function<void(Parts&)>>> changes{
      {"step-time model", [](Parts& p) { p.config.step_time_model = "roofline_v1"; }},
      {"a value", [](Parts& p) { p.config.parameters[params::parameter("physics.t_step_us")].value = 901.0; }},
      {"another parameter of the same value",
       [](Parts& p) {
         p.config.parameters.erase(params::parameter("physics.t_step_us"));
         p.config.parameters[params::parameter("physics.t_seq_us")].value = 900.0;
       }},
      {"a switch", [](Parts& p) { p.config.switches[params::switch_id("engine.async_scheduling")] = 1; }},
      {"a scope", [](Parts& p) { p.config.scoped.push_back({.where = {.model = {}, .gpu = {}, .tp = 2}, .parameters = {}}); }},
      {"a measurement", [](Parts& p) { *p.dataset.cases[0].experiment.measured.stages[0][domain::Metric::e2e_mean] += 1e-9; }},
      {"a request",
       [](Parts& p) {
         sim::RequestPlan plan = *p.dataset.cases[0].plan(0);
         plan.stages[0].requests[7].output_tokens += 1;
         p.dataset.cases[0].plans[0].kept = std::make_shared<const sim::RequestPlan>(std::move(plan));
       }},
      {"a deployment", [](Parts& p) { p.dataset.cases[0].experiment.deployment.settings.max_num_seqs += 1; }},
      {"a model", [](Parts& p) { p.dataset.cases[0].model.groups[0].count += 1; }},
      {"a GPU", [](Parts& p) { p.dataset.cases[0].gpu.hbm_bandwidth.value *= 2; }},
      {"a replicate", [](Parts& p) { p.dataset.cases[0].plans.push_back(p.dataset.cases[0].plans[0]); }},
      {"fewer experiments", [](Parts& p) { p.dataset.cases.pop_back(); }},
      {"the order of experiments", [](Parts& p) { std::swap(p.dataset.cases[0], p.dataset.cases[1]); }},
      {"the residual", [](Parts& p) { p.objective.residual = ResidualKind::relative; }},
      {"a weight", [](Parts& p) { p.objective.metrics[domain::Metric::e2e_mean] = 2.0; }},
      {"a free parameter", [](Parts& p) { p.free.push_back(params::make_free(params::parameter("physics.t_seq_us"))); }},
      {"a transform", [](Parts& p) { p.free[0].transform = params::Transform::linear; }},
      {"a prior", [](Parts& p) { p.free[0].prior = params::Prior{.centre = 20.0, .standard_deviation = 1.0}; }},
  };
  EXPECT_EQ(digest_after([](Parts& p) { p.dataset.cases[0].plans[0].kept.reset(); }), kAsItIs) << "a plan drawn again is another one";
  std::map<std::string, std::string> seen{{kAsItIs, "nothing"}};
  for (const auto& [what, change] : changes) {
    const auto [place, is_new] = seen.try_emplace(digest_after(change), what);
    EXPECT_TRUE(is_new) << what << " gives the digest of " << place->second;
  }
}

TEST(ProblemDigest, IsTheSameForWhatChangesNoBit) {
  EXPECT_EQ(digest_after([](Parts& p) { p.threads = 2; }), kAsItIs);
  EXPECT_EQ(digest_after([](Parts& p) { p.free[0].initial *= 2.0; }), kAsItIs) << "where a search starts";
  EXPECT_EQ(digest_after([](Parts& p) { p.objective.loss = LossKind::huber; }), kAsItIs) << "the solver bends residuals";
  EXPECT_EQ(digest_after([](Parts& p) { p.config.provenance["study"] = "x"; }), kAsItIs);
}

}  // namespace
}  // namespace rooftune::eval
