#pragma once

#include <span>
#include <string>
#include <vector>

#include "rooftune/plan/onboard.hpp"

namespace rooftune::plan {

/// How far a parameter moves when one thing changes, from transfers that happened.
struct LearntWidth {
  struct Move {
    std::string transfer;    ///< "A100-SXM", "H100-SXM vllm 0.11.0"
    double moved = 0.0;      ///< logarithm of value over expectation
    double deviation = 0.0;  ///< the part of its uncertainty that is the transfer's
  };
  std::string parameter;
  bool between_versions = false;  ///< on one GPU; otherwise between GPUs with their hosts
  double used = 0.0;              ///< the prior's standard deviation of the logarithm
  double learnt = 0.0;
  std::vector<Move> moves;
};

/// A step of empirical Bayes over the last step of every onboarding: a transfer's moves are normal around 0 with one variance for
/// each parameter and kind of change, itself known beforehand as well as one transfer would tell. Where runs tell nothing of a
/// parameter its width stays what it was. Parameters that some transfer tells something of; the largest moves first.
[[nodiscard]] std::vector<LearntWidth> learnt_widths(std::span<const Onboarding> onboardings);

}  // namespace rooftune::plan
