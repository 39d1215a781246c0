#include "engine_settings.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <vector>

#include "rooftune/core/letters.hpp"
#include "rooftune/domain/served_model.hpp"
#include "rooftune/importers/import.hpp"
#include "rooftune/text/words.hpp"

namespace rooftune::importers {
namespace {

using Settings = domain::EngineSettings;

/// One engine setting: its name and how a text becomes its value.
struct SettingEntry {
  std::string_view name;
  void (*assign)(Settings& settings, const text::Node& text, std::string_view name, text::Problems& problems);
};

template <auto member, int lowest>
void assign_whole(Settings& settings, const text::Node& text, std::string_view name, text::Problems& problems) {
  text::convert(text, name, settings.*member, problems, text::at_least(lowest));
}

/// Python writes True, everybody else true.
text::Node lower(text::Node text) {
  text.text = core::lower(text.text);
  return text;
}

template <auto member>
void assign_flag(Settings& settings, const text::Node& text, std::string_view name, text::Problems& problems) {
  text::convert(lower(text), name, settings.*member, problems);
}
/// One that a version decides unless it was recorded.
template <auto member>
void assign_choice(Settings& settings, const text::Node& text, std::string_view name, text::Problems& problems) {
  bool value = false;
  if (text::convert(lower(text), name, value, problems)) settings.*member = value;
}
template <auto member>
void assign_text(Settings& settings, const text::Node& text, std::string_view, text::Problems&) {
  settings.*member = text.text;
}

template <auto member, const auto& known>
void assign_word(Settings& settings, const text::Node& text, std::string_view name, text::Problems& problems) {
  text::convert_word(text, name, settings.*member, known, problems);
}

std::vector<std::string> parts_of(std::string_view text, std::string_view separators) {
  std::vector<std::string> parts;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find_first_of(separators, start), text.size());
    if (end > start) parts.emplace_back(text.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

void assign_capture_sizes(Settings& settings, const text::Node& text, std::string_view name, text::Problems& problems) {
  settings.cudagraph_capture_sizes.clear();
  for (std::string& part : parts_of(text.text, " ,[]")) {
    int size = 0;
    const text::Node one = text::Node::at(text.place, text::Node::Kind::scalar, std::move(part));
    if (!text::convert(one, name, size, problems, text::at_least(1))) return;
    settings.cudagraph_capture_sizes.push_back(size);
  }
  std::ranges::sort(settings.cudagraph_capture_sizes);
}

void assign_backend(Settings& settings, const text::Node& text, std::string_view name, text::Problems& problems) {
  std::vector<std::string_view> known;
  for (const auto& [word, backend] : domain::kAll2AllBackends) known.push_back(word);
  std::string word;
  if (text::convert_word(text, name, word, known, problems)) settings.all2all_backend = domain::find_all2all_backend(word);
}

void assign_speculation(Settings& settings, const text::Node& text, std::string_view name, text::Problems& problems) {
  std::vector<std::string> parts = parts_of(text.text, ":");
  if (parts.empty()) return;
  domain::Speculation& speculation = settings.speculative.emplace();
  speculation.method = parts[0];
  const auto node = [&](std::size_t i) { return text::Node::at(text.place, text::Node::Kind::scalar, std::move(parts[i])); };
  if (parts.size() > 1) text::convert(node(1), name, speculation.num_speculative_tokens, problems, text::at_least(0));
  if (parts.size() <= 2) return;
  if (parts[2].find('/') == std::string::npos) {
    text::convert(node(2), name, speculation.mean_accepted_length.emplace(), problems, text::at_least(1));
    return;
  }
  for (std::string& share : parts_of(parts[2], "/")) {
    const text::Node one = text::Node::at(text.place, text::Node::Kind::scalar, std::move(share));
    if (!text::convert(one, name, speculation.acceptance_per_position.emplace_back(), problems, text::within(0, 1))) return;
  }
}

constexpr std::array<SettingEntry, 24> kSettings{
    {{"max_model_len", assign_whole<&Settings::max_model_len, 1>},
     {"max_num_batched_tokens", assign_whole<&Settings::max_num_batched_tokens, 1>},
     {"max_num_seqs", assign_whole<&Settings::max_num_seqs, 1>},
     {"version", assign_text<&Settings::version>},
     {"total_kv_blocks",
      [](Settings& settings, const text::Node& text, std::string_view name, text::Problems& problems) {
        text::convert(text, name, settings.total_kv_blocks.emplace(), problems, text::at_least(1));
      }},
     {"gpu_mem_util",
      [](Settings& settings, const text::Node& text, std::string_view name, text::Problems& problems) {
        text::convert(text, name, settings.gpu_mem_util, problems, text::above_up_to(0, 1));
      }},
     {"block_size", [](Settings& settings, const text::Node& text, std::string_view name,
                       text::Problems& problems) { text::convert(text, name, settings.block_size, problems, text::power_of_two()); }},
     {"cpu_kv_blocks",
      [](Settings& settings, const text::Node& text, std::string_view name, text::Problems& problems) {
        text::convert(text, name, settings.cpu_kv_blocks, problems, text::at_least(0));
        settings.cpu_offload = settings.cpu_kv_blocks > 0;
      }},
     {"enable_prefix_caching", assign_flag<&Settings::enable_prefix_caching>},
     {"enable_chunked_prefill", assign_flag<&Settings::enable_chunked_prefill>},
     {"long_prefill_token_threshold", assign_whole<&Settings::long_prefill_token_threshold, 0>},
     {"async_scheduling", assign_choice<&Settings::async_scheduling>},
     {"scheduler_reserve_full_isl", assign_choice<&Settings::scheduler_reserve_full_isl>},
     {"watermark",
      [](Settings& settings, const text::Node& text, std::string_view name, text::Problems& problems) {
        text::convert(text, name, settings.watermark.emplace(), problems, text::within(0, 1));
      }},
     {"kv_cache_dtype", assign_word<&Settings::kv_cache_dtype, domain::kKvCacheTypes>},
     {"quantization", assign_text<&Settings::quantization>},
     {"cudagraph_mode", assign_word<&Settings::cudagraph_mode, domain::kCudagraphModes>},
     {"cudagraph_capture_sizes", assign_capture_sizes},
     {"max_cudagraph_capture_size", assign_whole<&Settings::max_cudagraph_capture_size, 1>},
     {"fuse_allreduce_rms", assign_choice<&Settings::fuse_allreduce_rms>},
     {"enable_expert_parallel", assign_flag<&Settings::enable_expert_parallel>},
     {"data_parallel_size", assign_whole<&Settings::data_parallel_size, 1>},
     {"all2all_backend", assign_backend},
     {"speculative", assign_speculation}}};

}  // namespace

std::vector<std::string_view> engine_setting_names() {
  std::vector<std::string_view> names;
  for (const SettingEntry& entry : kSettings) names.push_back(entry.name);
  return names;
}

void assign_setting(Settings& settings, std::string_view name, const std::string& text, text::Problems& problems) {
  const auto entry = std::ranges::find(kSettings, name, &SettingEntry::name);
  if (entry == kSettings.end()) return;
  entry->assign(settings, text::Node::at({}, text::Node::Kind::scalar, text), name, problems);
}

std::string joined_speculation(std::string_view benchmark, std::string_view log) {
  std::vector<std::string> joined = parts_of(benchmark, ":");
  const std::vector<std::string> logged = parts_of(log, ":");
  joined.resize(std::max(joined.size(), logged.size()));
  for (std::size_t i = 0; i < logged.size(); ++i) {
    if (joined[i].empty() || joined[i] == "unknown" || joined[i] == "0") joined[i] = logged[i];
  }
  return fmt::format("{}", fmt::join(joined, ":"));
}

}  // namespace rooftune::importers
