#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rooftune/domain/gpu.hpp"
#include "rooftune/kernels/audit.hpp"
#include "rooftune/kernels/efficiency.hpp"
#include "rooftune/kernels/plan.hpp"
#include "rooftune/kernels/tables.hpp"

namespace rooftune::data {

/// A file of a folder of kernel tables.
struct KernelFile {
  std::string name;  ///< "gemm.csv"
  std::size_t rows = 0;
  std::string text;
};

/// The tables in our schema (bench_data/README.md), those without rows left out; shares of the GPU's peaks are recomputed.
/// Normalised rows are what belongs here: an all-reduce is written as the fastest implementation.
[[nodiscard]] std::vector<KernelFile> kernel_files(const kernels::MeasuredKernels& kernels, const domain::GpuSpec& gpu);

/// The manifest of such a folder, "rooftune/kernel-manifest/1": what was written, with hashes, and what made it.
[[nodiscard]] std::string kernel_manifest(const std::vector<KernelFile>& files, const kernels::MeasuredKernels& kernels,
                                          std::string_view importer);

/// What the audit of one table found.
struct KernelVerdict {
  std::string file;
  std::string table;  ///< "gemm", "context_attention" ...
  std::string gpu;
  kernels::MfuAudit audit;
};
/// Verdicts as "rooftune/kernel-audit/1".
[[nodiscard]] std::string kernel_audit_json(const std::vector<KernelVerdict>& verdicts);
/// A row for each verdict; findings by name.
[[nodiscard]] std::string kernel_audit_csv(const std::vector<KernelVerdict>& verdicts);

/// What a folder of clean tables was written from and holds.
struct KernelNormalisation {
  std::string folder;
  std::string gpu;
  std::vector<KernelFile> files;
  std::vector<kernels::LeftOut> left_out;
};
/// "rooftune/kernel-normalisation/1".
[[nodiscard]] std::string kernel_normalisation_json(const KernelNormalisation& normalisation);
/// A row for each file, then one for each reason to leave rows out.
[[nodiscard]] std::string kernel_normalisation_csv(const KernelNormalisation& normalisation);

/// A plan as "rooftune/kernel-plan/1", which scripts/collect_kernels.py reads; one shape per line.
[[nodiscard]] std::string kernel_plan_json(const kernels::KernelPlan& plan);
/// A row for each shape; cells that its table has no size for are empty.
[[nodiscard]] std::string kernel_plan_csv(const kernels::KernelPlan& plan);

}  // namespace rooftune::data
