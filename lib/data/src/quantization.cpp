#include "quantization.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

namespace rooftune::data {
namespace {

/// What a quantised linear layer is made of.
struct LinearFormat {
  double weight_bytes = 1.0;
  bool computes_fp8 = false;  ///< weights and activations are FP8
};

constexpr double kUnquantisedBytes = 2.0;
constexpr int kFp8Bits = 8;
constexpr double kBitsPerByte = 8.0;

/// The modules that a checkpoint keeps in 16 bits. Names are exact, a parent ("model.layers.3"), or "re:" and an expression
/// that must match from the start of the name (as in compressed-tensors and vLLM).
class IgnoreList {
 public:
  IgnoreList(const std::vector<std::string>& entries, text::Place place, text::Problems& problems) {
    for (const std::string& entry : entries) {
      if (!entry.starts_with("re:")) {
        names_.push_back(entry);
        continue;
      }
      try {
        patterns_.emplace_back(entry.substr(3));
      } catch (const std::regex_error&) {
        problems.error(place, fmt::format("'{}' is no valid regular expression", entry), "correct it");
      }
    }
  }

  /// Whether the decoder's module `name` ("layers.0.self_attn.q_proj") is ignored. Checkpoints differ in what stands before;
  /// modules of a vision tower carry other prefixes and do not count.
  [[nodiscard]] bool covers(const std::string& name) const {
    constexpr std::array<std::string_view, 5> prefixes{"model.", "language_model.model.", "model.language_model.", "language_model.",
                                                       ""};
    return std::ranges::any_of(prefixes, [&](std::string_view prefix) { return covers_full(std::string(prefix) + name); });
  }

 private:
  [[nodiscard]] bool covers_full(const std::string& name) const {
    return std::ranges::any_of(names_, [&](const std::string& entry) { return name == entry || name.starts_with(entry + "."); }) ||
           std::ranges::any_of(patterns_, [&](const std::regex& pattern) {
             return std::regex_search(name, pattern, std::regex_constants::match_continuous);
           });
  }

  std::vector<std::string> names_;
  std::vector<std::regex> patterns_;
};

/// Share of the attention weights that is quantised, by elements.
double quantised_attention_share(const domain::DecoderShape& model, const IgnoreList& ignored) {
  struct Projection {
    std::string name;
    double elements;
  };
  const double of_queries = static_cast<double>(model.attention.heads) * model.attention.head_dim;
  const double of_keys = static_cast<double>(model.attention.kv_heads) * model.attention.head_dim;
  const std::array<Projection, 4> projections{
      {{"q_proj", of_queries}, {"k_proj", of_keys}, {"v_proj", of_keys}, {"o_proj", of_queries}}};
  double all = 0.0;
  double quantised = 0.0;
  for (int layer = 0; layer < model.layers; ++layer) {
    for (const Projection& projection : projections) {
      all += projection.elements;
      if (!ignored.covers(fmt::format("layers.{}.self_attn.{}", layer, projection.name))) quantised += projection.elements;
    }
  }
  return all > 0.0 ? quantised / all : 1.0;
}

/// Share of the layers whose FFN (dense or experts) is quantised.
double quantised_ffn_share(const domain::DecoderShape& model, const IgnoreList& ignored) {
  constexpr std::array<std::string_view, 6> modules{
      "mlp.gate_proj",          "mlp.experts.0.gate_proj",          "block_sparse_moe.experts.0.w1",
      "feed_forward.gate_proj", "feed_forward.experts.0.gate_proj", "feed_forward.experts.gate_up_proj"};
  int quantised = 0;
  for (int layer = 0; layer < model.layers; ++layer) {
    const bool is_ignored = std::ranges::any_of(
        modules, [&](std::string_view module) { return ignored.covers(fmt::format("layers.{}.{}", layer, module)); });
    if (!is_ignored) ++quantised;
  }
  return model.layers > 0 ? static_cast<double>(quantised) / model.layers : 1.0;
}

/// The first group of a compressed-tensors config; groups of different formats have no single width and are refused.
LinearFormat compressed_tensors_format(text::ObjectReader& reader, text::Problems& problems) {
  LinearFormat format;
  const text::Node* groups = reader.required_object("config_groups");
  if (groups == nullptr) return format;
  if (groups->members.size() != 1) {
    problems.error(groups->place, fmt::format("{} groups of quantised layers", groups->members.size()),
                   "one is understood: write the model as facts (YAML) with its average widths");
    return format;
  }
  text::ObjectReader group(groups->members.front().value, problems, "a group of quantised layers", text::OtherKeys::tolerate);
  int bits = kFp8Bits;
  int activation_bits = 16;
  std::string type;
  std::string activation_type;
  if (const text::Node* weights = group.required_object("weights")) {
    text::ObjectReader weight_reader(*weights, problems, "'weights'", text::OtherKeys::tolerate);
    weight_reader.required("num_bits", bits, text::within(1, 16));
    weight_reader.optional("type", type);
  }
  if (const text::Node* activations = group.optional_object("input_activations")) {
    text::ObjectReader activation_reader(*activations, problems, "'input_activations'", text::OtherKeys::tolerate);
    activation_reader.optional("num_bits", activation_bits, text::within(1, 16));
    activation_reader.optional("type", activation_type);
  }
  format.weight_bytes = bits / kBitsPerByte;
  format.computes_fp8 = bits == kFp8Bits && type == "float" && activation_bits == kFp8Bits && activation_type == "float";
  return format;
}

void read_kv_cache_scheme(text::ObjectReader& reader, domain::ModelSpec& model, text::Problems& problems) {
  const text::Node* scheme = reader.optional_object("kv_cache_scheme");
  if (scheme == nullptr) return;
  int bits = 16;
  text::ObjectReader(*scheme, problems, "'kv_cache_scheme'", text::OtherKeys::tolerate)
      .required("num_bits", bits, text::within(1, 16));
  model.kv_cache_bytes = bits / kBitsPerByte;
}

enum class Method { fp8, compressed_tensors, awq, gptq };
constexpr std::array<text::Choice<Method>, 4> kMethods{
    {{"fp8", Method::fp8}, {"compressed-tensors", Method::compressed_tensors}, {"awq", Method::awq}, {"gptq", Method::gptq}}};

}  // namespace

void read_quantization(const text::Node& node, domain::DecoderShape& shape, domain::ModelSpec& model, text::Problems& problems) {
  Method method = Method::fp8;
  std::vector<std::string> ignored_modules;
  LinearFormat format;
  text::ObjectReader reader(node, problems, "'quantization_config'", text::OtherKeys::tolerate);
  if (!reader.required_choice<Method>("quant_method", method, kMethods)) return;
  switch (method) {
    case Method::fp8:
      format = {.weight_bytes = 1.0, .computes_fp8 = true};
      // Two names for the same list: transformers' and vLLM's.
      if (!reader.optional("modules_to_not_convert", ignored_modules)) reader.optional("ignored_layers", ignored_modules);
      break;
    case Method::compressed_tensors:
      format = compressed_tensors_format(reader, problems);
      reader.optional("ignore", ignored_modules);
      read_kv_cache_scheme(reader, model, problems);
      break;
    case Method::awq:
    case Method::gptq: {
      int bits = 4;
      reader.required("bits", bits, text::within(1, 16));
      format = {.weight_bytes = bits / kBitsPerByte, .computes_fp8 = false};
      reader.optional("modules_to_not_convert", ignored_modules);
      break;
    }
  }
  const IgnoreList ignored(ignored_modules, reader.place_of("ignore"), problems);
  const auto mixed_bytes = [&](double share) { return share * format.weight_bytes + (1.0 - share) * kUnquantisedBytes; };
  const double attention_share = quantised_attention_share(shape, ignored);
  const double ffn_share = quantised_ffn_share(shape, ignored);
  // Mixed layers compute in FP8 where most of their weights do.
  const auto stored = [&](double share) {
    using enum domain::WeightFormat;
    domain::Stored result{.format = format.weight_bytes < 1.0 ? int4_weight_only : int8_weight_only, .bytes = mixed_bytes(share)};
    if (format.computes_fp8) result.format = fp8;
    if (share <= 0.5) result.format = bf16;
    return result;
  };
  shape.attention_stored = stored(attention_share);
  shape.ffn_stored = stored(ffn_share);
}

}  // namespace rooftune::data
