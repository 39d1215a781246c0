#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rooftune/core/printable.hpp"
#include "rooftune/domain/experiment.hpp"
#include "rooftune/importers/import.hpp"
#include "rooftune/text/document.hpp"
#include "rooftune/text/object_reader.hpp"
#include "vllm_log.hpp"

namespace rooftune::importers {

/// One request that succeeded, as a benchmark or a server recorded it.
struct RecordedRequest {
  double start_s = 0.0;  ///< on any clock that all requests of the run share
  double ttft_ms = 0.0;
  double e2e_ms = 0.0;
  int input_tokens = 0;
  int output_tokens = 0;
  std::int64_t prefix_group = -1;  ///< requests of one group share their first shared_prefix_tokens; -1: as all of the run do
  int shared_prefix_tokens = 0;
  std::int64_t conversation = -1;  ///< whose turns follow each other in the order of their starts; -1: none
};

/// Latencies that a benchmark reported for one load level, or for all of them.
struct RecordedRow {
  domain::Latencies latencies;
  std::optional<double> output_tokens;  ///< mean, generated
};

/// One load level of a benchmark.
struct RecordedStage {
  RecordedRow row;
  std::optional<double> rate_per_s;  ///< requested
  std::optional<double> duration_s;  ///< of sending
  std::optional<double> achieved_per_s;
  std::optional<int> num_requests;     ///< sent
  std::optional<double> sent_per_s;    ///< how fast the load generator sent, where it says so
  std::optional<double> send_delay_s;  ///< mean time by which it sent later than planned
  int concurrency = 0;                 ///< clients, of a closed loop; 0: those of the run
  std::optional<int> most_in_flight;   ///< requests that the load generator keeps under way at most
  std::vector<RecordedRequest> requests;
};

/// What the files of one benchmark run say, in whatever format. Unset: they do not.
struct RecordedRun {
  std::string file;  ///< for messages
  std::string id;
  std::string sweep;  ///< runs that differ in their number of clients alone
  std::optional<std::string> model;
  std::optional<std::string> gpu;
  std::optional<std::string> precision;
  std::optional<std::string> engine;  ///< of the server, where it is not vLLM
  std::optional<int> tp;
  std::optional<int> pp;
  std::optional<int> replicas;
  std::map<std::string, std::string> settings;  ///< under vLLM's names
  std::map<std::string, text::Place> places;    ///< where the file says so: "model", "tp", settings
  domain::MeasuredAt measured_at = domain::MeasuredAt::client;
  /// Arrivals, lengths and how prompts relate; its stages are made from those below. Of process trace: lengths come from the
  /// requests, whose starts are replayed.
  domain::Workload workload;
  std::optional<RecordedRow> summary;  ///< of all stages pooled; made from the requests where there are some
  std::vector<RecordedStage> stages;
  std::vector<RecordedRequest> outside;  ///< requests of load levels that are left out; kept in the table as stage -1
  std::vector<std::string> assumptions;
  core::Diagnostics warnings;  ///< placed in the user's files
};

/// The run without the stages whose load the client limited, and a closed loop for each of those that a limit of requests in flight
/// explains: a generator that sends late makes the load of its workers, not the one that was asked for.
[[nodiscard]] std::vector<RecordedRun> part_client_limited(RecordedRun run);

/// Applies what the log and the options say to the run, derives what its requests tell, checks it, and adds it to `result`.
void assemble(RecordedRun run, const VllmLog& log, const ImportOptions& options, ImportedGroundTruth& result,
              core::Diagnostics& errors);

/// Reports a request that cannot be: a TTFT longer than the E2E, no tokens.
bool check_request(const RecordedRequest& request, text::Place place, text::Problems& problems);

// One reader a format.
[[nodiscard]] core::Result<std::vector<RecordedRun>> read_guidellm(const std::filesystem::path& file);
[[nodiscard]] core::Result<std::vector<RecordedRun>> read_inference_perf(const std::filesystem::path& folder);
[[nodiscard]] core::Result<std::vector<RecordedRun>> read_vllm_bench(const std::filesystem::path& file);
/// All files are one run. A stage ends where no request is under way for `stage_gap_s`; without it there is one.
[[nodiscard]] core::Result<std::vector<RecordedRun>> read_otel(std::span<const std::filesystem::path> files,
                                                               std::optional<double> stage_gap_s);
[[nodiscard]] core::Result<std::vector<RecordedRun>> read_blis(const std::filesystem::path& file);
[[nodiscard]] core::Result<std::vector<RecordedRun>> read_blis_trace(const std::filesystem::path& input);
[[nodiscard]] core::Result<std::vector<RecordedRun>> read_vllm_console(const std::filesystem::path& file);
[[nodiscard]] core::Result<std::vector<RecordedRun>> read_aiperf(const std::filesystem::path& input);
[[nodiscard]] core::Result<std::vector<RecordedRun>> read_llmd_report(const std::filesystem::path& file);
[[nodiscard]] core::Result<std::vector<RecordedRun>> read_inferencex(const std::filesystem::path& file);

/// The text without the byte order mark that some programs begin files with.
[[nodiscard]] std::string_view without_mark(std::string_view text);

/// A file of JSON as Python writes it, whatever its suffix.
[[nodiscard]] core::Result<text::Document> read_json(const std::filesystem::path& file);

/// A JSON file that holds one document, or one on every line.
[[nodiscard]] core::Result<std::vector<text::Document>> read_json_lines(const std::filesystem::path& file);

/// The value at the first of these paths that is there and not null, or null. A path is keys joined by dots: benchmarks rename
/// and move their fields from version to version.
[[nodiscard]] const text::Node* find_any(const text::Node& node, std::initializer_list<std::string_view> paths);
/// The same as a number, a whole number or a text. A value of another type is reported; NaN is no value.
[[nodiscard]] std::optional<double> number_at(const text::Node& node, std::initializer_list<std::string_view> paths,
                                              text::Problems& problems, text::Range range = text::any_number());
[[nodiscard]] std::optional<int> count_at(const text::Node& node, std::initializer_list<std::string_view> paths,
                                          text::Problems& problems);
[[nodiscard]] std::optional<std::string> text_at(const text::Node& node, std::initializer_list<std::string_view> paths,
                                                 text::Problems& problems);

/// True for Infinity in any spelling: Python's, YAML's, a text.
[[nodiscard]] bool is_infinite(const text::Node& node);

/// A warning about a file, to be told once it is known which experiment it belongs to.
[[nodiscard]] core::Diagnostic warning_at(const std::string& file, text::Place place, std::string problem, std::string remedy);

using core::counted;

/// Normal distribution with the mean, deviation and bounds of these lengths.
[[nodiscard]] domain::LengthDistribution length_distribution(std::span<const int> tokens);

/// A request of a conversation, as tools name it.
struct RecordedTurn {
  std::string conversation;
  RecordedRequest request;
};
/// Fills the run's stages with these requests, of each stage in the order of their starts. Those that were sent as turns become
/// conversations: they are numbered over all stages, and prompts that hold the new turn alone become the whole ones that a server
/// gets. Names of one turn alone in a stage are no conversations.
void join_turns(std::vector<std::vector<RecordedTurn>> turns_of_stages, RecordedRun& run);

/// Six digits after the point: more is noise of clocks, and files stay readable.
[[nodiscard]] double rounded(double value);

/// Prompts that begin alike: `count` beginnings of `tokens` tokens, used by `weight` of all requests.
struct PrefixBucket {
  double weight = 1.0;
  int count = 1;
  int tokens = 0;
};
/// Gives every request of the run the beginning that it shares with others, and says so: buckets by their weights, beginnings of a
/// bucket in turn. For files that do not say which request had which.
void share_prefixes(const std::vector<PrefixBucket>& buckets, RecordedRun& run);

/// How long sending these requests lasted: n arrivals lie n - 1 gaps apart. Of a single request, until its reply.
[[nodiscard]] double sending_s(std::span<const RecordedRequest> requests);

/// Mean and percentiles of these requests.
[[nodiscard]] RecordedRow row_of(std::span<const RecordedRequest> requests);

/// The file's name without folder and suffix, or the folder's name, as an id.
[[nodiscard]] std::string id_of(const std::filesystem::path& path);
/// The text with '-' for everything but letters, digits, '-', '_' and '.': ids name tables and stand in --select id=...
[[nodiscard]] std::string plain_id(std::string text);

}  // namespace rooftune::importers
