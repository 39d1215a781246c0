#include "rooftune/kernels/all_reduce.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <string>

namespace rooftune::kernels {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

/// Largest messages that vLLM gives to its own kernel, for 2, 4 and 8 ranks, by compute capability.
/// Source: CUSTOM_ALL_REDUCE_MAX_SIZES in vllm/distributed/device_communicators/all_reduce_utils.py (vLLM, 2026-06).
struct OwnKernelLimits {
  std::string_view gpu;  ///< the GPUs' names begin so
  std::array<double, 3> below;
};
constexpr std::array kOwnKernelLimits{
    OwnKernelLimits{"H100", {64 * kMiB, 32 * kMiB, kMiB / 4}},
    OwnKernelLimits{"H200", {64 * kMiB, 32 * kMiB, kMiB / 4}},
    OwnKernelLimits{"B200", {2 * kMiB, 2 * kMiB, 1 * kMiB}},
    OwnKernelLimits{"B300", {4 * kMiB, 4 * kMiB, 4 * kMiB}},
};
/// The kernel's buffer. Source: CustomAllreduce, max_size, in vllm/distributed/device_communicators/custom_all_reduce.py.
constexpr double kOwnKernelBuffer = 8 * kMiB;

/// The limits came with symmetric memory (vLLM pull request 20759, July 2025), which 0.10 kept off by default (24111 turned it on,
/// 24696 off again for 0.10.2): there, what the own kernel may not take goes to NCCL. From 0.11 on it is on.
constexpr domain::Release kLimitsSince{0, 10, 1};
constexpr domain::Release kSymmetricSince{0, 11, 0};

/// vLLM's kernel reduces in one stage below these sizes, in two from there on: csrc/custom_all_reduce.cuh (all sizes for 2 ranks).
constexpr double kTwoStagesUpToFourRanks = 512.0 * 1024.0;
constexpr double kTwoStagesUpToEightRanks = 256.0 * 1024.0;

/// Largest messages of FlashInfer's all-reduce with the norm after it, for 2, 4 and 8 ranks: FI_ALLREDUCE_FUSION_MAX_SIZE_MB in
/// vllm/compilation/passes/fusion/allreduce_rms_fusion.py (0.16). It works in one stage as far as its own limits tell
/// (_FI_ALLREDUCE_ONE_SHOT_MAX_SIZES_MB); no table has rows of it.
constexpr std::array kFusedLimits{
    OwnKernelLimits{"H100", {32 * kMiB, 2 * kMiB, kMiB / 2}},
    OwnKernelLimits{"H200", {32 * kMiB, 2 * kMiB, kMiB / 2}},
    OwnKernelLimits{"B200", {32 * kMiB, 4 * kMiB, kMiB}},
    OwnKernelLimits{"B300", {32 * kMiB, 4 * kMiB, kMiB}},
};
/// On by default with several ranks on Hopper and Blackwell (docs.vllm.ai, design/fusions, 0.18); 0.14.1 has it off, and 0.16 moved
/// the pass to where it stands now.
constexpr domain::Release kFusedSince{0, 16, 0};

/// Tables of releases from here on contain symmetric memory; those of 0.14 do not, whatever its default was.
constexpr domain::Release kTablesWithSymmetricSince{0, 18, 0};

template <class Table>
std::optional<double> limit_of(const Table& table, const domain::GpuSpec& gpu, std::int64_t ranks) {
  const auto* found = std::ranges::find_if(table, [&](const OwnKernelLimits& limits) { return gpu.name.starts_with(limits.gpu); });
  if (found == table.end()) return std::nullopt;
  return found->below[ranks <= 2 ? 0 : (ranks <= 4 ? 1 : 2)];
}

/// The release among those of the rows that stands for `wanted`: the newest that is not younger, else the oldest; with `wanted`
/// empty the newest. Only tables with symmetric memory, or only those without, where there are such.
std::string choose_engine(const std::vector<AllReduceRow>& rows, std::optional<domain::Release> wanted, bool symmetric) {
  std::vector<std::pair<std::optional<domain::Release>, std::string>> known;
  for (const AllReduceRow& row : rows) {
    if (row.kind == "nccl") continue;
    known.emplace_back(domain::find_release(row.engine), row.engine);
  }
  std::ranges::sort(known);
  known.erase(std::unique(known.begin(), known.end()), known.end());
  if (known.empty()) return {};
  auto suited = known;
  std::erase_if(suited, [&](const auto& entry) { return entry.first && (*entry.first >= kTablesWithSymmetricSince) != symmetric; });
  if (suited.empty()) suited = known;
  if (!wanted) return suited.back().second;
  std::string chosen = suited.front().second;
  for (const auto& [release, engine] : suited) {
    if (release && *release <= *wanted) chosen = engine;
  }
  return chosen;
}

std::string newest_nccl(const std::vector<AllReduceRow>& rows) {
  std::string newest;
  for (const AllReduceRow& row : rows) {
    if (row.kind == "nccl" && (newest.empty() || domain::find_release(row.engine) > domain::find_release(newest))) newest = row.engine;
  }
  return newest;
}

/// The fused kernel stays with one stage where the measured ones change to two: from the last two sizes of one stage on, the time
/// grows by as much per byte, wherever that is less than what was measured of the others.
void go_on_in_one_stage(std::map<double, PriceCurve::Point>& points, const AllReduceChoice& choice) {
  const auto two_stages = points.lower_bound(choice.two_stages_from);
  if (choice.two_stages_from <= 0.0 || two_stages == points.end() || std::distance(points.begin(), two_stages) < 2) return;
  const PriceCurve::Point last = std::prev(two_stages)->second;
  const PriceCurve::Point before = std::prev(two_stages, 2)->second;
  const double us_per_byte = std::max(0.0, (last.us - before.us) / (last.quantity - before.quantity));
  auto point = two_stages;
  for (; point != points.end() && point->first <= choice.fused_up_to; ++point) {
    const double one_stage_us = last.us + us_per_byte * (point->first - last.quantity);
    if (one_stage_us < point->second.us) point->second = {.quantity = point->first, .us = one_stage_us};
  }
  // Past its limit another algorithm runs.
  if (point != points.end()) point->second.begins_algorithm = true;
}

}  // namespace

AllReduceChoice all_reduce_choice(const domain::GpuSpec& gpu, std::int64_t ranks, std::optional<domain::Release> release,
                                  std::optional<bool> fused) {
  AllReduceChoice choice{.own_below = kOwnKernelBuffer};
  choice.two_stages_from = ranks <= 2 ? 0.0 : (ranks <= 4 ? kTwoStagesUpToFourRanks : kTwoStagesUpToEightRanks);
  const std::optional<double> limit = limit_of(kOwnKernelLimits, gpu, ranks);
  if (limit && (!release || *release >= kLimitsSince)) {
    choice.own_below = std::min(kOwnKernelBuffer, *limit);
    choice.symmetric = !release || *release >= kSymmetricSince;
  }
  if (fused.value_or(!release || *release >= kFusedSince)) choice.fused_up_to = limit_of(kFusedLimits, gpu, ranks).value_or(0.0);
  return choice;
}

PriceCurve all_reduce_curve(const std::vector<AllReduceRow>& rows, const domain::GpuSpec& gpu, std::int64_t ranks,
                            std::optional<domain::Release> release, std::optional<bool> fused) {
  const AllReduceChoice choice = all_reduce_choice(gpu, ranks, release, fused);
  const std::string engine = choose_engine(rows, release, choice.symmetric);
  const std::string nccl = newest_nccl(rows);
  std::map<double, PriceCurve::Point> points;
  const auto add = [&](const AllReduceRow& row) {
    const auto bytes = static_cast<double>(row.message_bytes);
    const bool begins = bytes == choice.own_below || bytes == choice.two_stages_from;
    points[bytes] = {.quantity = bytes, .us = row.latency_us, .begins_algorithm = begins};
  };
  bool has_nccl = false;
  for (const AllReduceRow& row : rows) {
    if (row.ranks != ranks || row.kind != "nccl" || row.engine != nccl) continue;
    has_nccl = true;
    if (static_cast<double>(row.message_bytes) >= choice.own_below) add(row);
  }
  for (const AllReduceRow& row : rows) {
    if (row.ranks != ranks || row.kind == "nccl" || row.engine != engine) continue;
    // With symmetric memory the table's rows hold whatever the release took, for every size.
    if (!has_nccl || choice.symmetric || static_cast<double>(row.message_bytes) < choice.own_below) add(row);
  }
  if (choice.fused_up_to > 0.0) go_on_in_one_stage(points, choice);
  std::vector<PriceCurve::Point> all;
  for (const auto& [bytes, point] : points) all.push_back(point);
  return all.empty() ? PriceCurve() : PriceCurve(std::move(all));
}

}  // namespace rooftune::kernels
