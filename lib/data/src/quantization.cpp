#include "quantization.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "module_names.hpp"
#include "rooftune/core/letters.hpp"
#include "rooftune/core/printable.hpp"

namespace rooftune::data {
namespace {

using domain::Stored;
using domain::WeightFormat;

constexpr double kBitsPerByte = 8.0;
constexpr double kBytesOf16Bits = 2.0;

/// Weights of `bits` in groups of `group_size` that share a scale of `scale_bytes`; 0: one scale for all.
double bytes_per_element(double bits, int group_size, double scale_bytes) {
  return bits / kBitsPerByte + (group_size > 0 ? scale_bytes / group_size : 0.0);
}

Stored fp8_per_tensor() { return {.format = WeightFormat::fp8, .bytes = 1.0}; }

/// One 32-bit scale for a block of 128 x 128 or so.
Stored fp8_in_blocks(double elements) {
  return {.format = WeightFormat::fp8_block, .bytes = elements > 0.0 ? 1.0 + 4.0 / elements : 1.0};
}

/// Blocks of 16 with an FP8 scale.
Stored nvfp4() { return {.format = WeightFormat::nvfp4, .bytes = bytes_per_element(4, 16, 1.0)}; }

/// Blocks of 32 with a scale of 8 bits (OCP Microscaling Formats).
Stored mxfp4() { return {.format = WeightFormat::mxfp4, .bytes = bytes_per_element(4, 32, 1.0)}; }

Stored integer_weights(int bits, int group_size) {
  return {.format = bits <= 4 ? WeightFormat::int4_weight_only : WeightFormat::int8_weight_only,
          .bytes = bytes_per_element(bits, group_size, kBytesOf16Bits)};
}

/// Some modules in one format.
struct Rule {
  ModuleList modules;  ///< empty: all linear layers
  Stored stored{};
};

/// How a checkpoint is quantised: the first rule that names a matrix holds, then the first that holds for all.
struct Scheme {
  std::vector<Rule> rules;
  ModuleList kept;  ///< stay in 16 bits
  bool experts_only = false;
  std::optional<Stored> experts;  ///< in a format of their own
};

/// Weights, activations or a KV cache as compressed-tensors and ModelOpt describe them.
struct Numbers {
  int bits = 0;  ///< 0: not quantised
  std::string type = "int";
  std::string strategy;
  int group_size = 0;
  double block_elements = 0.0;
};

/// Elements of a block, whose sides are "128x128", as older files have it, or [128, 128]; 0 where there are no blocks.
double read_block(text::ObjectReader& reader, text::Problems& problems) {
  const text::Node* block = reader.find("block_structure");
  if (block == nullptr) return 0.0;
  std::vector<std::string> sides;
  if (const std::size_t times = block->text.find('x'); times != std::string::npos) {
    sides = {block->text.substr(0, times), block->text.substr(times + 1)};
  }
  for (const text::Node& side : block->items) sides.push_back(side.text);
  double elements = sides.size() == 2 ? 1.0 : 0.0;
  for (const std::string& side : sides) {
    int length = 0;
    const auto [end, failed] = std::from_chars(side.data(), side.data() + side.size(), length);
    const bool is_length = failed == std::errc{} && end == side.data() + side.size() && length > 0;
    elements *= is_length ? length : 0.0;
  }
  if (elements == 0.0) {
    problems.error(block->place, fmt::format("'block_structure' is {}, which is no two sides of a block", text::describe(*block)),
                   "write them as [128, 128]");
  }
  return elements;
}

Numbers read_numbers(const text::Node* node, std::string_view name, text::Problems& problems) {
  Numbers numbers;
  if (node == nullptr) return numbers;
  text::ObjectReader reader(*node, problems, fmt::format("'{}'", name), text::OtherKeys::tolerate);
  reader.required("num_bits", numbers.bits, text::within(1, 16));
  reader.optional("type", numbers.type);
  reader.optional("strategy", numbers.strategy);
  reader.optional("group_size", numbers.group_size);
  numbers.block_elements = read_block(reader, problems);
  return numbers;
}

Stored stored_as(const Numbers& weights, const Numbers& activations) {
  const bool is_float = weights.type == "float";
  constexpr int kNvfp4Group = 16;
  if (weights.bits >= 16 || weights.bits == 0) return {};
  if (is_float && weights.bits == 4) {
    Stored stored = weights.group_size > kNvfp4Group ? mxfp4() : nvfp4();
    // NVFP4 without quantised activations is a weight-only format; MXFP4 computes as the GPU can.
    if (activations.bits == 0 && stored.format == WeightFormat::nvfp4) stored.format = WeightFormat::int4_weight_only;
    return stored;
  }
  if (is_float && weights.bits == 8 && activations.bits == 8) {
    return weights.strategy == "block" ? fp8_in_blocks(weights.block_elements) : fp8_per_tensor();
  }
  if (!is_float && weights.bits == 8 && activations.bits == 8) return {.format = WeightFormat::int8, .bytes = 1.0};
  return integer_weights(weights.bits, std::max(0, weights.group_size));
}

std::vector<std::string> read_names(text::ObjectReader& reader, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    std::vector<std::string> names;
    if (reader.optional(key, names)) return names;
  }
  return {};
}

/// Every group of a compressed-tensors or ModelOpt config. A group is for all linear layers where its targets are classes.
void read_groups(text::ObjectReader& reader, Scheme& scheme, text::Problems& problems) {
  const text::Node* groups = reader.required_object("config_groups");
  if (groups == nullptr) return;
  for (const text::Member& member : groups->members) {
    text::ObjectReader group(member.value, problems, "a group of quantised layers", text::OtherKeys::tolerate);
    const Numbers weights = read_numbers(group.required_object("weights"), "weights", problems);
    const Numbers activations = read_numbers(group.optional_object("input_activations"), "input_activations", problems);
    std::vector<std::string> targets = read_names(group, {"targets"});
    const auto is_class = [](const std::string& target) {
      return !target.empty() && std::isupper(static_cast<unsigned char>(target[0])) != 0;
    };
    const bool is_for_all = targets.empty() || std::ranges::any_of(targets, is_class);
    if (is_for_all) targets.clear();
    scheme.rules.push_back({.modules = ModuleList(targets, member.place, problems), .stored = stored_as(weights, activations)});
  }
}

/// A name of ModelOpt for a format; nothing for one that is not known.
std::optional<Stored> modelopt_format(std::string_view name, int group_size) {
  if (name == "FP8" || name == "FP8_PER_CHANNEL_PER_TOKEN") return fp8_per_tensor();
  if (name == "FP8_PB_WO" || name == "FP8_PB_REAL") return fp8_in_blocks(128.0 * 128.0);
  if (name == "NVFP4" || name == "NVFP4_AWQ") return nvfp4();
  if (name == "MXFP4" || name == "W4A8_MXFP4_FP8") return mxfp4();
  if (name == "W4A16_AWQ" || name == "W4A8_AWQ") return integer_weights(4, group_size);
  if (name == "W8A16") return integer_weights(8, 0);
  if (name == "W8A8_SQ_PER_CHANNEL" || name == "INT8_SQ") return Stored{.format = WeightFormat::int8, .bytes = 1.0};
  return std::nullopt;
}

std::optional<Stored> read_modelopt_format(text::ObjectReader& reader, text::Problems& problems) {
  std::string name;
  int group_size = 128;
  reader.required("quant_algo", name);
  reader.optional("group_size", group_size, text::at_least(1));
  const auto stored = modelopt_format(name, group_size);
  if (!stored && !name.empty()) {
    problems.error(reader.place_of("quant_algo"), fmt::format("the quantisation '{}' is not known", name),
                   "FP8, FP8_PB_WO, NVFP4, MXFP4, W4A16_AWQ, W4A8_AWQ, W8A16 and W8A8_SQ_PER_CHANNEL are");
  }
  return stored;
}

/// Layers that a mixed checkpoint lists one by one, each with its own format.
void read_listed_layers(const text::Node& listed, Scheme& scheme, text::Problems& problems) {
  std::vector<std::pair<Stored, std::vector<std::string>>> by_format;
  for (const text::Member& member : listed.members) {
    text::ObjectReader reader(member.value, problems, "a quantised layer", text::OtherKeys::tolerate);
    const auto stored = read_modelopt_format(reader, problems);
    if (!stored) return;
    auto found = std::ranges::find(by_format, *stored, &std::pair<Stored, std::vector<std::string>>::first);
    if (found == by_format.end()) found = by_format.insert(by_format.end(), {*stored, {}});
    found->second.push_back(member.key);
  }
  std::vector<Rule> rules;
  for (const auto& [stored, names] : by_format)
    rules.push_back({.modules = ModuleList(names, listed.place, problems), .stored = stored});
  scheme.rules.insert(scheme.rules.begin(), rules.begin(), rules.end());
}

void read_modelopt(text::ObjectReader& reader, Scheme& scheme, text::Problems& problems) {
  if (const text::Node* listed = reader.optional_object("quantized_layers")) {
    read_listed_layers(*listed, scheme, problems);
  } else if (reader.find("config_groups") != nullptr) {
    read_groups(reader, scheme, problems);
  } else if (const auto stored = read_modelopt_format(reader, problems)) {
    scheme.rules.push_back({.modules = {}, .stored = *stored});
  }
  scheme.kept = ModuleList(read_names(reader, {"exclude_modules", "ignore"}), reader.node().place, problems);
}

void read_fp8(text::ObjectReader& reader, Scheme& scheme, text::Problems& problems) {
  std::vector<int> block;
  reader.optional("weight_block_size", block);
  const Stored stored = block.size() == 2 ? fp8_in_blocks(static_cast<double>(block[0]) * block[1]) : fp8_per_tensor();
  scheme.rules.push_back({.modules = {}, .stored = stored});
  // Two names for the same list: transformers' and vLLM's.
  std::vector<std::string> kept = read_names(reader, {"modules_to_not_convert", "ignored_layers"});
  // DeepSeek-V4 in NVFP4 says FP8, and lists what is in another format: what it "ignores" stays in FP8.
  if (const text::Node* listed = reader.optional_object("quantized_layers")) read_listed_layers(*listed, scheme, problems);
  scheme.kept = ModuleList(kept, reader.node().place, problems);
}

/// Integer weights, groups with a 16-bit scale.
Stored read_integer_format(text::ObjectReader& reader, int bits, int group_size) {
  reader.optional("bits", bits, text::within(1, 16));
  reader.optional("group_size", group_size);
  return bits >= 16 ? Stored{} : integer_weights(bits, std::max(0, group_size));
}

constexpr int kUsualBits = 4;
constexpr int kUsualGroup = 128;

/// What is kept is named by any part of its name.
void read_awq(text::ObjectReader& reader, Scheme& scheme) {
  int bits = kUsualBits;
  if (reader.find("w_bit") != nullptr) {  // as its first tools wrote it
    reader.optional("w_bit", bits, text::within(1, 16));
  } else {
    reader.required("bits", bits, text::within(1, 16));
  }
  int group_size = kUsualGroup;
  reader.optional("q_group_size", group_size);
  scheme.rules.push_back({.modules = {}, .stored = read_integer_format(reader, bits, group_size)});
  scheme.kept = ModuleList::containing(read_names(reader, {"modules_to_not_convert"}));
}

/// GPTQ and what writes its format. GPTQModel names modules by "+:" or "-:" and an expression, with a format of their own or none;
/// AutoRound names them one by one.
void read_gptq(text::ObjectReader& reader, Scheme& scheme, text::Problems& problems) {
  int bits = kUsualBits;
  int group_size = kUsualGroup;
  reader.required("bits", bits, text::within(1, 16));
  reader.optional("group_size", group_size);
  std::vector<std::string> kept = read_names(reader, {"modules_to_not_convert"});
  const auto read_own = [&](std::string_view key, const auto& name_of) {
    const text::Node* own = reader.optional_object(key);
    if (own == nullptr) return;
    for (const text::Member& member : own->members) {
      const std::string name = name_of(member.key);
      if (member.key.starts_with("-:")) {
        kept.push_back(name);
        continue;
      }
      text::ObjectReader module(member.value, problems, "a module of its own format", text::OtherKeys::tolerate);
      const Stored stored = read_integer_format(module, bits, group_size);
      if (stored == Stored{}) {
        kept.push_back(name);
      } else {
        scheme.rules.push_back({.modules = ModuleList({name}, member.place, problems), .stored = stored});
      }
    }
  };
  read_own("dynamic", [](const std::string& key) {
    const bool is_signed = key.starts_with("-:") || key.starts_with("+:");
    return "re:.*" + (is_signed ? key.substr(2) : key);
  });
  read_own("extra_config", [](const std::string& key) { return key; });
  scheme.rules.push_back({.modules = {}, .stored = read_integer_format(reader, bits, group_size)});
  scheme.kept = ModuleList(kept, reader.node().place, problems);
}

/// Weights and inputs as Quark describes them.
Stored read_quark_format(const text::Node& node, text::Problems& problems) {
  text::ObjectReader reader(node, problems, "a format of Quark", text::OtherKeys::tolerate);
  const auto read_tensor = [&](std::string_view key, std::string& type, int& group_size) {
    const text::Node* tensor = reader.find(key);
    if (tensor != nullptr && tensor->kind == text::Node::Kind::list && !tensor->items.empty()) tensor = &tensor->items.front();
    if (tensor == nullptr || tensor->kind != text::Node::Kind::object) return;
    text::ObjectReader numbers(*tensor, problems, "a tensor's format", text::OtherKeys::tolerate);
    numbers.required("dtype", type);
    numbers.optional("group_size", group_size);
  };
  std::string weights;
  std::string inputs;
  int group_size = 0;
  int ignored = 0;
  read_tensor("weight", weights, group_size);
  read_tensor("input_tensors", inputs, ignored);
  if (weights.empty() || weights == "bfloat16" || weights == "float16") return {};
  if (weights == "fp4" || weights == "mxfp4") return mxfp4();
  if (weights.starts_with("fp8")) return inputs.starts_with("fp8") ? fp8_per_tensor() : integer_weights(8, 0);
  if (weights == "int8" || weights == "uint8") {
    return inputs.starts_with("int8") ? Stored{.format = WeightFormat::int8, .bytes = 1.0}
                                      : integer_weights(8, std::max(0, group_size));
  }
  if (weights == "int4" || weights == "uint4") return integer_weights(4, std::max(0, group_size));
  problems.error(node.place, fmt::format("weights of type '{}'", core::shown(weights)),
                 "fp8_e4m3, fp4, int8, int4 and bfloat16 are known");
  return {};
}

void read_quark(text::ObjectReader& reader, Scheme& scheme, text::Problems& problems) {
  if (const text::Node* own = reader.optional_object("layer_quant_config")) {
    for (const text::Member& member : own->members) {
      const bool has_weights = member.value.find("weight") != nullptr;
      if (has_weights)
        scheme.rules.push_back(
            {.modules = ModuleList({member.key}, member.place, problems), .stored = read_quark_format(member.value, problems)});
    }
  }
  if (const text::Node* all = reader.required_object("global_quant_config")) {
    scheme.rules.push_back({.modules = {}, .stored = read_quark_format(*all, problems)});
  }
  scheme.kept = ModuleList(read_names(reader, {"exclude"}), reader.node().place, problems);
}

/// TorchAO: the name of a class, or that in small letters, with its arguments.
void read_torchao(text::ObjectReader& reader, Scheme& scheme, text::Problems& problems) {
  const text::Node* type = reader.required_node("quant_type");
  if (type == nullptr) return;
  std::string name = type->text;
  int group_size = kUsualGroup;
  if (type->kind == text::Node::Kind::object) {
    text::ObjectReader kinds(*type, problems, "'quant_type'", text::OtherKeys::tolerate);
    const text::Node* all = kinds.required_object("default");
    if (all == nullptr) return;
    text::ObjectReader kind(*all, problems, "'default'", text::OtherKeys::tolerate);
    kind.required("_type", name);
    if (const text::Node* data = kind.optional_object("_data"))
      text::ObjectReader(*data, problems, "'_data'", text::OtherKeys::tolerate).optional("group_size", group_size);
  } else if (const text::Node* arguments = reader.optional_object("quant_type_kwargs")) {
    text::ObjectReader(*arguments, problems, "'quant_type_kwargs'", text::OtherKeys::tolerate).optional("group_size", group_size);
  }
  std::string letters;
  for (const char c : name) {
    if (c != '_') letters += core::lower(c);
  }
  const auto has = [&](std::string_view part) { return letters.find(part) != std::string::npos; };
  Stored stored;
  if (has("int4weight")) {
    stored = integer_weights(4, group_size);
  } else if (has("int8dynamicactivationint8weight")) {
    stored = {.format = WeightFormat::int8, .bytes = 1.0};
  } else if (has("float8") && has("activation")) {
    stored = fp8_per_tensor();
  } else if (has("int8weight") || has("float8weight")) {
    stored = integer_weights(8, 0);
  } else if (!name.empty()) {
    problems.error(type->place, fmt::format("the quantisation '{}' is not known", core::shown(name)),
                   "of TorchAO, int4 and int8 weights, float8 and int8 activations are");
  }
  scheme.rules.push_back({.modules = {}, .stored = stored});
  scheme.kept = ModuleList(read_names(reader, {"modules_to_not_convert"}), reader.node().place, problems);
}

/// Blocks of 64 with a 32-bit maximum, which a second quantisation makes 8 bits.
void read_bitsandbytes(text::ObjectReader& reader, Scheme& scheme, text::Problems& problems) {
  bool in_8_bits = false;
  bool is_double = false;
  reader.optional("load_in_8bit", in_8_bits);
  reader.optional("bnb_4bit_use_double_quant", is_double);
  constexpr int kBlock = 64;
  const Stored in_4_bits{.format = WeightFormat::int4_weight_only, .bytes = bytes_per_element(4, kBlock, is_double ? 1.0 : 4.0)};
  scheme.rules.push_back({.modules = {}, .stored = in_8_bits ? integer_weights(8, 0) : in_4_bits});
  scheme.kept = ModuleList(read_names(reader, {"llm_int8_skip_modules"}), reader.node().place, problems);
}

/// "FP8", or a description of its numbers.
std::optional<double> kv_cache_bytes(text::ObjectReader& reader, text::Problems& problems) {
  for (const std::string_view key : {"kv_cache_scheme", "kv_cache_quant_algo"}) {
    const text::Node* scheme = reader.find(key);
    if (scheme == nullptr) continue;
    if (scheme->kind == text::Node::Kind::object) return read_numbers(scheme, key, problems).bits / kBitsPerByte;
    if (scheme->text == "FP8") return 1.0;
    if (scheme->text == "INT8") return 1.0;
    if (scheme->text == "NVFP4") return nvfp4().bytes;
    problems.error(scheme->place, fmt::format("the KV cache's format '{}' is not known", scheme->text), "FP8, INT8 and NVFP4 are");
  }
  return std::nullopt;
}

enum class Method { fp8, compressed_tensors, awq, gptq, mxfp4, modelopt, bitsandbytes, quark, torchao };
constexpr std::array<text::Choice<Method>, 14> kMethods{{{"fp8", Method::fp8},
                                                         {"fbgemm_fp8", Method::fp8},
                                                         {"compressed-tensors", Method::compressed_tensors},
                                                         {"awq", Method::awq},
                                                         {"awq_marlin", Method::awq},
                                                         {"gptq", Method::gptq},
                                                         {"gptq_marlin", Method::gptq},
                                                         {"auto-round", Method::gptq},
                                                         {"mxfp4", Method::mxfp4},
                                                         {"modelopt", Method::modelopt},
                                                         {"modelopt_fp4", Method::modelopt},
                                                         {"bitsandbytes", Method::bitsandbytes},
                                                         {"quark", Method::quark},
                                                         {"torchao", Method::torchao}}};

Scheme read_scheme(text::ObjectReader& reader, bool has_experts, text::Problems& problems) {
  Scheme scheme;
  Method method = Method::modelopt;
  // ModelOpt leaves its own name out at times, and never names itself in hf_quant_config.json.
  const bool is_modelopt = reader.find("quant_method") == nullptr && reader.find("quant_algo") != nullptr;
  if (!is_modelopt && !reader.required_choice<Method>("quant_method", method, kMethods)) return scheme;
  switch (method) {
    case Method::fp8: read_fp8(reader, scheme, problems); break;
    case Method::compressed_tensors:
      read_groups(reader, scheme, problems);
      scheme.kept = ModuleList(read_names(reader, {"ignore"}), reader.place_of("ignore"), problems);
      break;
    case Method::awq: read_awq(reader, scheme); break;
    case Method::gptq: read_gptq(reader, scheme, problems); break;
    case Method::mxfp4:  // gpt-oss: engines keep all but the experts in 16 bits
      if (!has_experts) {
        problems.error(reader.place_of("quant_method"), "'mxfp4' is for experts, and the model has none",
                       "MXFP4 linear layers come as compressed-tensors or ModelOpt");
      }
      scheme.experts_only = true;
      scheme.experts = mxfp4();
      break;
    case Method::modelopt: read_modelopt(reader, scheme, problems); break;
    case Method::bitsandbytes: read_bitsandbytes(reader, scheme, problems); break;
    case Method::quark: read_quark(reader, scheme, problems); break;
    case Method::torchao: read_torchao(reader, scheme, problems); break;
  }
  return scheme;
}

/// What engines never quantise: it decides (routers, gates, scores) or is small.
bool always_in_16_bits(std::string_view matrix) {
  return matrix == "router" || matrix == "shared_gate" || matrix == "index_weights" || matrix == "compress";
}

Stored stored_of(const Scheme& scheme, int layer, const std::vector<std::string_view>& modules) {
  const auto is_in = [&](const ModuleList& list) {
    return std::ranges::any_of(modules, [&](std::string_view module) { return list.covers(layer, module); });
  };
  if (is_in(scheme.kept)) return {};
  const auto named =
      std::ranges::find_if(scheme.rules, [&](const Rule& rule) { return !rule.modules.is_empty() && is_in(rule.modules); });
  if (named != scheme.rules.end()) return named->stored;
  const auto general = std::ranges::find_if(scheme.rules, [](const Rule& rule) { return rule.modules.is_empty(); });
  return general != scheme.rules.end() ? general->stored : Stored{};
}

void apply(const Scheme& scheme, std::vector<domain::Layer>& layers) {
  for (std::size_t i = 0; i < layers.size(); ++i) {
    domain::Layer& layer = layers[i];
    const auto index = static_cast<int>(i);
    for (std::vector<domain::Linear>* linears : {&layer.mixer.linears, &layer.ffn.linears}) {
      for (domain::Linear& linear : *linears) {
        if (scheme.experts_only || always_in_16_bits(linear.name)) continue;
        linear.stored = stored_of(scheme, index, module_names(linear.name, layer));
      }
    }
    if (!layer.ffn.experts) continue;
    layer.ffn.experts->stored = scheme.experts ? *scheme.experts : stored_of(scheme, index, module_names("experts", layer));
  }
}

}  // namespace

void read_quantization(const text::Node& node, std::vector<domain::Layer>& layers, domain::ModelSpec& model,
                       text::Problems& problems) {
  text::ObjectReader reader(node, problems, "'quantization_config'", text::OtherKeys::tolerate);
  const bool has_experts = std::ranges::any_of(layers, [](const domain::Layer& layer) { return layer.ffn.experts.has_value(); });
  const Scheme scheme = read_scheme(reader, has_experts, problems);
  if (const text::Node* sparsity = reader.find("sparsity_config"); sparsity != nullptr && sparsity->kind == text::Node::Kind::object) {
    const text::Node* format = sparsity->find("format");
    if (format != nullptr && format->text != "dense" && !format->text.empty())
      model.notes.push_back(fmt::format("weights are sparse ('{}'): counted as dense", core::shown(format->text)));
  }
  if (const auto bytes = kv_cache_bytes(reader, problems); bytes && *bytes > 0.0) model.kv_cache_bytes = *bytes;
  apply(scheme, layers);
}

}  // namespace rooftune::data
