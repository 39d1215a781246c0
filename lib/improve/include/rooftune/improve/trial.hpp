#pragma once

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/core/ranks.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/eval/splits.hpp"

namespace rooftune::improve {

/// The runs of an improvement: which ones fits may see, which ones verdicts rest on, which ones nothing sees before the end.
struct ImproveRuns {
  std::vector<std::size_t> judged;    ///< indices into the dataset: all but the tests and those in quarantine
  std::vector<std::size_t> training;  ///< of these the ones that fits see
  std::vector<std::size_t> test;
};
[[nodiscard]] ImproveRuns improve_runs(const calibrate::PreparedStudy& study, const std::vector<domain::GpuSpec>& gpus);

/// A fold, and what is new about the runs that it holds out.
struct JudgedFold : eval::Fold {
  /// Empty: a fold of the study's own split. Otherwise the kind of group that the test runs ask for beside it: "tp", each degree
  /// predicted from the lower ones alone; "model" or "gpu", each left out in turn.
  std::string unseen{};
};

/// What `improve.extrapolate` says, or the kinds of groups of which `improve.test` has one that no other run has (of TP: a higher degree), and which the study's own split
/// does not leave out: folds hold the extrapolation that the test will be about.
[[nodiscard]] std::vector<std::string> asked_extrapolations(const calibrate::PreparedStudy& study, const ImproveRuns& runs);

/// The fit of one fold with one seed.
struct FoldFit {
  std::uint64_t seed = 0;
  std::string fold;
  double objective = 0.0;
  long evaluations = 0;
  std::string termination;
  std::vector<double> values;  ///< of the free parameters, in the study's order
  friend bool operator==(const FoldFit&, const FoldFit&) = default;
};

/// How far the prediction of an unseen run is off.
struct RunError {
  std::string experiment;
  std::string unseen;  ///< of the fold
  domain::Metric metric = domain::Metric::ttft_mean;
  double weight = 1.0;
  double log_error_percent = 0.0;  ///< 100 |ln(predicted / measured)|: close to the APE where small, and fair to both signs
  double ape_percent = 0.0;
};

/// ("tp", "4") -> what its runs have in common.
using GroupKey = std::pair<std::string, std::string>;

/// A structure (a study) fitted on folds with several seeds, and its errors on the runs that each fold did not see.
struct Trial {
  std::size_t free_parameters = 0;
  std::vector<FoldFit> fits;                            ///< by seed, then by fold
  std::vector<std::vector<RunError>> errors;            ///< by seed
  std::map<std::string, std::vector<GroupKey>> groups;  ///< of each experiment
  eval::Evaluation held_out;                            ///< of the first seed, the folds of the study's own split pooled
  long evaluations = 0;
  std::optional<std::string> failure;  ///< why there are no errors

  /// Weighted mean of the log errors with one seed, on the folds of the study's own split.
  [[nodiscard]] double score_percent(std::size_t seed) const;
  [[nodiscard]] double mean_score_percent() const;
  /// Score of the first seed on what `other` judges with its first seed: a screening has fewer folds.
  [[nodiscard]] double score_on(const Trial& other) const;
};

struct TrialOptions {
  std::vector<std::string> folds{};  ///< names of those to fit; empty: all
  int seeds = 1;
  int starts = 1;
};

struct TrialRequest {
  calibrate::StudySpec spec;
  TrialOptions options;
};

/// Ranks that improve together, and how studies travel to them.
struct TrialRanks {
  core::Ranks* ranks = nullptr;  ///< null: this process alone
  std::function<std::string(const calibrate::StudySpec& spec)> text_of = {};
  std::function<calibrate::StudySpec(const std::string& text)> spec_of = {};  ///< reads back equal, or throws
};

/// Who computes, and until when.
struct Together {
  TrialRanks ranks = {};
  std::stop_token cancel = {};
};

/// Folds of the judged runs, those of the study's split first; what a fold trains on is what is left of the training runs.
[[nodiscard]] core::Result<std::vector<JudgedFold>> improve_folds(const calibrate::PreparedStudy& study, const ImproveRuns& runs);

/// A free parameter that moves what the fold of an extrapolation holds out, while nothing that any such fold fits depends on it:
/// its value would be carried to where no fold can check it.
struct UncheckedParameter {
  std::string label;
  std::string unseen;  ///< the kind of group
  friend bool operator==(const UncheckedParameter&, const UncheckedParameter&) = default;
};
[[nodiscard]] std::vector<UncheckedParameter> unchecked_parameters(const calibrate::PreparedStudy& study,
                                                                   const std::vector<JudgedFold>& folds);

/// Free parameters of which the training runs tell less, everything else held, than their priors do.
[[nodiscard]] std::vector<std::string> idle_parameters(const calibrate::PreparedStudy& study, const ImproveRuns& runs);

/// Fits every request's folds and seeds from cold starts, all in parallel; the result does not depend on the number of threads. Once
/// `cancel` is requested it ends soon, and what it returns is of no use.
[[nodiscard]] std::vector<Trial> run_trials(const std::vector<TrialRequest>& requests, const calibrate::StudyInputs& inputs,
                                            const TrialRanks& ranks = {}, const std::stop_token& cancel = {});

/// The kind of a group that is one run: shown, but a single run's noise is no reason against a change.
inline constexpr std::string_view kOneRun = "run";

/// The error of one group before and after a change, mean over the seeds.
struct GroupChange {
  GroupKey group;
  domain::Metric metric = domain::Metric::ttft_mean;
  double before_percent = 0.0;  ///< log errors
  double after_percent = 0.0;
  double ape_before_percent = 0.0;
  double ape_after_percent = 0.0;
  int runs = 0;
  friend bool operator==(const GroupChange&, const GroupChange&) = default;
};

/// What a change has to show.
enum class Burden {
  must_gain,      ///< it is kept only for a gain beyond its noise
  must_not_lose,  ///< it says what engines do, or lets fits see more runs: it is kept unless held-out errors speak against it
};
inline constexpr std::array<core::Word<Burden>, 2> kBurdens{{
    {"must_gain", Burden::must_gain},
    {"must_not_lose", Burden::must_not_lose},
}};

/// What the judge says about a change.
struct Verdict {
  bool keep = false;
  double before_percent = 0.0;  ///< held-out scores, mean over the seeds, on the runs that both trials judge
  double after_percent = 0.0;
  double gain_percent = 0.0;
  double noise_percent = 0.0;  ///< of the gain: one-sided 95 % by Student's t over the seeds
  long extra_parameters = 0;
  std::vector<GroupChange> groups;
  std::string why;
};

/// Keeps a change when its gain, less the price of its parameters, exceeds both its noise over seeds and the smallest gain worth
/// having (or, where it need not gain, when it loses no more than that), no extrapolation that folds hold and no group of
/// runs gets worse beyond its tolerance. Training errors play no part.
[[nodiscard]] Verdict judge(const Trial& before, const Trial& after, const calibrate::ImproveSpec& rules,
                            Burden burden = Burden::must_gain);

}  // namespace rooftune::improve
