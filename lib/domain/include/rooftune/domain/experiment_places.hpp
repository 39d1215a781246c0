#pragma once

#include <functional>
#include <map>
#include <string>

#include "rooftune/core/diagnostics.hpp"

namespace rooftune::domain {

/// Where a file says on what an experiment ran: for what is found wrong with that only once models and GPUs are known.
struct ExperimentPlaces {
  core::SourcePosition model;
  core::SourcePosition hardware;
};

/// By id; experiments that no file holds have none.
using PlacesByExperiment = std::map<std::string, ExperimentPlaces, std::less<>>;

}  // namespace rooftune::domain
