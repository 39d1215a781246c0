#include "onboard_form.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "rooftune/core/limits.hpp"
#include "rooftune/text/yaml_text.hpp"

namespace rooftune::runs {
namespace {

calibrate::CandidateSpec read_candidates(const text::Node& object, text::Problems& problems) {
  calibrate::CandidateSpec candidates;
  text::ObjectReader reader(object, problems, "'candidates'");
  reader.optional("models", candidates.models);
  const auto read_numbers = [&](std::string_view key, auto& target, text::Range range) {
    if (!reader.optional(key, target, range) || !target.empty()) return;
    problems.error(reader.find(key)->place, fmt::format("'{}' is an empty list", key), "name a value, or remove it");
  };
  read_numbers("tp", candidates.tp, text::at_least(1));
  read_numbers("rates_per_s", candidates.rates_per_s, text::above(0));
  read_numbers("prompt_tokens", candidates.prompt_tokens, text::at_least(1));
  read_numbers("output_tokens", candidates.output_tokens, text::at_least(2));
  reader.optional("duration_s", candidates.duration_s, text::above(0));
  reader.optional("setup_s", candidates.setup_s, text::at_least(0));
  return candidates;
}

calibrate::TrialSpec read_trial(const text::Node& object, text::Problems& problems) {
  calibrate::TrialSpec trial;
  text::ObjectReader reader(object, problems, "'trial'");
  reader.optional("start_runs", trial.start_runs, text::counted(1, core::limits::kRepeats));
  reader.optional("draws", trial.draws, text::counted(1, core::limits::kRepeats));
  return trial;
}

}  // namespace

calibrate::OnboardSpec read_onboard(const text::Node& object, text::Problems& problems) {
  calibrate::OnboardSpec spec;
  text::ObjectReader reader(object, problems, "'onboard'");
  reader.required("gpu", spec.gpu);
  reader.optional("reference", spec.reference);
  reader.optional("kernels", spec.kernels);
  reader.optional("query_tile", spec.query_tile, text::at_least(1));
  reader.optional("spread", spec.spread, text::above(0));
  reader.optional("unsure_kv_blocks", spec.unsure_kv_blocks);
  if (const text::Node* node = reader.optional_object("candidates")) spec.candidates = read_candidates(*node, problems);
  if (const text::Node* node = reader.optional_object("trial")) spec.trial = read_trial(*node, problems);
  return spec;
}

std::string onboard_text(const calibrate::OnboardSpec& spec) {
  std::string text = fmt::format("onboard:\n  gpu: {}\n  reference: {}\n", text::yaml_text::scalar(spec.gpu),
                                 text::yaml_text::scalar(spec.reference));
  if (spec.kernels) text += fmt::format("  kernels: {}\n", text::yaml_text::scalar(*spec.kernels));
  if (spec.query_tile) text += fmt::format("  query_tile: {}\n", *spec.query_tile);
  text += fmt::format("  spread: {}\n", spec.spread);
  if (!spec.unsure_kv_blocks.empty()) text += fmt::format("  unsure_kv_blocks: {}\n", text::yaml_text::list(spec.unsure_kv_blocks));
  const calibrate::CandidateSpec& candidates = spec.candidates;
  text += "  candidates:\n";
  if (!candidates.models.empty()) text += fmt::format("    models: {}\n", text::yaml_text::list(candidates.models));
  text += fmt::format(
      "    tp: [{}]\n    rates_per_s: [{}]\n    prompt_tokens: [{}]\n    output_tokens: [{}]\n    duration_s: {}\n    setup_s: {}\n",
      fmt::join(candidates.tp, ", "), fmt::join(candidates.rates_per_s, ", "), fmt::join(candidates.prompt_tokens, ", "),
      fmt::join(candidates.output_tokens, ", "), candidates.duration_s, candidates.setup_s);
  if (spec.trial) text += fmt::format("  trial: {{start_runs: {}, draws: {}}}\n", spec.trial->start_runs, spec.trial->draws);
  return text;
}

std::string default_onboard_text() {
  const calibrate::OnboardSpec spec;
  const calibrate::CandidateSpec& candidates = spec.candidates;
  const calibrate::TrialSpec trial;
  std::string text = R"(
# How `rooftune onboard` carries the start config to a new GPU, whose runs are the study's data.
# onboard:
#   gpu: A100-SXM                      # the new one
)";
  const auto add = [&](std::string_view entry, std::string_view meaning) { text += fmt::format("#   {:<34} # {}\n", entry, meaning); };
  add(fmt::format("reference: {}", spec.reference), "the one that the start config was fitted on");
  add("kernels: efficiency.json", "kernel efficiencies of both; default: the shipped bench_data/efficiency.json");
  add("query_tile: 64", "rows that attention computes for each query head of a decode in a step that also prefills, where");
  add("", "its kernel does not pack the heads that share a KV head (FlashAttention 2: 64; leave out for 3)");
  add(fmt::format("spread: {}", spec.spread), "log standard deviation of what no kernel table says about the new GPU");
  add("unsure_kv_blocks: [\"54\"]", "experiments whose total_kv_blocks was inferred: errors over a range of it");
  text += "#   candidates:                        # among which the next run is looked for; default models: those of the runs\n";
  text += fmt::format(
      "#     {{models: [], tp: [{}], rates_per_s: [{}], prompt_tokens: [{}], output_tokens: [{}], duration_s: {}, setup_s: {}}}\n",
      fmt::join(candidates.tp, ", "), fmt::join(candidates.rates_per_s, ", "), fmt::join(candidates.prompt_tokens, ", "),
      fmt::join(candidates.output_tokens, ", "), candidates.duration_s, candidates.setup_s);
  text += fmt::format("#   trial: {{start_runs: {}, draws: {}}}  # instead: try the recommendation on runs that exist\n",
                      trial.start_runs, trial.draws);
  return text;
}

}  // namespace rooftune::runs
