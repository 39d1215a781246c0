#pragma once

#include <optional>
#include <string>
#include <vector>

namespace rooftune::calibrate {

/// The runs among which the next one is looked for: every combination that fits into memory and does not overload.
struct CandidateSpec {
  std::vector<std::string> models;  ///< empty: those of the study's runs
  std::vector<int> tp{1, 2, 4};
  std::vector<double> rates_per_s{0.5, 2.0, 8.0};
  std::vector<int> prompt_tokens{500, 2000};
  std::vector<int> output_tokens{128, 512};
  double duration_s = 300.0;  ///< of load
  double setup_s = 180.0;     ///< until the engine answers; counts as cost
  friend bool operator==(const CandidateSpec&, const CandidateSpec&) = default;
};

/// Tries the recommendation on runs that exist: start from a few of the study's runs, add another by recommendation or at random.
struct TrialSpec {
  int start_runs = 3;
  int draws = 40;
  friend bool operator==(const TrialSpec&, const TrialSpec&) = default;
};

/// How a config that was fitted on one GPU is carried to another.
struct OnboardSpec {
  std::string gpu;                            ///< the new one
  std::string reference = "H100-SXM";         ///< the one that the start config was fitted on
  std::optional<std::string> kernels;         ///< kernel efficiencies of both; empty: the shipped bench_data/efficiency.json
  std::optional<int> query_tile;              ///< rows that attention computes for each query head of a decode in a step that also
                                              ///< prefills, where its kernel does not pack the heads that share a KV head
  double spread = 0.3;                        ///< log standard deviation of what no kernel table says about the new GPU; > 0
  std::vector<std::string> unsure_kv_blocks;  ///< experiments whose total_kv_blocks was inferred: shown over a range of it
  CandidateSpec candidates;
  std::optional<TrialSpec> trial;
  friend bool operator==(const OnboardSpec&, const OnboardSpec&) = default;
};

}  // namespace rooftune::calibrate
