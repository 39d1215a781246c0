// Studies, run folders, stores, and what load generators and servers write.
#include <array>
#include <filesystem>
#include <vector>

#include "rooftune/importers/import.hpp"
#include "rooftune/runs/evaluation_file.hpp"
#include "rooftune/runs/evaluation_store.hpp"
#include "rooftune/runs/improve_journal.hpp"
#include "rooftune/runs/run_folder.hpp"
#include "rooftune/runs/study_file.hpp"
#include "target.hpp"

namespace rooftune::fuzz {
namespace {

namespace fs = std::filesystem;

void study(std::string_view bytes) {
  const auto parsed = runs::parse_study(bytes, "study.yaml");
  check(parsed);
  // What is written for a study is read as the same study.
  if (parsed) {
    const auto again = runs::parse_study(runs::study_text(parsed->spec), "again.yaml");
    require(again.has_value());
  }
}

void manifest(std::string_view bytes) { check(runs::parse_manifest(bytes, "manifest.json")); }
void evaluation(std::string_view bytes) { check(runs::read_evaluation_rows(as_file(bytes, "evaluation.json"))); }

void import(importers::ImportFormat format, const fs::path& file) {
  importers::ImportOptions options;
  options.gpu = "H100-SXM";
  options.model = "Llama-2-7b-hf";
  options.tp = 1;
  options.settings["total_kv_blocks"] = "1000";
  check(importers::import_benchmarks(format, std::vector{file}, options));
}

void guidellm(std::string_view bytes) { import(importers::ImportFormat::guidellm, as_file(bytes, "report.json")); }
void vllm_bench(std::string_view bytes) { import(importers::ImportFormat::vllm_bench, as_file(bytes, "result.json")); }
void blis(std::string_view bytes) { import(importers::ImportFormat::blis, as_file(bytes, "blis.json")); }
void otel(std::string_view bytes) { import(importers::ImportFormat::otel, as_file(bytes, "spans.jsonl")); }

void vllm_console(std::string_view bytes) { import(importers::ImportFormat::vllm_console, as_file(bytes, "console.txt")); }
void sglang(std::string_view bytes) { import(importers::ImportFormat::sglang, as_file(bytes, "bench.jsonl")); }
void aiperf(std::string_view bytes) { import(importers::ImportFormat::aiperf, as_file(bytes, "profile_export_aiperf.json")); }
void llmd(std::string_view bytes) { import(importers::ImportFormat::llmd, as_file(bytes, "report.yaml")); }
void inferencex(std::string_view bytes) { import(importers::ImportFormat::inferencex, as_file(bytes, "compact.json")); }

void blis_trace(std::string_view bytes) {
  as_file("trace_version: 2\ntime_unit: microseconds\nmode: real\nwarm_up_requests: 0\nserver: {type: vllm, model: m}\n",
          "trace_header.yaml");
  import(importers::ImportFormat::blis_trace, as_file(bytes, "trace_data.csv").parent_path());
}

void inference_perf(std::string_view bytes) {
  const fs::path folder = as_file(bytes, "summary_lifecycle_metrics.json").parent_path();
  as_file(bytes, "stage_0_lifecycle_metrics.json");
  as_file("load: {stages: [{rate: 1, duration: 10}]}\n", "config.yaml");
  import(importers::ImportFormat::inference_perf, folder);
}

void vllm_log(std::string_view bytes) {
  importers::ImportOptions options;
  options.vllm_log = as_file(bytes, "vllm.log").string();
  check(importers::import_benchmarks(importers::ImportFormat::vllm_bench, std::vector{as_file("{}", "result.json")}, options));
}

/// SQLite keeps its log beside the file.
fs::path as_database(std::string_view bytes) {
  for (const char* const log : {"store.sqlite-wal", "store.sqlite-shm", "store.sqlite-journal"}) {
    std::error_code ignored;
    fs::remove(as_file("", "folder").parent_path() / log, ignored);
  }
  return as_file(bytes, "store.sqlite");
}

void evaluation_store(std::string_view bytes) {
  const auto store = runs::open_evaluation_store(as_database(bytes));
  check(store);
  if (!store) return;
  const std::vector<double> point{0.5};
  static_cast<void>((*store)->find({.problem = "p", .request = "residuals", .point = point}));
  (*store)->append({.problem = "p", .request = "residuals", .point = point}, {.numbers = {1.0}});
  (*store)->flush();
}

void journal(std::string_view bytes) {
  const fs::path file = as_database(bytes);
  const auto opened = runs::open_journal(file);
  check(opened);
  if (opened) check((*opened)->read());
}

}  // namespace

constexpr std::array<Target, 17> kRunTargets{{{"study", study},
                                              {"manifest", manifest},
                                              {"evaluation", evaluation},
                                              {"guidellm", guidellm},
                                              {"vllm_bench", vllm_bench},
                                              {"blis", blis},
                                              {"blis_trace", blis_trace},
                                              {"otel", otel},
                                              {"inference_perf", inference_perf},
                                              {"vllm_console", vllm_console},
                                              {"sglang", sglang},
                                              {"aiperf", aiperf},
                                              {"llmd", llmd},
                                              {"inferencex", inferencex},
                                              {"vllm_log", vllm_log},
                                              {"evaluation_store", evaluation_store},
                                              {"journal", journal}}};
std::span<const Target> run_targets() { return kRunTargets; }

}  // namespace rooftune::fuzz
