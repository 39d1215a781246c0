#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/params/config.hpp"

namespace rooftune::eval {

/// What a dataset spans: a fit on it is calibrated for this. Concurrency is rate x measured E2E (Little's law).
[[nodiscard]] params::CalibratedDomain calibrated_domain(const Dataset& dataset);

/// How a domain is left: a set lacks the value, or a range ends before it.
enum class DomainSide { absent, below, above };

/// One way in which predictions leave the domain that their config was calibrated for.
struct DomainExit {
  std::string field;       ///< a range ("tp", "prompt_tokens" ...) or a set ("gpu", "precision" ...)
  std::string value;       ///< the value farthest out, or the value that the set lacks
  std::string calibrated;  ///< "1 to 4", "1" or "H100-SXM"
  DomainSide side = DomainSide::absent;
  double factor = 1.0;  ///< ranges: value over the bound that it passed, or the inverse below the range; sets: 1
  std::vector<std::string> experiments;
  friend bool operator==(const DomainExit&, const DomainExit&) = default;
};

/// Where a case leaves `calibrated`, given its predicted latencies by stage (for its concurrency; may be empty). A range is left
/// by more than 10 %: nothing changes that suddenly, and concurrency is known no better. Fields that `calibrated` lacks are not
/// judged, and neither are model names: another model of a kind that was seen is what a config is for.
[[nodiscard]] std::vector<DomainExit> domain_exits(const params::CalibratedDomain& calibrated, const Case& item,
                                                   const std::vector<domain::Latencies>& predicted_stages);

/// One exit for each side of a field (and value of a set): the farthest value, every experiment once.
void merge(std::vector<DomainExit>& all, const std::vector<DomainExit>& more);

/// "outside the calibrated domain: tp is 8, 2 times above the calibrated 1 to 4 (experiments 17, 20, 21 and 3 more)"
[[nodiscard]] std::string format(const DomainExit& exit);

}  // namespace rooftune::eval
