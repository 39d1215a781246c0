#include "rooftune/data/peers.hpp"

#include <gtest/gtest.h>

#include <set>

#include "support/bad_inputs.hpp"
#include "support/places.hpp"

namespace rooftune::data {
namespace {

TEST(Peers, ShippedOnesLoad) {
  const auto peers = read_peers(testing_support::source_folder() / "ground_truth" / "peers.csv");
  ASSERT_TRUE(peers) << core::format(peers.error());
  std::set<std::string> experiments;
  for (const domain::PeerPrediction& peer : *peers) {
    if (peer.simulator == "blis-trained-physics@iter29golden") experiments.insert(peer.experiment);
  }
  EXPECT_EQ(experiments.size(), 15U);
}

TEST(BadPeers, AreRefusedWithPlaceAndRemedy) {
  bad_inputs::expect_all_refused("peers", [](const std::filesystem::path& input) { return read_peers(input); });
}

}  // namespace
}  // namespace rooftune::data
