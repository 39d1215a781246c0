#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "recorded_run.hpp"
#include "rooftune/domain/release.hpp"
#include "units.hpp"

namespace rooftune::importers {
namespace {

// InferenceX's compact result: one flat object for a closed loop (or a list of them): hw, tp, ep, dp_attention, conc, model, framework,
// precision, throughput per GPU, and the statistics of vLLM's benchmark under its names without "_ms", in seconds. Older ones do not
// say the lengths; the file's name does ("_1k1k_").

using domain::ArrivalProcess;
using domain::Metric;
using text::Node;

/// "1k1k" or "1k8k" between other words of a file's name: prompt and output tokens.
std::optional<std::pair<int, int>> lengths_in_name(std::string_view name) {
  for (std::size_t start = 0; start < name.size(); ++start) {
    if (start > 0 && std::isalnum(static_cast<unsigned char>(name[start - 1])) != 0) continue;
    const auto size_at = [&](std::size_t& at) -> int {
      int value = 0;
      const auto [end, failure] = std::from_chars(name.data() + at, name.data() + name.size(), value);
      const auto stop = static_cast<std::size_t>(end - name.data());
      if (failure != std::errc() || stop >= name.size() || name[stop] != 'k' || value < 1 || value > 1000) return 0;
      at = stop + 1;
      return value * 1024;
    };
    std::size_t at = start;
    const int prompt = size_at(at);
    const int output = prompt > 0 ? size_at(at) : 0;
    if (output > 0 && (at == name.size() || std::isalnum(static_cast<unsigned char>(name[at])) == 0)) return std::pair{prompt, output};
  }
  return std::nullopt;
}

class PointReader {
 public:
  PointReader(const Node& node, RecordedRun& run, text::Problems& problems) : node_(node), run_(run), problems_(problems) {}

  void read(std::string_view file_name) {
    run_.workload.name = "inferencex";
    run_.workload.type = "inferencex";
    if (const Node* model = find_any(node_, {"model"})) {
      run_.model = model->text;
      run_.places["model"] = model->place;
    }
    if (const Node* gpu = find_any(node_, {"hw"})) run_.gpu = gpu->text.substr(0, gpu->text.find('-'));
    if (const Node* framework = find_any(node_, {"framework"});
        framework != nullptr && domain::engine_name(framework->text) != "vllm") {
      run_.engine = framework->text;
    }
    run_.precision = text_at(node_, {"precision"}, problems_);
    run_.tp = count_at(node_, {"tp"}, problems_);
    warn_about_what_is_not_simulated();
    read_lengths(file_name);
    read_row();
  }

 private:
  void warn_about_what_is_not_simulated() {
    const auto says = [&](std::string_view key, std::string_view off) {
      const Node* value = find_any(node_, {key});
      return value != nullptr && !value->text.empty() && value->text != off && value->text != "false" && value->text != "none"
                 ? value
                 : nullptr;
    };
    for (const auto& [key, off, what] :
         {std::tuple{"mtp", "off", "speculative decoding (mtp)"}, std::tuple{"spec_decoding", "off", "speculative decoding"},
          std::tuple{"dp_attention", "False", "data-parallel attention"},
          std::tuple{"disagg", "False", "prefill and decode on GPUs apart"}}) {
      const Node* value = says(key, off);
      if (value == nullptr) continue;
      const bool drafts = std::string_view(what).starts_with("speculative");
      if (drafts) run_.settings["speculative"] = value->text == "on" || value->text == "true" ? "mtp" : value->text;
      run_.warnings.push_back(warning_at(run_.file, value->place, fmt::format("{}: {} is '{}'", what, key, value->text),
                                         drafts ? "not simulated: commands refuse the experiment" : "not simulated"));
    }
    if (const auto ranks = count_at(node_, {"ep"}, problems_); ranks && *ranks > 1) run_.settings["enable_expert_parallel"] = "true";
    // "vllm/vllm-openai:v0.11.0"
    if (const Node* image = find_any(node_, {"image"}); image != nullptr && image->text.find("vllm") != std::string::npos) {
      const std::size_t colon = image->text.rfind(":v");
      if (colon != std::string::npos)
        run_.settings["version"] = image->text.substr(colon + 2, image->text.find('-', colon) - colon - 2);
    }
  }

  void read_lengths(std::string_view file_name) {
    auto prompt = count_at(node_, {"isl", "input_len"}, problems_);
    auto output = count_at(node_, {"osl", "output_len"}, problems_);
    if (const auto named = lengths_in_name(file_name); named && (!prompt || !output)) {
      prompt = named->first;
      output = named->second;
      run_.assumptions.push_back(fmt::format("prompts of {} and outputs of {} tokens, by the file's name", *prompt, *output));
    }
    if (!prompt || !output || *prompt < 1 || *output < 1) {
      problems_.error(node_.place, "nothing says how long prompts and outputs are",
                      "add 'isl' and 'osl', or keep the file's name with its '1k1k'");
      return;
    }
    // --random-range-ratio 0.8 and numpy's seed 0: the very lengths of the benchmark.
    run_.workload.prompt = spread(*prompt);
    run_.workload.output = spread(*output);
    run_.workload.numpy_seed = 0;
    run_.assumptions.emplace_back(
        "lengths are uniform from 0.8 of the nominal ones to them, drawn as the benchmark draws them (seed 0)");
  }

  static domain::LengthDistribution spread(int nominal) {
    constexpr double kShortest = 0.8;
    const double shortest = std::max(1.0, std::floor(kShortest * nominal));
    return {.mean_tokens = 0.5 * (shortest + nominal),
            .min_tokens = shortest,
            .max_tokens = static_cast<double>(nominal),
            .shape = domain::LengthShape::uniform};
  }

  void read_row() {
    const auto clients = count_at(node_, {"conc", "max_concurrency"}, problems_);
    if (!clients || *clients < 1) {
      problems_.error(node_.place, "the result lacks 'conc'", "it must say how many clients made the load");
      return;
    }
    RecordedStage stage;
    domain::Latencies& row = stage.row.latencies;
    const auto set = [&](Metric metric, std::string_view key) {
      if (const auto seconds = number_at(node_, {key}, problems_); seconds && *seconds > 0.0)
        row[metric] = *seconds * kMillisecondsPerSecond;
    };
    set(Metric::ttft_mean, "mean_ttft");
    set(Metric::ttft_p90, "p90_ttft");
    set(Metric::ttft_p99, "p99_ttft");
    set(Metric::e2e_mean, "mean_e2el");
    set(Metric::e2e_p90, "p90_e2el");
    set(Metric::e2e_p99, "p99_e2el");
    const double output = run_.workload.output.mean_tokens;
    if (const auto tpot = number_at(node_, {"mean_tpot"}, problems_); tpot && row[Metric::ttft_mean] && !row[Metric::e2e_mean]) {
      row[Metric::e2e_mean] = *row[Metric::ttft_mean] + *tpot * kMillisecondsPerSecond * (output - 1.0);
    }
    derive_from_throughput(row, *clients, output);
    if (!row[Metric::ttft_mean] && !row[Metric::e2e_mean]) {
      problems_.error(node_.place, "the result has no means and no 'output_tput_per_gpu' to derive one from",
                      "medians cannot stand in for means: import the benchmark's own result (vllm-bench)");
    }
    stage.row.output_tokens = output;
    // InferenceX sends ten requests for each client.
    constexpr int kRequestsPerClient = 10;
    stage.num_requests = count_at(node_, {"num_prompts", "completed"}, problems_).value_or(kRequestsPerClient * *clients);
    run_.assumptions.push_back(fmt::format("a closed loop of {} clients and {} requests", *clients, *stage.num_requests));
    run_.workload.arrival = {.process = ArrivalProcess::closed_loop, .concurrency = *clients};
    read_warm_up(*clients);
    run_.stages.push_back(std::move(stage));
  }

  /// Two copies of the first prompt for each client, since this day.
  void read_warm_up(int clients) {
    constexpr std::string_view kWarmUpsSince = "2026-01-21";
    const Node* date = find_any(node_, {"date", "run_date"});
    if (date == nullptr || date->text.size() < kWarmUpsSince.size()) {
      run_.assumptions.emplace_back("no warm-up is simulated: the file does not say its date (runs since 2026-01-21 warmed up)");
      return;
    }
    if (date->text.substr(0, kWarmUpsSince.size()) < kWarmUpsSince) return;
    run_.workload.warm_up = domain::WarmUp{.requests = 2 * clients, .concurrency = clients, .prompt = domain::WarmUp::Prompt::first};
  }

  /// A file of medians: with all clients busy Little's law gives the mean E2E; nothing gives the mean TTFT.
  void derive_from_throughput(domain::Latencies& row, int clients, double output_tokens) {
    if (row[Metric::e2e_mean] || row[Metric::ttft_mean]) return;
    const auto per_gpu = number_at(node_, {"output_tput_per_gpu"}, problems_, text::above(0));
    if (!per_gpu || !run_.tp || output_tokens <= 0.0) return;
    const double requests_per_s = *per_gpu * *run_.tp / output_tokens;
    row[Metric::e2e_mean] = clients / requests_per_s * kMillisecondsPerSecond;
    run_.warnings.push_back(
        warning_at(run_.file, node_.place, "the result has medians and no means",
                   fmt::format("the mean E2E is that of {} busy clients at the reported throughput (Little's law); "
                               "the TTFT is not compared",
                               clients)));
  }

  const Node& node_;
  RecordedRun& run_;
  text::Problems& problems_;
};

}  // namespace

core::Result<std::vector<RecordedRun>> read_inferencex(const std::filesystem::path& file) {
  const auto documents = read_json_lines(file);
  if (!documents) return tl::unexpected(documents.error());
  text::Problems problems(file.string());
  std::vector<const Node*> points;
  for (const text::Document& document : *documents) {
    if (document.root.kind == Node::Kind::list) {
      for (const Node& item : document.root.items) points.push_back(&item);
    } else {
      points.push_back(&document.root);
    }
  }
  std::vector<RecordedRun> runs;
  for (const Node* point : points) {
    RecordedRun& run = runs.emplace_back();
    run.file = file.string();
    run.id = points.size() == 1 ? id_of(file) : fmt::format("{}-{}", id_of(file), runs.size());
    PointReader(*point, run, problems).read(file.stem().string());
  }
  if (runs.empty()) problems.error({1, 1}, "the file holds no result", "name a compact result of InferenceX");
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  return runs;
}

}  // namespace rooftune::importers
