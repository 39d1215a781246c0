#pragma once

#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/data/ground_truth_writer.hpp"
#include "rooftune/text/atomic_file.hpp"

namespace rooftune::importers {

/// Whose measurements are imported.
enum class ImportFormat {
  guidellm,        ///< GuideLLM's benchmark JSON: every file is one run, its constant and Poisson rates are the stages
  inference_perf,  ///< a report folder of inference-perf: summary, stages, config and, if it is there, every request
  vllm_bench,      ///< what `vllm bench serve --save-result` writes; with --append-result one run a line
  vllm_console,    ///< what `vllm bench serve` prints
  sglang,          ///< what SGLang's bench_serving writes, one run a line
  aiperf,          ///< exports of AIPerf and GenAI-Perf: a summary and, if it is there, every request
  llmd,            ///< llm-d's benchmark reports (YAML): each is one stage of a run
  inferencex,      ///< InferenceX's compact results: closed loops
  otel,            ///< OpenTelemetry spans of a vLLM server in OTLP's JSON, Tempo's or Jaeger's; all files are one run
  blis,            ///< combined ground truth of the Go simulator family: rates with their mean and p90 latencies
  blis_trace,      ///< TraceV2 of the Go simulator family: a header and a table of requests
};
inline constexpr std::array<core::Word<ImportFormat>, 11> kImportFormats{{{"guidellm", ImportFormat::guidellm},
                                                                          {"inference-perf", ImportFormat::inference_perf},
                                                                          {"vllm-bench", ImportFormat::vllm_bench},
                                                                          {"vllm-console", ImportFormat::vllm_console},
                                                                          {"sglang", ImportFormat::sglang},
                                                                          {"aiperf", ImportFormat::aiperf},
                                                                          {"llm-d", ImportFormat::llmd},
                                                                          {"inferencex", ImportFormat::inferencex},
                                                                          {"otel", ImportFormat::otel},
                                                                          {"blis", ImportFormat::blis},
                                                                          {"blis-trace", ImportFormat::blis_trace}}};

/// What the user says beside the files. It counts more than what they say.
struct ImportOptions {
  std::optional<std::string> id;  ///< of the only experiment; default: after the file or folder
  std::optional<std::string> model;
  std::optional<std::string> gpu;
  std::optional<int> tp;
  std::optional<int> replicas;
  std::optional<std::string> precision;
  std::optional<std::string> workload;  ///< its name
  std::optional<domain::Role> role;
  std::optional<domain::MeasuredAt> measured_at;  ///< where the clock ran
  std::map<std::string, std::string> settings;    ///< engine settings under vLLM's names, as texts
  std::optional<std::filesystem::path> vllm_log;  ///< KV blocks, version and settings of the server
  std::optional<int> shared_prefix_tokens;        ///< leading tokens that all prompts share, where the file does not say
  std::optional<double> stage_gap_s;              ///< otel: a new stage begins after this much time without a request
};

/// Names of the engine settings that ImportOptions::settings may hold.
[[nodiscard]] std::vector<std::string_view> engine_setting_names();

/// A table of requests of a trace, under the experiment's name.
struct ImportedTable {
  std::string name;  ///< "<experiment>.<digits of its content's hash>.csv"
  std::string csv;
};

/// Measured files as experiments, not yet written.
struct ImportedGroundTruth {
  std::vector<data::WrittenExperiment> experiments;  ///< tables of traces are still bare names
  std::vector<std::string> sources;                  ///< of each, the file that it was read from
  std::vector<ImportedTable> tables;
  std::vector<std::string> assumptions;  ///< what the files do not say and was taken to be so
  core::Diagnostics warnings;            ///< identities that do not hold, saturation, failed requests
};

/// Reads files of one format. All problems at once; what neither the files nor the options say is named with the option for it.
[[nodiscard]] core::Result<ImportedGroundTruth> import_benchmarks(ImportFormat format, std::span<const std::filesystem::path> inputs,
                                                                  const ImportOptions& options);

/// The same for files and folders of any format, which their contents tell; all spans of servers among them are one run. A server's
/// log among them is taken as ImportOptions::vllm_log. What was recognised is said among the assumptions.
[[nodiscard]] core::Result<ImportedGroundTruth> import_recognised(std::span<const std::filesystem::path> inputs,
                                                                  ImportOptions options);

enum class ExistingFile { refuse, replace };

/// Writes `file` and, beside it, the folder `<stem of file>` with the tables. Everything is written to a hidden sibling and read
/// back by read_ground_truth() first; then the tables are put in place and the JSON file last, together with `beside`: all of these
/// files or none. Gives what the reader noticed.
[[nodiscard]] core::Result<core::Diagnostics> write_ground_truth(const ImportedGroundTruth& imported,
                                                                 const std::filesystem::path& file, ExistingFile policy,
                                                                 std::span<const text::NewFile> beside = {});

}  // namespace rooftune::importers
