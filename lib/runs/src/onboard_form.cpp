#include "rooftune/core/limits.hpp"
#include "study_form.hpp"

namespace rooftune::runs {
namespace {

using calibrate::CandidateSpec;
using calibrate::OnboardSpec;
using calibrate::TrialSpec;

text::Form<CandidateSpec> candidates_form() {
  text::Form<CandidateSpec> form("'candidates'");
  form.texts("models", &CandidateSpec::models, "without it those of the study's runs");
  form.numbers("tp", &CandidateSpec::tp, text::at_least(1), "TP degrees");
  form.numbers("rates_per_s", &CandidateSpec::rates_per_s, text::above(0), "requests per second");
  form.numbers("prompt_tokens", &CandidateSpec::prompt_tokens, text::at_least(1), "mean lengths of prompts");
  form.numbers("output_tokens", &CandidateSpec::output_tokens, text::at_least(2), "mean lengths of outputs");
  form.number("duration_s", &CandidateSpec::duration_s, text::above(0), "seconds of load");
  form.number("setup_s", &CandidateSpec::setup_s, text::at_least(0), "seconds until the engine answers; they count as cost");
  return form;
}

text::Form<TrialSpec> trial_form() {
  text::Form<TrialSpec> form("'trial'");
  form.number("start_runs", &TrialSpec::start_runs, text::counted(1, core::limits::kRepeats), "runs of the study to start from");
  form.number("draws", &TrialSpec::draws, text::counted(1, core::limits::kRepeats), "such starts");
  return form;
}

}  // namespace

text::Form<OnboardSpec> onboard_form() {
  text::Form<OnboardSpec> form("'onboard'");
  form.text("gpu", &OnboardSpec::gpu, "the new GPU").required().example("A100-SXM");
  form.text("reference", &OnboardSpec::reference,
            "the GPU that the start config was fitted on; the same as `gpu` for another version of the engine");
  form.text("kernels", &OnboardSpec::kernels,
            "an efficiency summary with both GPUs; without it the shipped bench_data/efficiency.json")
      .example("efficiency.json");
  form.number(
          "query_tile", &OnboardSpec::query_tile, text::at_least(1),
          "rows that attention computes for each query head of a decode in a step that also prefills, where its kernel does not pack "
          "the heads that share a KV head (FlashAttention 2: 64; leave out for 3)")
      .example(64);
  form.number("spread", &OnboardSpec::spread, text::above(0), "log standard deviation of what no kernel table says about the new GPU");
  form.texts("unsure_kv_blocks", &OnboardSpec::unsure_kv_blocks,
             "ids of experiments whose total_kv_blocks was inferred: their errors are shown over a range of it");
  form.object("candidates", &OnboardSpec::candidates, candidates_form(), "runs among which the next one is looked for");
  form.object("trial", &OnboardSpec::trial, trial_form(), "instead: try the recommendation on runs that exist");
  return form;
}

}  // namespace rooftune::runs
