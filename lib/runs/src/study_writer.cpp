#include <algorithm>

#include "rooftune/data/config_forms.hpp"
#include "rooftune/data/shipped_configs.hpp"
#include "rooftune/runs/study_file.hpp"
#include "rooftune/text/files.hpp"
#include "rooftune/text/json_text.hpp"
#include "study_form.hpp"

namespace rooftune::runs {
namespace {

text::Json schema() {
  text::Json definitions = data::parameter_definitions();
  definitions["switches"] = data::switches_schema("");
  definitions["selectors"] = selectors_schema();
  return text::root_schema("A study of rooftune", "What to fit or test, on which data, how.", study_form().schema(),
                           std::move(definitions));
}

}  // namespace

std::string study_text(const calibrate::StudySpec& spec) { return text::yaml_block(study_form().write(spec)); }

std::string study_schema() { return text::json_text(schema()); }

std::string default_study_text() {
  return "# A complete study: every key, with its default or an example. All keys but `name` may be left out.\n" +
         text::yaml_template(schema(), {"description", "data", "data.ground_truth", "failures", "start", "start.step_time_model",
                                        "switches", "free", "objective", "solver", "uncertainty", "crossval", "crossval.group"});
}

calibrate::StudySpec with_paths_from(calibrate::StudySpec spec, const std::filesystem::path& from, const std::filesystem::path& to) {
  namespace fs = std::filesystem;
  const auto rebase = [&](std::string& path) {
    if (fs::path(path).is_absolute()) return;
    path = text::absolute(from / path).lexically_relative(text::absolute(to)).string();
  };
  for (auto* paths : {&spec.data.ground_truth, &spec.data.models, &spec.data.hardware, &spec.data.kernels})
    std::ranges::for_each(*paths, rebase);
  const auto rebase_config = [&](std::string& config) {
    if (!data::is_config_name(config)) rebase(config);
  };
  if (spec.start_config) rebase_config(*spec.start_config);
  if (spec.data.simulated_by) rebase_config(spec.data.simulated_by->config);
  if (spec.onboard && spec.onboard->kernels) rebase(*spec.onboard->kernels);
  if (spec.simulator) rebase(spec.simulator->folder);
  if (spec.improve && spec.improve->proposer) rebase(spec.improve->proposer->folder);
  return spec;
}

}  // namespace rooftune::runs
