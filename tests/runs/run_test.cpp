#include "rooftune/runs/run.hpp"

#include <gtest/gtest.h>

#include "rooftune/runs/ad_hoc_load.hpp"
#include "rooftune/runs/open_simulation.hpp"

namespace rooftune::runs {
namespace {

namespace fs = std::filesystem;

// A signal may come at any time, and what it calls runs in another thread.
TEST(Run, HasNothingToFlushOnceItsStoreIsClosed) {
  const fs::path folder = fs::path(testing::TempDir()) / "rooftune_run_without_store";
  fs::remove_all(folder);
  AdHocLoad load;
  load.model = "Llama-2-7b-hf";
  auto experiments = make_experiments(load);
  ASSERT_TRUE(experiments) << core::format(experiments.error());
  const auto study = open_experiments(*std::move(experiments), {});
  ASSERT_TRUE(study) << core::format(study.error());
  const auto run = begin(*study, "fit", Keeps::evaluations, {.folder = folder});
  ASSERT_TRUE(run) << core::format(run.error());
  (*run)->flush_store();
  EXPECT_TRUE((*run)->close_store().empty());
  (*run)->flush_store();
  (*run)->abandon();
}

}  // namespace
}  // namespace rooftune::runs
