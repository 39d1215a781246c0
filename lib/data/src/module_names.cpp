#include "module_names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "rooftune/core/printable.hpp"

namespace rooftune::data {
namespace {

using Names = std::vector<std::string_view>;

struct MatrixNames {
  std::string_view matrix;
  Names modules;
};

const std::vector<MatrixNames>& known_names() {
  static const std::vector<MatrixNames> all{
      {"qkv",
       {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.qkv_proj", "mixer.q_proj", "mixer.k_proj",
        "mixer.v_proj", "attn.q_proj", "attn.c_attn", "self_attention.query_key_value"}},
      {"o", {"self_attn.o_proj", "mixer.o_proj", "attn.o_proj", "attn.c_proj", "self_attention.dense"}},
      {"q", {"self_attn.q_proj"}},
      {"q_a", {"self_attn.q_a_proj", "attn.wq_a"}},
      {"q_b", {"self_attn.q_b_proj", "attn.wq_b"}},
      {"kv_a", {"self_attn.kv_a_proj_with_mqa", "attn.wkv"}},
      {"kv_b", {"self_attn.kv_b_proj"}},
      {"o_a", {"attn.wo_a"}},
      {"o_b", {"attn.wo_b"}},
      {"gate", {"self_attn.g_proj"}},
      {"index_q", {"self_attn.indexer.wq_b", "attn.indexer.wq_b", "self_attn.index_q_proj"}},
      {"index_k", {"self_attn.indexer.wk", "attn.indexer.compressor.wkv", "self_attn.index_k_proj"}},
      {"compress", {"attn.compressor.wkv"}},
      {"in", {"linear_attn.in_proj_qkvz", "linear_attn.in_proj_qkv", "mixer.in_proj", "mamba.in_proj", "self_attn.q_proj"}},
      {"out", {"linear_attn.out_proj", "mixer.out_proj", "mamba.out_proj", "self_attn.o_proj"}},
      {"beta", {"linear_attn.in_proj_ba", "self_attn.b_proj"}},
      {"decay_a", {"self_attn.f_a_proj"}},
      {"decay_b", {"self_attn.f_b_proj"}},
      {"gate_a", {"self_attn.g_a_proj"}},
      {"gate_b", {"self_attn.g_b_proj"}},
      {"gate_up",
       {"mlp.gate_proj", "mlp.up_proj", "mlp.gate_up_proj", "feed_forward.gate_proj", "feed_forward.up_proj", "ffn.w1", "ffn.w3"}},
      {"up", {"mlp.up_proj", "mixer.up_proj", "mlp.c_fc", "mlp.fc1", "mlp.dense_h_to_4h"}},
      {"down", {"mlp.down_proj", "mixer.down_proj", "feed_forward.down_proj", "ffn.w2", "mlp.c_proj", "mlp.fc2", "mlp.dense_4h_to_h"}},
      {"shared_gate_up",
       {"mlp.shared_experts.gate_proj", "mlp.shared_experts.up_proj", "mlp.shared_expert.gate_proj", "mlp.shared_expert.up_proj",
        "feed_forward.shared_expert.gate_proj", "ffn.shared_experts.w1", "block_sparse_moe.shared_experts.gate_proj"}},
      {"shared_up", {"mixer.shared_experts.up_proj"}},
      {"shared_down",
       {"mlp.shared_experts.down_proj", "mlp.shared_expert.down_proj", "feed_forward.shared_expert.down_proj", "ffn.shared_experts.w2",
        "mixer.shared_experts.down_proj", "block_sparse_moe.shared_experts.down_proj"}},
      {"latent_in", {"mixer.fc1_latent_proj", "mlp.fc1_latent_proj"}},
      {"latent_out", {"mixer.fc2_latent_proj", "mlp.fc2_latent_proj"}},
      {"experts",
       {"mlp.experts.0.gate_proj", "mlp.experts.0.up_proj", "mlp.experts", "block_sparse_moe.experts.0.w1",
        "feed_forward.experts.0.gate_proj", "feed_forward.experts.gate_up_proj", "ffn.experts.0.w1", "ffn.experts",
        "mixer.experts.0.up_proj"}},
  };
  return all;
}

/// Experts that stand beside a dense FFN are not under its name (Gemma 4).
const Names& experts_beside_ffn() {
  static const Names names{"experts.0.gate_proj", "experts.gate_up_proj", "moe.experts.0.gate_proj", "moe.gate_up_proj"};
  return names;
}

constexpr std::array<std::string_view, 7> kPrefixes{
    "language_model.model.", "model.language_model.", "language_model.", "model.backbone.", "backbone.", "transformer.", "model."};

}  // namespace

std::vector<std::string_view> module_names(std::string_view matrix, const domain::Layer& layer) {
  if (matrix == "experts" && layer.ffn.width > 0) return experts_beside_ffn();
  const auto& all = known_names();
  const auto found = std::ranges::find(all, matrix, &MatrixNames::matrix);
  return found != all.end() ? found->modules : Names{};
}

namespace {

/// Shell wildcards as a regular expression: '*' any characters, '?' one, '[...]' one of a set, '[!...]' none of it.
std::string expression_of(std::string_view wildcards) {
  std::string expression;
  for (std::size_t at = 0; at < wildcards.size(); ++at) {
    const char c = wildcards[at];
    const std::size_t closing = c == '[' ? wildcards.find(']', at + 2) : std::string_view::npos;
    if (c == '*') {
      expression += ".*";
    } else if (c == '?') {
      expression += '.';
    } else if (closing != std::string_view::npos) {
      std::string set(wildcards.substr(at + 1, closing - at - 1));
      if (set.front() == '!') set.front() = '^';
      expression += "[" + set + "]";
      at = closing;
    } else {
      if (std::string_view(".+^$()[]{}|\\").find(c) != std::string_view::npos) expression += '\\';
      expression += c;
    }
  }
  return expression;
}

}  // namespace

ModuleList::ModuleList(const std::vector<std::string>& entries, text::Place place, text::Problems& problems) {
  for (const std::string& entry : entries) {
    const bool is_pattern = entry.starts_with("re:");
    const std::string body = is_pattern ? entry.substr(3) : entry;
    for (const std::string_view prefix : kPrefixes) {
      if (body.find(std::string(prefix) + "layers") == std::string::npos && body.find(std::string(prefix) + "h.") == std::string::npos)
        continue;
      prefixes_.insert(std::string(prefix));
      break;  // the longest that fits
    }
    if (body.starts_with("layers.")) prefixes_.insert("");
    if (is_pattern) {
      if (auto pattern = text::Pattern::compile(body)) {
        patterns_.push_back(*std::move(pattern));
      } else {
        problems.error(place, pattern.error(), "correct it");
      }
    } else if (entry.find_first_of("*?[") != std::string::npos) {
      // As the shell matches, the name or one of its parents; fnmatch would try every way to share a name between stars.
      if (auto pattern = text::Pattern::compile(expression_of(entry) + "(\\..*)?$")) {
        wildcards_.push_back(*std::move(pattern));
      } else {
        problems.error(place, fmt::format("'{}' is no name with wildcards", core::shown(entry)), "correct it");
      }
    } else if (entry.find('.') == std::string::npos) {
      components_.insert(entry);
    } else {
      names_.insert(entry);
    }
  }
}

ModuleList ModuleList::containing(const std::vector<std::string>& parts) {
  ModuleList list;
  list.parts_ = parts;
  std::erase(list.parts_, std::string());
  return list;
}

bool ModuleList::covers(int layer, std::string_view module) const {
  return std::ranges::any_of(prefixes_, [&](const std::string& prefix) {
    return covers_full(fmt::format("{}{}.{}.{}", prefix, prefix == "transformer." ? "h" : "layers", layer, module));
  });
}

bool ModuleList::covers_full(const std::string& name) const {
  // The name itself and its parents; each of its components.
  std::size_t start = 0;
  for (std::size_t end = 0; end != std::string::npos; start = end + 1) {
    end = name.find('.', start);
    if (names_.contains(std::string_view(name).substr(0, end))) return true;
    if (components_.contains(std::string_view(name).substr(start, end == std::string::npos ? end : end - start))) return true;
  }
  if (std::ranges::any_of(parts_, [&](const std::string& part) { return name.find(part) != std::string::npos; })) return true;
  const auto matches = [&](const text::Pattern& pattern) { return pattern.matches_start(name); };
  return std::ranges::any_of(wildcards_, matches) || std::ranges::any_of(patterns_, matches);
}

}  // namespace rooftune::data
