#include "support/bad_inputs.hpp"

#include <gtest/gtest.h>

#include "rooftune/data/gpus.hpp"
#include "rooftune/data/ground_truth.hpp"
#include "rooftune/data/models.hpp"

namespace rooftune::data {
namespace {

using bad_inputs::expect_all_refused;
using bad_inputs::fs::path;

TEST(BadGroundTruth, IsRefusedWithPlaceAndRemedy) {
  expect_all_refused("ground_truth", [](const path& input) { return read_ground_truth(input); });
}

TEST(BadModels, AreRefusedWithPlaceAndRemedy) {
  expect_all_refused("models", [](const path& input) { return read_model(input); });
}

TEST(BadGpus, AreRefusedWithPlaceAndRemedy) {
  expect_all_refused("gpus", [](const path& input) { return read_gpus(input); });
}

}  // namespace
}  // namespace rooftune::data
