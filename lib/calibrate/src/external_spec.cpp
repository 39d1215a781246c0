#include "rooftune/calibrate/external_spec.hpp"

#include <functional>
#include <string_view>

namespace rooftune::calibrate {
namespace {

/// Calls `text` for what stands between placeholders and `placeholder` for the name of each.
void scan(std::string_view source, const std::function<void(std::string_view)>& text,
          const std::function<void(std::string_view)>& placeholder) {
  while (true) {
    const std::size_t begin = source.find("${");
    const std::size_t end = begin == std::string_view::npos ? begin : source.find('}', begin);
    text(source.substr(0, end == std::string_view::npos ? end : begin));
    if (end == std::string_view::npos) return;
    placeholder(source.substr(begin + 2, end - begin - 2));
    source.remove_prefix(end + 1);
  }
}

}  // namespace

std::vector<std::string_view> placeholder_names() {
  return {"folder",
          "experiment",
          "stage",
          "seed",
          "model",
          "model_name",
          "hardware",
          "tp",
          "dp",
          "precision",
          "max_model_len",
          "max_num_batched_tokens",
          "max_num_seqs",
          "gpu_mem_util",
          "total_kv_blocks",
          "block_size",
          "prefix_caching",
          "chunked_prefill",
          "workload",
          "rate",
          "duration_s",
          "num_requests",
          "prompt_tokens",
          "system_prompt_tokens",
          "output_tokens",
          "concurrency",
          "parameters_json"};
}

std::vector<std::string> placeholders_in(std::string_view text) {
  std::vector<std::string> names;
  scan(
      text, [](std::string_view) {}, [&](std::string_view name) { names.emplace_back(name); });
  return names;
}

std::string fill_in(std::string_view text, const std::map<std::string, std::string>& values) {
  std::string filled;
  scan(
      text, [&](std::string_view part) { filled += part; }, [&](std::string_view name) { filled += values.at(std::string(name)); });
  return filled;
}

}  // namespace rooftune::calibrate
