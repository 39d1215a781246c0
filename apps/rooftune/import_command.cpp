#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <filesystem>
#include <memory>

#include "command_line.hpp"
#include "commands.hpp"
#include "import_options.hpp"
#include "options.hpp"
#include "rooftune/importers/import_record.hpp"
#include "terminal.hpp"
#include "version_defaults.hpp"

namespace rooftune::app {
namespace {

namespace fs = std::filesystem;

/// A format as the command line describes it.
struct FormatHelp {
  importers::ImportFormat format;
  const char* inputs;  ///< what INPUT is
  const char* summary;
  const char* footer;
};

constexpr std::array<FormatHelp, 11> kFormatHelp{
    {{importers::ImportFormat::guidellm, "reports of GuideLLM (JSON)",
      "GuideLLM's benchmark JSON: constant and Poisson rates become stages",
      "Example: rooftune import guidellm benchmarks.json --gpu H100 --tp 1 --vllm-log vllm.log --out ground_truth/mine.json"},
     {importers::ImportFormat::inference_perf, "report folders of inference-perf", "a report folder of inference-perf",
      "Example: rooftune import inference-perf reports-20260217 --gpu H100 --tp 1 --vllm-log vllm.log --out ground_truth/mine.json"},
     {importers::ImportFormat::vllm_bench, "results of vllm bench serve (JSON)", "what vllm bench serve --save-result writes",
      "Example: rooftune import vllm-bench result.json --gpu H100 --tp 1 --vllm-log vllm.log --out ground_truth/mine.json"},
     {importers::ImportFormat::vllm_console, "texts that vllm bench serve printed", "what vllm bench serve prints",
      "Example: rooftune import vllm-console bench.txt --gpu H100 --tp 1 --vllm-log vllm.log --out ground_truth/mine.json"},
     {importers::ImportFormat::sglang, "results of sglang.bench_serving (JSON lines)", "what SGLang's bench_serving writes",
      "Example: rooftune import sglang result.jsonl --gpu H100 --tp 1 --set version=0.11.0 ... --out ground_truth/mine.json"},
     {importers::ImportFormat::aiperf, "artifact folders or profile_export files (JSON, JSON lines)",
      "exports of AIPerf and GenAI-Perf",
      "Example: rooftune import aiperf artifacts/run1 --gpu H100 --tp 1 --vllm-log vllm.log --out ground_truth/mine.json"},
     {importers::ImportFormat::llmd, "benchmark reports (YAML), each one stage", "llm-d's benchmark reports 0.1 and 0.2",
      "Example: rooftune import llm-d benchmark_report_stage_0.yaml --vllm-log vllm.log --out ground_truth/mine.json"},
     {importers::ImportFormat::inferencex, "compact results (JSON)", "InferenceX's compact results of closed loops",
      "Example: rooftune import inferencex agg_dsr1_1k1k.json --set version=0.11.0 ... --out ground_truth/mine.json"},
     {importers::ImportFormat::otel, "spans in OTLP's JSON, Tempo's or Jaeger's; all files are one run",
      "OpenTelemetry spans as a vLLM server sends them",
      "Example: rooftune import otel spans.jsonl --gpu H100 --tp 1 --vllm-log vllm.log --stage-gap 1 --out ground_truth/mine.json"},
     {importers::ImportFormat::blis, "combined ground truth (JSON)", "combined ground truth of the Go simulator family",
      "Example: rooftune import blis combined_ground_truth.json --gpu H100 --out ground_truth/mine.json"},
     {importers::ImportFormat::blis_trace, "folders or headers of traces", "TraceV2 of the Go simulator family (blis observe)",
      "Example: rooftune import blis-trace trace_header.yaml --gpu H100 --vllm-log vllm.log --out ground_truth/mine.json"}}};

struct ImportCommandOptions {
  std::vector<std::string> inputs;
  std::string out;
  bool force = false;
  std::vector<std::string> set;
  std::optional<std::string> role;
  std::optional<std::string> measured_at;
  OutputOptions output;
  importers::ImportOptions import;
};

core::Diagnostics apply_texts(ImportCommandOptions& options) {
  core::Diagnostics problems = apply_settings(options.set, options.import.settings);
  if (options.role) {
    std::vector<std::string_view> names;
    for (const domain::Role role : {domain::Role::calibration, domain::Role::new_gpu, domain::Role::overload}) {
      names.push_back(domain::role_name(role));
      if (names.back() == *options.role) options.import.role = role;
    }
    if (!options.import.role) {
      problems.push_back(
          {.position = {}, .problem = fmt::format("unknown role '{}'", *options.role), .remedy = core::suggest(*options.role, names)});
    }
  }
  if (options.measured_at) {
    if (*options.measured_at == "client") options.import.measured_at = domain::MeasuredAt::client;
    if (*options.measured_at == "server") options.import.measured_at = domain::MeasuredAt::server;
    if (!options.import.measured_at) {
      problems.push_back({.position = {},
                          .problem = fmt::format("latencies cannot be measured at '{}'", *options.measured_at),
                          .remedy = "give client or server"});
    }
  }
  return problems;
}

void print_summary(const importers::ImportedGroundTruth& imported, const std::string& file) {
  for (const data::WrittenExperiment& written : imported.experiments) {
    const domain::Experiment& experiment = written.experiment;
    const domain::Latencies& summary = experiment.measured.summary;
    const auto shown = [&](domain::Metric metric) {
      return summary[metric] ? fmt::format("{:.2f}", *summary[metric]) : std::string("-");
    };
    print(fmt::format("{}: {} on {}, TP {}, {} stage{}, TTFT {} ms, E2E {} ms, TPOT {} ms\n", experiment.id,
                      experiment.deployment.model, experiment.deployment.hardware, experiment.deployment.tp,
                      experiment.workload.stages.size(), experiment.workload.stages.size() == 1 ? "" : "s",
                      shown(domain::Metric::ttft_mean), shown(domain::Metric::e2e_mean), shown(domain::Metric::tpot_mean)));
  }
  if (!imported.assumptions.empty()) print("\nAssumed\n");
  for (const std::string& assumption : imported.assumptions) print(fmt::format("- {}\n", assumption));
  print(fmt::format("\nwritten       {}{}\n", file, imported.tables.empty() ? "" : ", with a table of requests beside it"));
}

/// Without a format the contents of the inputs tell it.
ExitCode run(std::optional<importers::ImportFormat> format, ImportCommandOptions& options) {
  if (const core::Diagnostics problems = apply_texts(options); !problems.empty()) {
    print_errors(problems);
    return ExitCode::bad_input;
  }
  const std::vector<fs::path> inputs(options.inputs.begin(), options.inputs.end());
  auto imported =
      format ? importers::import_benchmarks(*format, inputs, options.import) : importers::import_recognised(inputs, options.import);
  if (!imported) return refuse(imported.error());
  tell_version_defaults(*imported);
  const auto noticed = importers::write_ground_truth(
      *imported, options.out, options.force ? importers::ExistingFile::replace : importers::ExistingFile::refuse);
  print_errors(imported->warnings);
  if (!noticed) return refuse(noticed.error());
  print_errors(*noticed);
  imported->warnings.insert(imported->warnings.end(), noticed->begin(), noticed->end());
  if (!write_csv(options.output, [&] { return importers::import_csv(*imported); })) return ExitCode::bad_input;
  if (options.output.json) {
    print_data(importers::import_json(*imported, options.out));
  } else {
    print_summary(*imported, options.out);
  }
  return ExitCode::done;
}

/// The options that every format has, and what happens when the command line is read.
void add_import(const Command& format, const char* inputs, std::optional<importers::ImportFormat> chosen, ExitCode& exit_code) {
  const auto options = std::make_shared<ImportCommandOptions>();
  importers::ImportOptions& import = options->import;
  format.add_option("INPUT", options->inputs, inputs).required();
  format.add_option("--out", options->out, "ground truth to write (JSON)").required();
  format.add_flag("--force", options->force, "replace the file if it exists");
  add_said_options(format, import, options->set);
  format.add_option("--replicas", import.replicas, "engines behind a router; default: 1")
      .check(positive(core::limits::kParallelDegree))
      .group(kSaidOptions);
  format.add_option("--precision", import.precision, "e.g. FP8; for people, element widths come from the model").group(kSaidOptions);
  format.add_option("--shared-prefix-tokens", import.shared_prefix_tokens, "leading tokens that all prompts share")
      .check(not_negative(core::limits::kTokens))
      .group(kSaidOptions);
  format.add_option("--vllm-log", import.vllm_log, "log of the server's start: KV blocks, version, settings, model, TP")
      .group(kSaidOptions);
  format.add_option("--id", import.id, "name of the experiment; default: after the file or folder").group(kSaidOptions);
  format.add_option("--role", options->role, "calibration, new_gpu or overload; default: calibration, overload when over 10 % failed")
      .group(kSaidOptions);
  format.add_option("--measured-at", options->measured_at, "client or server: where the clock ran; default: as the format has it")
      .group(kSaidOptions);
  if (!chosen || chosen == importers::ImportFormat::otel) {
    format.add_option("--stage-gap", import.stage_gap_s, "seconds without a request after which a new stage begins")
        .check(positive(core::limits::kSeconds));
  }
  add_json_option(format, options->output);
  add_csv_option(format, options->output);
  format.callback([options, chosen, &exit_code] { exit_code = run(chosen, *options); });
}

void add_format(const Command& command, const FormatHelp& help, ExitCode& exit_code) {
  const Command format = command.add_subcommand(std::string(core::word_of(importers::kImportFormats, help.format)), help.summary);
  format.footer(help.footer);
  add_import(format, help.inputs, help.format, exit_code);
}

void add_auto(const Command& command, ExitCode& exit_code) {
  const Command format = command.add_subcommand("auto", "files and folders of any of these formats, which their contents tell");
  format.footer(
      "Example: rooftune import auto results/*.json server.log --gpu H100 --out ground_truth/mine.json\n"
      "A vLLM server's log among them is read as with --vllm-log.");
  add_import(format, "results, report folders and a server's log, of any format", std::nullopt, exit_code);
}

}  // namespace

void add_import_command(const Command& program, ExitCode& exit_code) {
  const Command command = program.add_subcommand("import", "turn measurements of load generators and servers into ground truth");
  command.require_subcommand(1);
  command.footer(
      "Example: rooftune import vllm-bench result.json --gpu H100 --vllm-log server.log --out ground_truth/mine.json\n"
      "Nothing is written unless it reads back. docs/commands/import.md says what every format must hold.");
  add_auto(command, exit_code);
  for (const FormatHelp& help : kFormatHelp) add_format(command, help, exit_code);
}

}  // namespace rooftune::app
