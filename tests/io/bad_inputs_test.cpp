#include "io/bad_inputs.hpp"

#include <gtest/gtest.h>

#include "rooftune/io/gpus.hpp"
#include "rooftune/io/ground_truth.hpp"
#include "rooftune/io/models.hpp"

namespace rooftune::io {
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
}  // namespace rooftune::io
