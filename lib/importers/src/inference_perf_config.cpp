#include "inference_perf_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rooftune::importers {
namespace {

using domain::ArrivalProcess;

/// What config.yaml says about the load.
class ConfigReader {
 public:
  ConfigReader(const text::Document& config, RecordedRun& run, text::Problems& problems)
      : root_(config.root), file_(config.file), run_(run), problems_(problems) {}

  InferencePerfConfig read() {
    if (const text::Node* model = find_any(root_, {"server.model_name"})) {
      run_.model = text_at(root_, {"server.model_name"}, problems_);
      run_.places["model"] = model->place;
    }
    read_load();
    read_data();
    if (const text::Node* adapters = find_any(root_, {"load.lora_traffic_split"}); adapters != nullptr && !adapters->items.empty()) {
      warn(*adapters, fmt::format("requests went to {} LoRA adapters", adapters->items.size()),
           "not simulated: the base model alone is simulated");
    }
    return std::move(result_);
  }

 private:
  void read_load() {
    const std::string type = text_at(root_, {"load.type"}, problems_).value_or("constant");
    if (type == "constant") {
      // inference-perf draws exponential gaps and rescales them so that exactly rate x duration requests fill the stage.
      run_.workload.arrival.process = ArrivalProcess::conditioned_poisson;
      run_.assumptions.emplace_back("load type constant: exponential gaps rescaled to fill the stage, as inference-perf draws them");
    } else if (type == "poisson") {
      run_.workload.arrival.process = ArrivalProcess::poisson;
    } else if (type == "concurrent") {
      run_.workload.arrival.process = ArrivalProcess::closed_loop;
    } else if (type == "trace_replay") {
      result_.replays_a_trace = true;
    } else {
      problems_.error(find_any(root_, {"load.type"})->place, fmt::format("load type '{}' cannot be replayed", type),
                      "constant, poisson, concurrent and trace_replay can");
    }
    const text::Node* stages = find_any(root_, {"load.stages"});
    if (stages == nullptr || !text::is_list(*stages, "'stages'", problems_)) return;
    for (const text::Node& node : stages->items) {
      RecordedStage& stage = result_.stages.emplace_back();
      stage.rate_per_s = number_at(node, {"rate"}, problems_, text::above(0));
      stage.duration_s = number_at(node, {"duration"}, problems_, text::above(0));
      stage.most_in_flight = most_in_flight();
      if (type != "concurrent") continue;
      result_.clients.push_back(count_at(node, {"concurrency_level"}, problems_).value_or(0));
      if (result_.clients.back() == 0)
        problems_.error(node.place, "a stage of load type concurrent lacks 'concurrency_level'", "add it");
    }
  }

  /// Rate-based loads keep at most so many requests under way.
  [[nodiscard]] std::optional<int> most_in_flight() {
    const auto workers = count_at(root_, {"load.num_workers"}, problems_);
    const auto each = count_at(root_, {"load.worker_max_concurrency"}, problems_);
    if (!workers || !each || *workers == 0 || *each == 0) return std::nullopt;
    return *workers * *each;
  }

  void warn(const text::Node& node, std::string problem, std::string remedy) {
    run_.warnings.push_back(warning_at(file_, node.place, std::move(problem), std::move(remedy)));
  }

  void read_random_data() {
    if (run_.workload.type != "random") return;
    const text::Node* ignore_eos = find_any(root_, {"server.ignore_eos"});
    if (ignore_eos != nullptr && ignore_eos->text == "false") return;
    const auto at = [&](std::string_view key) {
      return number_at(root_, {fmt::format("data.output_distribution.{}", key)}, problems_);
    };
    const auto longest = at("max");
    if (!longest) return;
    result_.drawn_outputs = domain::LengthDistribution{
        .mean_tokens = at("mean").value_or(0.0), .min_tokens = at("min").value_or(1.0), .max_tokens = *longest};
  }

  /// {min, max, mean, std_dev}; empty where the config has none.
  std::optional<domain::LengthDistribution> lengths_at(const std::string& path) {
    const auto at = [&](std::string_view key) { return number_at(root_, {fmt::format("{}.{}", path, key)}, problems_); };
    const auto mean = at("mean");
    if (!mean) return std::nullopt;
    domain::LengthDistribution lengths{.mean_tokens = *mean, .standard_deviation_tokens = at("std_dev").value_or(0.0)};
    lengths.min_tokens = std::max(1.0, at("min").value_or(1.0));
    lengths.max_tokens = at("max").value_or(lengths.max_tokens);
    return lengths;
  }

  void read_data() {
    domain::Workload& workload = run_.workload;
    workload.type = text_at(root_, {"data.type"}, problems_).value_or("");
    workload.name = workload.type;
    read_random_data();
    const auto drawn_output = lengths_at("data.shared_prefix.output_distribution");
    const auto drawn_question = lengths_at("data.shared_prefix.question_distribution");
    const auto output = count_at(root_, {"data.shared_prefix.output_len"}, problems_);
    const auto groups = count_at(root_, {"data.shared_prefix.num_groups", "data.shared_prefix.num_unique_system_prompts"}, problems_);
    const auto prompts =
        count_at(root_, {"data.shared_prefix.num_prompts_per_group", "data.shared_prefix.num_users_per_system_prompt"}, problems_);
    if (workload.type != "shared_prefix" || (!output && !drawn_output) || !groups || !prompts) return;
    workload.system_prompt_tokens = count_at(root_, {"data.shared_prefix.system_prompt_len"}, problems_).value_or(0);
    const double question =
        drawn_question ? drawn_question->mean_tokens : count_at(root_, {"data.shared_prefix.question_len"}, problems_).value_or(0);
    if (const text::Node* turns = find_any(root_, {"data.shared_prefix.enable_multi_turn_chat"});
        turns != nullptr && turns->text == "true") {
      problems_.error(turns->place, "multi-turn chats cannot be imported: the report does not say how long their prompts grew",
                      "describe the workload by hand (docs/file_formats.md, ground truth)");
    }
    workload.pattern = domain::PromptPattern::cycled;
    workload.prompt_groups = *groups;
    workload.distinct_prompts = *groups * *prompts;
    workload.prompt.mean_tokens = workload.system_prompt_tokens + question;
    if (drawn_question) {
      run_.assumptions.emplace_back("questions are spread evenly around their mean length, each fixed (question_distribution)");
      workload.prompt_spread_fraction =
          rounded((drawn_question->max_tokens - drawn_question->min_tokens) / std::max(1.0, workload.prompt.mean_tokens));
    }
    run_.assumptions.push_back(fmt::format("prompts are {} fixed ones in turn, starting anew in every stage (data.shared_prefix)",
                                           workload.distinct_prompts));
    if (drawn_output) {
      workload.output = *drawn_output;
      return;
    }
    workload.output.mean_tokens = *output;
    result_.has_fixed_output = true;
    const text::Node* ignore_eos = find_any(root_, {"server.ignore_eos"});
    if (ignore_eos == nullptr || ignore_eos->text != "true") {
      run_.assumptions.push_back(fmt::format("every output has the configured {} tokens (server.ignore_eos is not set)", *output));
    }
  }

  const text::Node& root_;
  std::string file_;
  RecordedRun& run_;
  text::Problems& problems_;
  InferencePerfConfig result_;
};

}  // namespace

InferencePerfConfig read_inference_perf_config(const text::Document& config, RecordedRun& run, text::Problems& problems) {
  return ConfigReader(config, run, problems).read();
}

}  // namespace rooftune::importers
