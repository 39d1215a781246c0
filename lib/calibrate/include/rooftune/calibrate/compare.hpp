#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/calibrate/evaluation_store.hpp"
#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/opt/solve.hpp"
#include "rooftune/opt/termination.hpp"

namespace rooftune::calibrate {

/// What one variant reached on all the data, and on groups that its refits had not seen.
struct VariantResult {
  std::string name;
  std::string step_time_model;
  std::size_t free_parameters = 0;
  std::size_t without_effect = 0;  ///< free, but no prediction depends on them with these switches and data
  opt::EvaluationCounts counts;    ///< of the fit on all data
  double fit_seconds = 0.0;        ///< of the same
  double total_seconds = 0.0;      ///< with the folds
  opt::Termination termination;
  std::optional<std::string> failure;  ///< why there is no fit; the evaluations are then empty
  params::Config tuned;
  eval::Evaluation training;
  std::optional<eval::Evaluation> held_out;  ///< of all folds pooled
  std::string no_held_out;                   ///< why not, when there is none
};

/// Variants in the order of the study. `reverted`: `one_by_one.from` with one correction taken back each, named after it.
struct Comparison {
  std::vector<VariantResult> variants;
  std::optional<OneByOneSpec> one_by_one;
  std::vector<VariantResult> reverted;
  std::size_t asked = 0;  ///< variants that were to be fitted, the reverted ones included; fewer are there when it was cancelled

  [[nodiscard]] std::size_t finished() const { return variants.size() + reverted.size(); }
  [[nodiscard]] bool interrupted() const { return finished() < asked; }
  /// The variant of that name; null when there is none.
  [[nodiscard]] const VariantResult* find(std::string_view name) const;
};

struct CompareHooks {
  /// Called before each variant's fit.
  std::function<void(std::size_t finished, std::size_t total, const std::string& name)> progress = {};
  StoreUse store = {};          ///< where evaluations are looked up and kept
  std::stop_token cancel = {};  ///< ends with the variants that are finished
};

/// Fits every variant of the study with the study's solver, on all data and without each group of its split, and each correction
/// of `one_by_one` taken back. All problems of all variants are reported before anything is fitted. Needs `compare` and `split`.
[[nodiscard]] core::Result<Comparison> compare(const StudySpec& spec, const StudyInputs& inputs, const CompareHooks& hooks = {});

/// The study that a variant stands for.
[[nodiscard]] StudySpec variant_study(const StudySpec& spec, const VariantSpec& variant, const StudyInputs& inputs);

/// `from` with each difference to `to` taken back, named "<switch>: <choice>" or "<parameter> = <value>".
[[nodiscard]] std::vector<VariantSpec> reverted_one_by_one(const StudySpec& spec, const VariantSpec& from, const VariantSpec& to,
                                                           const StudyInputs& inputs);

/// Where the linear step time b0 + b2 * decodes of one deployment starts: least squares of measured time per token on the
/// requests in service, which Little's law gives (rate * E2E).
struct LinearStart {
  double step_us = 0.0;
  double per_decode_us = 0.0;
};
[[nodiscard]] std::optional<LinearStart> linear_start(const std::vector<const domain::Experiment*>& experiments);

}  // namespace rooftune::calibrate
