#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rooftune/calibrate/prepare.hpp"
#include "rooftune/calibrate/study_spec.hpp"
#include "rooftune/core/diagnostics.hpp"
#include "rooftune/improve/diagnosis.hpp"

namespace rooftune::improve {

/// A pattern that suggests a move: this metric is off by this factor ("any": however).
struct Hint {
  std::string metric;
  std::string factor{"any"};
};

/// One thing that an engineer may try. What is left out stays as it is.
struct Move {
  std::string id;
  std::string reason{};                                         ///< the physics behind it, or the rule
  std::string step_time_model{};                                ///< the one that it is for; empty: any
  std::vector<Hint> suggested_by{};                             ///< by the strongest of them it is ranked
  std::vector<std::pair<std::string, std::string>> switches{};  ///< {id, choice}
  std::vector<std::string> free{};                              ///< parameters to free; they start where they are
  std::vector<std::pair<std::string, double>> fix{};            ///< {id, value}
  std::vector<params::FreeParameter> add{};                     ///< coefficients of declared terms, as a fit may move them
  std::optional<eval::LossKind> loss{};
  std::optional<eval::StageRows> rows{};
  std::vector<calibrate::ModelAssumption> assume{};
  std::string take{};     ///< another step-time model takes over, and frees what a first fit of it frees, with priors
  std::string reprior{};  ///< a free parameter whose prior becomes `reprior_factor` times as wide
  double reprior_factor = 1.0;
  bool extend = false;             ///< take the next entry of `improve.extend` into the training data
  std::string quarantine{};        ///< id of a run
  std::vector<std::string> tie{};  ///< free parameters that keep their ratios from now on: one multiplier over all
  std::string linear{};            ///< a free parameter that is searched on a linear scale instead of a log scale
  Burden burden = Burden::must_gain;
};

/// The moves that rooftune knows by name; a new one is a new entry. Beside them every switch, every parameter and every run of
/// the data gives moves by rule (`propose`).
[[nodiscard]] const std::vector<Move>& move_catalogue();

/// A move that suits a structure: what it would make of it, and why it is tried before others.
struct Proposal {
  std::string move;
  std::string change;  ///< in words: "engine.prefix_reuse: off -> on"
  std::string reason;
  std::string suggested_by;  ///< the finding that ranks it; empty where none does
  double strength = 0.0;     ///< of that finding
  long extra_parameters = 0;
  Burden burden = Burden::must_gain;
  Move definition{};
  calibrate::StudySpec spec;
};

[[nodiscard]] bool only_turns_switches(const Move& move);

/// What a move would make of a structure; nothing where it changes nothing or does not fit.
[[nodiscard]] std::optional<Proposal> applied(const Move& move, const calibrate::PreparedStudy& study);

/// Every move that would change the structure: first all corrections that need not gain at once, because two effects that cancel
/// hide each other, so that either correction alone makes things worse; then single moves, strongest suggestion first, moves that
/// cost fewer parameters before others. What was turned on since `begun`, the structure that the search started from, may be
/// taken back.
[[nodiscard]] std::vector<Proposal> propose(const calibrate::PreparedStudy& study, const params::Config& begun,
                                            const ImproveRuns& runs, const Diagnosis& diagnosis,
                                            const std::vector<Move>& catalogue = move_catalogue());

/// Moves together that failed alone: `blocked` ones (they gained, but at the cost of some group) with every other; pairs of the
/// strongest that only turn switches.
[[nodiscard]] std::vector<Proposal> propose_combinations(const calibrate::PreparedStudy& study, const std::vector<Proposal>& proposals,
                                                         const std::vector<std::string>& blocked);

/// Whether a study lets the loop try the move.
[[nodiscard]] bool is_wanted(std::string_view id, const calibrate::ImproveSpec& improve);

/// Whether `id` is `pattern`, or begins with it where that ends in "*".
[[nodiscard]] bool matches_pattern(std::string_view id, std::string_view pattern);

}  // namespace rooftune::improve
