#pragma once

#include "rooftune/calibrate/study_spec.hpp"
#include "rooftune/text/form.hpp"

/// Every key of a study, once: what reads and writes studies, their template and their JSON Schema.
namespace rooftune::runs {

/// The whole of a study.
[[nodiscard]] text::Form<calibrate::StudySpec> study_form();

// The keys that have a file of their own.

/// A list of free parameters: ids, groups ("physics.*") and objects that say more. What `fixed` holds is not free.
[[nodiscard]] std::vector<params::FreeParameter> read_free(std::span<const text::Node> items, const params::Assignments& fixed,
                                                           text::Problems& problems);
[[nodiscard]] text::Json free_json(const std::vector<params::FreeParameter>& free);
[[nodiscard]] text::Json free_schema();

/// `{hardware: [H100, A100-80GB], tp: 1}`
[[nodiscard]] std::vector<calibrate::Selector> read_selectors(const text::Node& object, text::Problems& problems);
[[nodiscard]] text::Json selectors_json(const std::vector<calibrate::Selector>& selectors);
[[nodiscard]] text::Json selectors_schema();

[[nodiscard]] text::Form<calibrate::DataSpec> data_form();
[[nodiscard]] text::Form<eval::SplitSpec> split_form();
/// `study` is what its variants are fitted beside.
[[nodiscard]] text::Form<calibrate::CompareSpec> compare_form(const calibrate::StudySpec& study);
[[nodiscard]] text::Form<calibrate::ImproveSpec> improve_form();
[[nodiscard]] text::Form<calibrate::OnboardSpec> onboard_form();
[[nodiscard]] text::Form<calibrate::ExternalSpec> external_form();
enum class SimulatorKind { built_in, external, any };
/// What a key without effect for this kind is: an error like any unknown one.
[[nodiscard]] text::Form<eval::FailurePolicy> failures_form(SimulatorKind kind);

}  // namespace rooftune::runs
