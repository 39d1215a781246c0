#include <gtest/gtest.h>

#include "rooftune/runs/study_file.hpp"
#include "support/bad_inputs.hpp"

namespace rooftune::runs {
namespace {

TEST(BadStudies, AreRefusedWithPlaceAndRemedy) { bad_inputs::expect_all_refused("studies", read_study); }

}  // namespace
}  // namespace rooftune::runs
