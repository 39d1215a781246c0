#include <stdexcept>

#include "parts.hpp"
#include "rooftune/improve/improve.hpp"

namespace rooftune::improve {

void serve(const calibrate::StudyInputs& inputs, core::ThreadCount threads, const TrialRanks& ranks, const std::stop_token& cancel) {
  ranks.ranks->serve(kImprovement, threads, [&](const std::string& context) -> core::Ranks::Body {
    core::Unpacker unpacker(context);
    Part part{};
    unpacker(part);
    switch (part) {
      case Part::folds: return served_folds(unpacker, inputs, ranks, cancel);
      case Part::diagnosis: return served_diagnosis(unpacker, inputs, ranks);
      case Part::candidates: return served_candidates(unpacker, inputs, ranks);
    }
    throw std::runtime_error("a part of the work that this build does not know");
  });
}

}  // namespace rooftune::improve
