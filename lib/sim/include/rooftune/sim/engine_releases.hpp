#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/domain/gpu.hpp"
#include "rooftune/domain/model.hpp"
#include "rooftune/domain/release.hpp"

namespace rooftune::sim {

using domain::Release;

/// On which GPUs a rule holds: defaults differ with the memory of one GPU; vLLM's larger ones spare the A100.
enum class RuleGpus { every, large, other, under_35_gib, from_35_to_60_gib, from_160_gib };

/// From which release on the server does what, where its command line does not say. Later rules of a setting replace earlier ones.
struct EngineRule {
  std::string_view setting;  ///< vLLM's name, or ours where vLLM has no switch
  Release first;
  std::string_view value;
  RuleGpus gpus;
  std::string_view source;
  std::string_view engine = "vllm";
};
/// The one table of what engines do by version.
[[nodiscard]] std::span<const EngineRule> engine_rules();

/// Releases between which the rules were looked up; outside, the nearest is taken.
inline constexpr Release kFirstKnownRelease{0, 9, 0};
inline constexpr Release kLastKnownRelease{0, 24, 0};
/// SGLang's rules are those of this release and its neighbours; docs/sglang.md says what differs.
inline constexpr Release kSglangRelease{0, 5, 0};
/// What "main" or "nightly" means: the branch of June 2026, which became the last release that was looked at.
inline constexpr Release kDevelopment = kLastKnownRelease;

/// Memory of one GPU from which vLLM takes its larger defaults, A100 excepted.
inline constexpr core::Gibibytes kLargeGpu{70.0};

/// A setting that the record of a run does not hold, and what the engine's version does instead.
struct AssumedSetting {
  std::string setting;
  std::string value;
  std::string source;
};

/// A deployment in which nothing is left open.
struct SettledDeployment {
  domain::Deployment deployment;
  bool freed_unhashed_first = false;  ///< freed KV blocks without a hash are reused before all others
  bool prompts_alone = false;         ///< steps compute prompts or decode
  bool keeps_growth_reserve = false;  ///< GrowthReserve
  std::vector<AssumedSetting> assumed;
  std::string notice;  ///< why another version's rules are taken, or what of the engine is not simulated; or empty
};

/// Fills what was not recorded with what the engine's version does on that GPU. A fit or a study overrides single settings by
/// switches (engine.async_scheduling, engine.reserve_full_isl). Settling twice changes nothing.
[[nodiscard]] SettledDeployment settle(const domain::Deployment& deployment, const domain::ModelSpec& model,
                                       const domain::GpuSpec& gpu);

/// The sizes to which vLLM pads decode batches: 1, 2, 4, 8, 16 ... up to min(2 x max_num_seqs, 512) (vLLM's issue 32324).
[[nodiscard]] std::vector<int> default_capture_sizes(Release release, int max_num_seqs, int most = 0);

}  // namespace rooftune::sim
