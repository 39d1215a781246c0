#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "recorded_run.hpp"
#include "rooftune/text/csv.hpp"
#include "units.hpp"

namespace rooftune::importers {
namespace {

// TraceV2 of the Go simulator family, as `blis observe` writes it: a header (YAML: trace_version, time_unit, mode, server, network) and
// a table (CSV) with a row for every request, times in us. Prompts of a prefix_group begin alike; input_tokens leaves that beginning out.

namespace fs = std::filesystem;
using text::Node;

constexpr double kMicrosecondsPerMillisecond = 1e3;

/// Header and table of a trace, by either of them or by their folder.
struct TraceFiles {
  std::optional<fs::path> header;
  std::optional<fs::path> table;
};

bool is_yaml(const fs::path& path) { return path.extension() == ".yaml" || path.extension() == ".yml"; }

TraceFiles files_of(const fs::path& input) {
  std::error_code ignored;
  const bool is_folder = fs::is_directory(input, ignored);
  const fs::path folder = is_folder ? input : input.parent_path();
  TraceFiles files;
  if (!is_folder && is_yaml(input)) files.header = input;
  if (!is_folder && input.extension() == ".csv") files.table = input;
  const auto first_of = [&](std::initializer_list<fs::path> candidates) -> std::optional<fs::path> {
    for (const fs::path& candidate : candidates) {
      if (fs::exists(candidate, ignored)) return candidate;
    }
    return std::nullopt;
  };
  const fs::path stem = folder / input.stem();
  if (!files.table) files.table = first_of({fs::path(stem) += ".csv", folder / "trace_data.csv", folder / "trace.csv"});
  if (!files.header) {
    const fs::path table_stem = files.table ? folder / files.table->stem() : stem;
    files.header = first_of(
        {fs::path(table_stem) += ".yaml", fs::path(table_stem) += ".yml", folder / "trace_header.yaml", folder / "trace.yaml"});
  }
  return files;
}

struct Row {
  int stage = 0;
  std::string status = "ok";
  std::string session;
  std::string group;
  int prefix_tokens = 0;
  int input_tokens = 0;
  int server_input_tokens = 0;
  int output_tokens = 0;
  double send_us = 0.0;
  double first_chunk_us = 0.0;
  double last_chunk_us = 0.0;
};

/// Traces of `rooftune observe` say how the load was made.
void read_load(const Node& root, RecordedRun& run, text::Problems& problems) {
  const Node* process = find_any(root, {"load.process"});
  if (process == nullptr || process->text != "closed_loop") return;
  const auto clients = count_at(root, {"load.concurrency"}, problems);
  if (!clients || *clients < 1) {
    problems.error(process->place, "a closed loop without 'concurrency'", "say how many clients made the load");
    return;
  }
  run.workload.arrival = {.process = domain::ArrivalProcess::closed_loop, .concurrency = *clients};
}

void read_header(const fs::path& file, RecordedRun& run, core::Diagnostics& errors) {
  const auto document = text::read_document(file);
  if (!document) {
    errors.insert(errors.end(), document.error().begin(), document.error().end());
    return;
  }
  text::Problems problems(document->file);
  const Node& root = document->root;
  const Node* version = find_any(root, {"trace_version", "version"});
  if (version == nullptr || version->text != "2") {
    problems.error(version == nullptr ? root.place : version->place, "this is no header of a trace of version 2",
                   "name the header that blis observe wrote (trace_version: 2)");
  }
  if (const Node* mode = find_any(root, {"mode"}); mode != nullptr && mode->text != "real") {
    problems.error(mode->place, fmt::format("the trace's mode is '{}': its times were not measured", mode->text),
                   "import traces that blis observe recorded (mode: real)");
  }
  if (const Node* unit = find_any(root, {"time_unit"}); unit != nullptr && unit->text != "microseconds" && unit->text != "us") {
    problems.error(unit->place, fmt::format("times are in '{}'", unit->text), "they must be in microseconds");
  }
  if (const Node* model = find_any(root, {"server.model", "model"})) {
    run.model = model->text;
    run.places["model"] = model->place;
  }
  run.tp = count_at(root, {"server.tensor_parallel", "server.tp"}, problems);
  read_load(root, run, problems);
  if (const auto rtt = number_at(root, {"network.measured_rtt_ms"}, problems); rtt && *rtt > 0.0) {
    run.assumptions.push_back(
        fmt::format("latencies are the client's: a round trip of {:g} ms (network.measured_rtt_ms) is part of them", *rtt));
  }
  const core::Diagnostics found = problems.take_errors();
  errors.insert(errors.end(), found.begin(), found.end());
}

std::vector<Row> read_rows(const text::CsvTable& table, text::Problems& problems) {
  std::vector<Row> rows(table.rows.size());
  text::CsvColumns columns(table, problems);
  columns.optional("stage", rows, &Row::stage, text::at_least(0));
  columns.optional("status", rows, &Row::status);
  columns.required("input_tokens", rows, &Row::input_tokens, text::at_least(0));
  columns.required("output_tokens", rows, &Row::output_tokens, text::at_least(0));
  columns.required("send_time_us", rows, &Row::send_us);
  columns.required("first_chunk_time_us", rows, &Row::first_chunk_us);
  columns.required("last_chunk_time_us", rows, &Row::last_chunk_us);
  columns.optional("prefix_length", rows, &Row::prefix_tokens, text::at_least(0));
  columns.optional("server_input_tokens", rows, &Row::server_input_tokens, text::at_least(0));
  // Empty cells of a text column are "none", not an error.
  for (std::size_t column = 0; column < table.header.size(); ++column) {
    const std::string& name = table.header[column].text;
    for (std::size_t row = 0; row < rows.size(); ++row) {
      if (name == "prefix_group") rows[row].group = table.rows[row][column].text;
      if (name == "session_id") rows[row].session = table.rows[row][column].text;
    }
  }
  return rows;
}

/// The requests that ended well, in the order they were sent.
void add_requests(const text::CsvTable& table, RecordedRun& run, text::Problems& problems) {
  const std::vector<Row> rows = read_rows(table, problems);
  if (problems.has_errors()) return;
  std::vector<RecordedStage> stages;
  std::vector<int> first_lines;  ///< of each stage in the table; 0: it has none
  std::map<std::string, std::int64_t> groups;
  int failed = 0;
  std::size_t succeeded = 0;
  int unmeasured = 0;
  std::vector<std::vector<RecordedTurn>> turns;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    const int line = static_cast<int>(i) + 2;
    constexpr std::size_t kMostStages = 10'000;
    const auto index = static_cast<std::size_t>(row.stage);
    if (index >= kMostStages) {
      problems.error({line, 1}, fmt::format("stage {}", row.stage), "stages count from 0");
      return;
    }
    if (index >= stages.size()) {
      stages.resize(index + 1);
      turns.resize(index + 1);
      first_lines.resize(index + 1);
    }
    RecordedStage& stage = stages[index];
    if (first_lines[index] == 0) first_lines[index] = line;
    if (!stage.row.latencies.failed) stage.row.latencies.failed = 0;
    if (row.status != "ok") {
      ++*stage.row.latencies.failed;
      ++failed;
      continue;
    }
    if (row.first_chunk_us <= row.send_us || row.last_chunk_us < row.first_chunk_us || row.output_tokens < 1) {
      ++unmeasured;
      continue;
    }
    RecordedRequest request{
        .start_s = row.send_us / kMicrosecondsPerSecond,
        .ttft_ms = (row.first_chunk_us - row.send_us) / kMicrosecondsPerMillisecond,
        .e2e_ms = (row.last_chunk_us - row.send_us) / kMicrosecondsPerMillisecond,
        .input_tokens = std::max(1, row.server_input_tokens > 0 ? row.server_input_tokens : row.input_tokens + row.prefix_tokens),
        .output_tokens = row.output_tokens};
    if (!row.group.empty() && row.prefix_tokens > 0) {
      request.prefix_group = groups.emplace(row.group, static_cast<std::int64_t>(groups.size())).first->second;
      request.shared_prefix_tokens = std::min(row.prefix_tokens, request.input_tokens);
    }
    turns[index].push_back({.conversation = row.session, .request = request});
    ++succeeded;
  }
  if (succeeded == 0) {
    problems.error({1, 1},
                   fmt::format("none of {} can be replayed: {} failed, {} without times or tokens", counted(rows.size(), "row"),
                               failed, unmeasured),
                   "the table must be of a real server (mode: real)");
    return;
  }
  if (unmeasured > 0) {
    run.assumptions.push_back(
        fmt::format("{} without times or tokens left out", counted(static_cast<std::size_t>(unmeasured), "request")));
  }
  run.stages = std::move(stages);
  join_turns(std::move(turns), run);
  for (std::size_t i = 0; i < run.stages.size(); ++i) {
    RecordedStage& stage = run.stages[i];
    if (!stage.requests.empty()) {
      stage.duration_s = sending_s(stage.requests);
    } else if (first_lines[i] > 0) {
      run.warnings.push_back(warning_at(run.file, {first_lines[i], 1},
                                        fmt::format("stage {}: no request can be replayed, {} failed", i, *stage.row.latencies.failed),
                                        "the stage is left out; those that failed count among the failures of all"));
    }
  }
  std::erase_if(run.stages, [](const RecordedStage& stage) { return stage.requests.empty(); });
  run.summary.emplace().latencies.failed = failed;
}

}  // namespace

core::Result<std::vector<RecordedRun>> read_blis_trace(const fs::path& input) {
  const TraceFiles files = files_of(input);
  if (!files.header || !files.table) {
    return core::fail({.file = input.string()},
                      fmt::format("the trace's {} is not here", files.table ? "header (YAML)" : "table (CSV)"),
                      "keep header and table of a trace together: trace_header.yaml and trace_data.csv, or two files of one name");
  }
  RecordedRun run;
  run.file = files.table->string();
  run.id = id_of(input);
  run.workload.name = "blis-observe";
  run.workload.type = "blis_trace";
  run.workload.arrival.process = domain::ArrivalProcess::trace;
  core::Diagnostics errors;
  read_header(*files.header, run, errors);
  if (run.workload.arrival.process == domain::ArrivalProcess::trace) {
    run.assumptions.emplace_back("requests are replayed at the times at which they were sent");
  }
  const auto table = text::read_csv(*files.table);
  if (!table) {
    errors.insert(errors.end(), table.error().begin(), table.error().end());
  } else {
    text::Problems problems(table->file);
    add_requests(*table, run, problems);
    const core::Diagnostics found = problems.take_errors();
    errors.insert(errors.end(), found.begin(), found.end());
  }
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  return std::vector{std::move(run)};
}

}  // namespace rooftune::importers
