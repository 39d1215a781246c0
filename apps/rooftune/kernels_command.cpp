#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>

#include "command_line.hpp"
#include "commands.hpp"
#include "options.hpp"
#include "rooftune/data/gpus.hpp"
#include "rooftune/data/kernel_tables.hpp"
#include "rooftune/data/kernel_writer.hpp"
#include "rooftune/data/models.hpp"
#include "rooftune/kernels/audit.hpp"
#include "rooftune/kernels/efficiency.hpp"
#include "rooftune/kernels/plan.hpp"
#include "rooftune/latency/kernel_plan.hpp"
#include "rooftune/report/text_table.hpp"
#include "rooftune/text/atomic_file.hpp"
#include "rooftune/text/csv.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

namespace fs = std::filesystem;

struct KernelOptions {
  std::vector<std::string> paths;
  std::optional<std::string> gpu;
  std::vector<std::string> hardware;
  std::optional<std::string> target;
  std::vector<std::string> models;
  std::vector<std::int64_t> tp{1};
  OutputOptions output;
};

/// The GPUs that ship and those of --hardware; a later one of a name counts.
core::Result<std::vector<domain::GpuSpec>> gpus_of(const KernelOptions& options) {
  auto gpus = data::default_gpus();
  if (!gpus) return gpus;
  core::Diagnostics problems;
  for (const std::string& file : options.hardware) {
    core::Diagnostics noticed;
    const auto own = data::read_gpus(file, &noticed);
    print_errors(noticed);
    if (!own) {
      problems.insert(problems.end(), own.error().begin(), own.error().end());
      continue;
    }
    gpus->insert(gpus->begin(), own->begin(), own->end());
  }
  if (!problems.empty()) return tl::unexpected(std::move(problems));
  return gpus;
}

/// --gpu, or the nearest folder of the path that bears a GPU's name.
core::Result<domain::GpuSpec> gpu_of(const fs::path& path, const KernelOptions& options, const std::vector<domain::GpuSpec>& gpus) {
  if (options.gpu) {
    if (const domain::GpuSpec* gpu = domain::find_gpu(gpus, *options.gpu)) return *gpu;
    std::vector<std::string_view> names;
    for (const domain::GpuSpec& gpu : gpus) names.push_back(gpu.name);
    return core::fail({}, fmt::format("unknown GPU '{}'", *options.gpu),
                      fmt::format("{}, or describe it in a file for --hardware", core::suggest(*options.gpu, names)));
  }
  std::error_code failed;
  for (fs::path part = fs::absolute(path, failed).lexically_normal(); part.has_relative_path(); part = part.parent_path()) {
    if (const domain::GpuSpec* gpu = domain::find_gpu(gpus, part.filename().string())) return *gpu;
  }
  const fs::path folder = fs::is_directory(path, failed) ? path : path.parent_path();
  return core::fail({.file = path.string()},
                    fmt::format("the folder's name '{}' is no GPU that is known, nor is one above it",
                                fs::absolute(folder, failed).lexically_normal().filename().string()),
                    "name the GPU with --gpu, or describe it in a file for --hardware");
}

using Verdict = data::KernelVerdict;

/// Tables without work to count: only their latencies are judged.
template <class Row>
std::vector<kernels::ReportedRow> latencies_of(const std::vector<Row>& rows) {
  std::vector<kernels::ReportedRow> reported;
  for (const Row& row : rows) {
    reported.push_back({.format = kernels::NumberFormat::bf16, .flops = 0.0, .latency_us = row.latency_us, .mfu = std::nullopt});
  }
  return reported;
}

std::vector<kernels::ReportedRow> latencies_of(const std::vector<double>& latencies_us) {
  std::vector<kernels::ReportedRow> reported;
  for (const double latency_us : latencies_us)
    reported.push_back({.format = kernels::NumberFormat::bf16, .flops = 0.0, .latency_us = latency_us, .mfu = std::nullopt});
  return reported;
}

/// The formats that rows declare, once each; rows that declare none belong together.
template <class Row>
std::vector<std::vector<Row>> by_format(const std::vector<Row>& rows) {
  std::vector<std::vector<Row>> groups;
  for (const Row& row : rows) {
    auto group = std::ranges::find_if(groups, [&](const std::vector<Row>& other) { return other.front().format == row.format; });
    if (group == groups.end()) group = groups.insert(group, std::vector<Row>{});
    group->push_back(row);
  }
  return groups;
}

/// One verdict for each format of the file's table, whose kind shows in the columns that only it has: every format has a peak of
/// its own that the column may have been divided by.
core::Result<std::vector<Verdict>> audit_file(const fs::path& file, const domain::GpuSpec& gpu) {
  const auto table = text::read_csv(file);
  if (!table) return tl::unexpected(table.error());
  const auto has = [&](std::string_view column) {
    return std::ranges::any_of(table->header, [&](const text::Node& cell) { return cell.text == column; });
  };
  using Verdicts = core::Result<std::vector<Verdict>>;
  const auto verdict = [&](std::string_view name, const std::vector<kernels::ReportedRow>& rows, kernels::Mask mask) {
    return Verdict{.file = file.string(), .table = std::string(name), .gpu = gpu.name, .audit = kernels::audit_mfu(rows, gpu, mask)};
  };
  const auto latencies_only = [&](std::string_view name, const auto& rows) -> Verdicts {
    if (!rows) return tl::unexpected(rows.error());
    return std::vector{verdict(name, latencies_of(*rows), kernels::Mask::none)};
  };
  const auto with_work = [&](std::string_view name, const auto& rows, kernels::Mask mask) -> Verdicts {
    if (!rows) return tl::unexpected(rows.error());
    std::vector<Verdict> verdicts;
    for (const auto& group : by_format(*rows)) verdicts.push_back(verdict(name, kernels::reported(group), mask));
    return verdicts;
  };
  if (has("op")) return latencies_only(has("ranks") ? "collective" : "attention module", data::read_kernel_latencies(file));
  if (has("heads") && !has("kv_heads")) return latencies_only("latent attention module", data::read_kernel_latencies(file));
  if (has("ranks")) return latencies_only("allreduce", data::read_all_reduce_table(file));
  if (has("experts")) return latencies_only("moe", data::read_moe_table(file));
  if (has("seq_len")) return with_work("context_attention", data::read_context_attention_table(file), kernels::Mask::causal);
  if (has("kv_len")) return with_work("generation_attention", data::read_generation_attention_table(file), kernels::Mask::none);
  // What has no header at all is reported by the reader of the simplest table.
  return with_work("gemm", data::read_gemm_table(file), kernels::Mask::none);
}

/// The path itself, or every CSV file below it, sorted.
core::Result<std::vector<fs::path>> tables_below(const fs::path& path) {
  std::error_code failed;
  if (!fs::is_directory(path, failed)) return std::vector<fs::path>{path};
  std::vector<fs::path> files;
  for (auto entry = fs::recursive_directory_iterator(path, failed); !failed && entry != fs::recursive_directory_iterator();
       entry.increment(failed)) {
    if (entry->path().extension() == ".csv") files.push_back(entry->path());
  }
  if (failed)
    return core::fail({.file = path.string()}, fmt::format("cannot be searched: {}", failed.message()), "name a folder below");
  if (files.empty())
    return core::fail({.file = path.string()}, "no kernel tables (CSV files) here", "name a folder that holds some, or a file");
  std::ranges::sort(files);
  return files;
}

std::string audit_tables(const std::vector<Verdict>& verdicts, report::Colour colour) {
  using report::Align;
  report::TextTable table({{"file", Align::left},
                           {"table", Align::left},
                           {"GPU", Align::left},
                           {"rows"},
                           {"format", Align::left},
                           {"mfu divided by", Align::left},
                           {"highest MFU\nrecomputed"},
                           {"verdict", Align::left}});
  std::string details;
  for (const Verdict& verdict : verdicts) {
    const kernels::MfuAudit& audit = verdict.audit;
    std::vector<std::string_view> names;
    for (const kernels::Finding& finding : audit.findings) {
      names.push_back(kernels::finding_name(finding.kind));
      details += fmt::format("{}: {}: {}\n", verdict.file, kernels::finding_name(finding.kind), finding.message);
    }
    const bool is_clean = names.empty();
    table.add({verdict.file, verdict.table, verdict.gpu, fmt::format("{}", audit.rows),
               audit.format && audit.highest_mfu > 0.0 ? std::string(kernels::format_name(*audit.format)) : "-",
               audit.denominator ? audit.denominator->peak.name() : "-",
               audit.highest_mfu > 0.0 ? fmt::format("{:.3f}", audit.highest_mfu) : "-",
               report::Cell(is_clean ? "clean" : fmt::format("{}", fmt::join(names, ", ")),
                            is_clean ? report::Tone::good : report::Tone::bad)});
  }
  return table.text(colour) + (details.empty() ? "" : "\n" + details);
}

ExitCode audit(const KernelOptions& options) {
  core::Diagnostics problems;
  const auto note = [&](const core::Diagnostics& more) { core::append(problems, more); };
  const auto gpus = gpus_of(options);
  if (!gpus) note(gpus.error());
  std::vector<Verdict> verdicts;
  for (const std::string& path : gpus ? options.paths : std::vector<std::string>{}) {
    const auto files = tables_below(path);
    if (!files) note(files.error());
    for (const fs::path& file : files.value_or(std::vector<fs::path>{})) {
      const auto gpu = gpu_of(file, options, *gpus);
      if (!gpu) {
        note(gpu.error());
        continue;
      }
      const auto found = audit_file(file, *gpu);
      if (found)
        verdicts.insert(verdicts.end(), found->begin(), found->end());
      else
        note(found.error());
    }
  }
  if (!write_csv(options.output, [&] { return data::kernel_audit_csv(verdicts); })) return ExitCode::bad_input;
  if (!verdicts.empty()) {
    print_either(
        options.output, [&] { return data::kernel_audit_json(verdicts); }, [&] { return audit_tables(verdicts, output_colour()); });
  }
  print_errors(problems);
  if (!problems.empty()) return ExitCode::bad_input;
  const bool all_clean = std::ranges::all_of(verdicts, [](const Verdict& verdict) { return verdict.audit.findings.empty(); });
  return all_clean ? ExitCode::done : ExitCode::no_usable_solution;
}

/// The GPU's tables in the folder, whichever layout it has.
core::Result<kernels::MeasuredKernels> read_folder(const fs::path& folder, const domain::GpuSpec& gpu) {
  const auto found = data::find_kernel_tables(folder, gpu);
  auto measured = found ? data::read_kernel_tables(found->folder, found->gpu) : data::read_kernel_tables(folder, gpu.name);
  if (measured) measured->gpu = gpu.name;
  return measured;
}

core::Result<void> write_normalised(const KernelOptions& options, const kernels::NormalisedKernels& clean,
                                    const domain::GpuSpec& gpu) {
  auto folder = text::StagedFolder::open(*options.target, text::ExistingFolder::refuse);
  if (!folder) return tl::unexpected(folder.error());
  const auto files = data::kernel_files(clean.kernels, gpu);
  for (const data::KernelFile& file : files) {
    if (auto written = folder->write(file.name, file.text); !written) return written;
  }
  if (auto written = folder->write("manifest.json", data::kernel_manifest(files, clean.kernels, "rooftune kernels normalise"));
      !written)
    return written;
  return folder->commit();
}

std::string normalisation_table(const data::KernelNormalisation& done, report::Colour colour) {
  report::TextTable table({{"file", report::Align::left}, {"rows"}});
  for (const data::KernelFile& file : done.files) table.add({file.name, fmt::format("{}", file.rows)});
  std::string text = table.text(colour);
  for (const kernels::LeftOut& left_out : done.left_out)
    text += fmt::format("left out: {} rows, {}\n", left_out.rows, left_out.reason);
  return text + fmt::format("\nkernel tables {}\n", done.folder);
}

ExitCode normalise(const KernelOptions& options) {
  const fs::path folder = options.paths.front();
  const auto fail = [](const core::Diagnostics& problems) {
    print_errors(problems);
    return ExitCode::bad_input;
  };
  const auto gpus = gpus_of(options);
  if (!gpus) return fail(gpus.error());
  const auto gpu = gpu_of(folder, options, *gpus);
  if (!gpu) return fail(gpu.error());
  const auto measured = read_folder(folder, *gpu);
  if (!measured) return fail(measured.error());
  const kernels::NormalisedKernels clean = kernels::normalise(*measured, *gpu);
  if (const auto written = write_normalised(options, clean, *gpu); !written) return fail(written.error());
  const data::KernelNormalisation done{
      .folder = *options.target, .gpu = gpu->name, .files = data::kernel_files(clean.kernels, *gpu), .left_out = clean.left_out};
  if (!write_csv(options.output, [&] { return data::kernel_normalisation_csv(done); })) return ExitCode::bad_input;
  print_either(
      options.output, [&] { return data::kernel_normalisation_json(done); },
      [&] { return normalisation_table(done, output_colour()); });
  return ExitCode::done;
}

std::string plan_table(const kernels::KernelPlan& plan, report::Colour colour) {
  report::TextTable table({{"table", report::Align::left}, {"shapes"}, {"what varies", report::Align::left}});
  table.add({"gemm", fmt::format("{}", plan.gemms.size()), "tokens m over every fused linear layer (n, k), by format"});
  table.add({"context_attention", fmt::format("{}", plan.context_attention.size()),
             "sequences and tokens, from scratch and over a cached context"});
  table.add({"generation_attention", fmt::format("{}", plan.generation_attention.size()), "sequences and context"});
  table.add({"allreduce", fmt::format("{}", plan.all_reduces.size()), "message size by number of ranks"});
  table.add({"moe", fmt::format("{}", plan.moes.size()), "tokens over every kind of expert layer, sliced and dealt whole"});
  table.add(
      {"linear_attention", fmt::format("{}", plan.linear_attention.size()), "sequences and tokens of convolution and recurrence"});
  table.add({"mla_context", fmt::format("{}", plan.latent_context.size()), "sequences and tokens of latent attention, whole modules"});
  table.add({"mla_generation", fmt::format("{}", plan.latent_generation.size()), "sequences and context of the same"});
  table.add(
      {"sparse_attention", fmt::format("{}", plan.sparse_attention.size()), "sequences and context of attention with an indexer"});
  table.add({"collective", fmt::format("{}", plan.collectives.size()), "all-gather, reduce-scatter and all-to-all by size and ranks"});
  return fmt::format("Kernels worth measuring for {} at TP {}\n{}", fmt::join(plan.models, ", "), fmt::join(plan.tp, ", "),
                     table.text(colour)) +
         "\n--json prints the plan that scripts/collect_kernels.py --plan reads\n";
}

ExitCode plan(const KernelOptions& options) {
  const auto fail = [](const core::Diagnostics& problems) {
    print_errors(problems);
    return ExitCode::bad_input;
  };
  const auto known = data::default_models();
  if (!known) return fail(known.error());
  std::vector<std::string_view> names;
  for (const domain::ModelSpec& model : *known) names.push_back(model.name);
  std::vector<domain::ModelSpec> models;
  core::Diagnostics problems;
  for (const std::string& id : options.models) {
    std::error_code missing;
    const domain::ModelSpec* model = domain::find_model(*known, id);
    if (model != nullptr) {
      models.push_back(*model);
    } else if (fs::exists(id, missing)) {
      if (auto own = data::read_model(id))
        models.push_back(*std::move(own));
      else
        problems.insert(problems.end(), own.error().begin(), own.error().end());
    } else {
      problems.push_back({.position = {},
                          .problem = fmt::format("unknown model '{}'", id),
                          .remedy = core::suggest(id, names) + ", or give its file"});
    }
  }
  if (!problems.empty()) return fail(problems);
  const auto made = latency::plan_measurements(models, options.tp);
  if (!made) return fail(made.error());
  core::Diagnostics left_out;
  for (const std::string& what : made->left_out) {
    left_out.push_back({.position = {},
                        .problem = fmt::format("{} is left out of the plan", what),
                        .remedy = "scripts/collect_kernels.py has no kernel for it; import tables that have (docs/kernel_data.md)",
                        .severity = core::Severity::warning});
  }
  print_errors(left_out);
  if (!write_csv(options.output, [&] { return data::kernel_plan_csv(*made); })) return ExitCode::bad_input;
  print_either(
      options.output, [&] { return data::kernel_plan_json(*made); }, [&] { return plan_table(*made, output_colour()); });
  return ExitCode::done;
}

}  // namespace

void add_kernels_command(const Command& program, ExitCode& exit_code) {
  const Command command =
      program.add_subcommand("kernels", "measured kernel tables: check them, clean them, say what is worth measuring");
  command.footer("Example: rooftune kernels audit bench_data/h100");
  command.require_subcommand(1);
  const auto options = std::make_shared<KernelOptions>();
  constexpr auto kGpuHelp = "GPU that the kernels ran on; default: the folder's name";
  constexpr auto kHardwareHelp = "file of GPUs beside the shipped ones; repeatable";

  const Command audit_command = command.add_subcommand("audit", "say what MFU columns were divided by, and what cannot be right");
  audit_command.footer("Exit code 2 when there are findings. Example: rooftune kernels audit bench_data/h100");
  audit_command.add_option("PATH", options->paths, "tables, or folders of them").required();
  audit_command.add_option("--gpu", options->gpu, kGpuHelp);
  add_repeatable(audit_command, "--hardware", options->hardware, kHardwareHelp);
  add_json_option(audit_command, options->output);
  add_csv_option(audit_command, options->output);
  audit_command.callback([options, &exit_code] { exit_code = audit(*options); });

  const Command normalise_command = command.add_subcommand("normalise", "write a clean folder of tables in our schema");
  normalise_command.footer("Example: rooftune kernels normalise measured/h100 --out clean/h100");
  normalise_command.add_option("PATH", options->paths, "folder of one GPU's tables").required().expected(1);
  normalise_command.add_option("--out", options->target, "folder to write").required();
  normalise_command.add_option("--gpu", options->gpu, kGpuHelp);
  add_repeatable(normalise_command, "--hardware", options->hardware, kHardwareHelp);
  add_json_option(normalise_command, options->output);
  add_csv_option(normalise_command, options->output);
  normalise_command.callback([options, &exit_code] { exit_code = normalise(*options); });

  const Command plan_command = command.add_subcommand("plan", "list the kernel shapes worth measuring for models at TP degrees");
  plan_command.footer("Example: rooftune kernels plan --model Llama-2-7b-hf --tp 1 2 4 --json > plan.json");
  plan_command.add_option("--model", options->models, "models, by name or file").required();
  plan_command.add_option("--tp", options->tp, "tensor-parallel degrees")
      .check(positive(core::limits::kParallelDegree))
      .delimiter(',');
  add_json_option(plan_command, options->output);
  add_csv_option(plan_command, options->output);
  plan_command.callback([options, &exit_code] { exit_code = plan(*options); });
}

}  // namespace rooftune::app
