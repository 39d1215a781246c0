#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "huggingface_layers.hpp"
#include "model_config.hpp"
#include "model_form.hpp"
#include "quantization.hpp"

namespace rooftune::data {
namespace {

using domain::Layer;
using domain::ModelSpec;

double elements_of(const Layer& layer) {
  double sum = domain::weight_elements(layer.mixer);
  for (const domain::Linear& linear : layer.ffn.linears) sum += domain::elements(linear);
  if (layer.ffn.experts) sum += layer.ffn.experts->count * domain::elements(*layer.ffn.experts);
  return sum;
}

/// Layers for multi-token prediction: each is like the model's last layers (one, or a mixer and an FFN where those are apart) and
/// joins two hidden states by one matrix.
void read_prediction_layers(ModelConfig& config, const std::vector<Layer>& layers, ModelSpec& model) {
  int count = config.whole({"num_nextn_predict_layers", "mtp_num_hidden_layers", "mtp_num_layers"}).value_or(0);
  if (const auto modules = config.whole({"num_mtp_modules"})) count = *modules * config.whole({"mtp_transformer_layers"}).value_or(1);
  if (count == 0 || layers.empty()) return;
  double elements = elements_of(layers.back());
  if (layers.back().mixer.kind == domain::MixerKind::none) {
    const auto attention = std::ranges::find_if(layers.rbegin(), layers.rend(), [](const Layer& layer) {
      return layer.mixer.kind != domain::MixerKind::none && layer.mixer.kind != domain::MixerKind::linear;
    });
    if (attention != layers.rend()) elements += elements_of(*attention);
  }
  model.prediction_elements = count * (elements + 2.0 * model.hidden * model.hidden);
  config.note(
      fmt::format("{} multi-token-prediction layer{} of about {:.2g} billion parameters {} not counted: for speculative decoding",
                  count, count == 1 ? "" : "s", model.prediction_elements * 1e-9, count == 1 ? "is" : "are"));
}

/// A vision transformer: its layers, patches and what projects them to the decoder's width. Within some per cent.
double vision_elements(ModelConfig& tower, int hidden) {
  const double layers = tower.whole({"depth", "num_hidden_layers", "vt_num_hidden_layers", "num_layers", "layers"}).value_or(0);
  const double width = tower.whole({"embed_dim", "hidden_size", "vt_hidden_size", "width"}).value_or(0);  // Qwen2-VL has both
  const double ffn = tower.whole({"intermediate_size", "vt_intermediate_size"}).value_or(static_cast<int>(4 * width));
  const double patch = tower.whole({"patch_size"}).value_or(16);
  const double frames = tower.whole({"temporal_patch_size"}).value_or(1);
  const double merged = tower.whole({"spatial_merge_size"}).value_or(1);
  const double positions = tower.whole({"num_position_embeddings", "position_embedding_size"}).value_or(0);
  const double merged_width = width * merged * merged;
  const double projectors = 1.0 + static_cast<double>(tower.numbers({"deepstack_visual_indexes"}).size());
  return layers * (4.0 * width * width + 2.0 * width * ffn) + 3.0 * frames * patch * patch * width + positions * width +
         projectors * (merged_width * merged_width + merged_width * hidden);
}

/// Towers beside the decoder take memory; what they compute is not modelled.
void read_towers(text::ObjectReader& outer, ModelSpec& model, text::Problems& problems) {
  for (const std::string_view key : {"vision_config", "audio_config"}) {
    const text::Node* node = outer.find(key);
    if (node == nullptr || node->kind != text::Node::Kind::object) continue;
    std::vector<std::string> unused;
    ModelConfig tower(*node, problems, unused);
    const double elements = vision_elements(tower, model.hidden);
    const std::string_view name = key.substr(0, key.find('_'));
    if (elements > 0.0) {
      model.vision_elements += elements;
      model.notes.push_back(
          fmt::format("the {} tower counts as {:.2g} GB of memory, its computation is not modelled", name, 2e-9 * elements));
    } else {
      model.notes.push_back(fmt::format("the {} tower is not modelled, and its size is not in the config", name));
    }
  }
}

/// Gemma 4 gives every layer an embedding of its own, through a gate.
void read_layer_inputs(ModelConfig& config, std::vector<Layer>& layers, ModelSpec& model) {
  using domain::Split;
  const int width = config.whole({"hidden_size_per_layer_input"}).value_or(0);
  if (width == 0) return;
  model.layer_input_elements =
      static_cast<double>(config.need({"vocab_size_per_layer_input"})) * width * static_cast<double>(layers.size());
  for (Layer& layer : layers) {
    layer.ffn.linears.push_back({.name = "layer_input", .inputs = model.hidden, .outputs = width, .split = Split::nothing});
    layer.ffn.linears.push_back({.name = "layer_input_gate", .inputs = model.hidden, .outputs = width, .split = Split::nothing});
    layer.ffn.linears.push_back({.name = "layer_input_out", .inputs = width, .outputs = model.hidden, .split = Split::nothing});
  }
  config.note(fmt::format("embeddings per layer ({:.2g} billion parameters) take memory; looking them up is not priced",
                          model.layer_input_elements * 1e-9));
}

/// What else a model that speaks has.
void note_speech(text::ObjectReader& outer, ModelSpec& model) {
  if (outer.find("talker_config") == nullptr && outer.find("code2wav_config") == nullptr && outer.find("token2wav_config") == nullptr)
    return;
  model.notes.emplace_back("what speaks (talker and vocoder) is not modelled, nor its memory: served as text only");
}

void read_tables(ModelConfig& config, text::ObjectReader& outer, ModelSpec& model) {
  model.vocabulary = config.has("padded_vocab_size") ? config.need({"padded_vocab_size"}) : config.need({"vocab_size"});
  model.max_positions =
      config.whole({"max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length"}).value_or(0);
  const bool is_outside = !config.has("tie_word_embeddings") && outer.optional("tie_word_embeddings", model.tied_embeddings);
  if (!is_outside) model.tied_embeddings = config.flag({"tie_word_embeddings"}, false);
}

/// The experts of DeepSeek-V4 may be in FP4 where the rest is in FP8.
void read_expert_type(ModelConfig& config, std::vector<Layer>& layers, bool is_quantised) {
  if (!is_quantised || config.text({"expert_dtype"}) != "fp4") return;
  for (Layer& layer : layers) {
    if (!layer.ffn.experts || layer.ffn.experts->stored.format == domain::WeightFormat::nvfp4) continue;
    layer.ffn.experts->stored = {.format = domain::WeightFormat::mxfp4, .bytes = 0.5 + 1.0 / 32.0};
  }
}

/// Models that also see or hear keep the decoder's facts one level down, under one of these names.
const text::Node* decoder_part(text::ObjectReader& outer) {
  for (const std::string_view key : {"text_config", "llm_config", "language_config"}) {
    if (const text::Node* node = outer.find(key); node != nullptr && node->kind == text::Node::Kind::object) return node;
  }
  const text::Node* thinker = outer.find("thinker_config");  // Qwen-Omni
  return thinker != nullptr ? thinker->find("text_config") : nullptr;
}

const text::Node* quantization_part(text::ObjectReader& outer, text::ObjectReader& decoder) {
  for (const std::string_view key : {"quantization_config", "compression_config"}) {
    if (const text::Node* node = outer.optional_object(key)) return node;
    if (const text::Node* node = decoder.optional_object(key)) return node;
  }
  return nullptr;
}

}  // namespace

ModelSpec read_huggingface_model(const text::Node& root, const text::Document* side_file, text::Problems& problems) {
  ModelSpec model;
  text::ObjectReader outer(root, problems, "a model's config", text::OtherKeys::tolerate);
  const text::Node* part = decoder_part(outer);
  ModelConfig config(part != nullptr ? *part : root, problems, model.notes);
  std::vector<std::string> architectures;
  if ((outer.optional("architectures", architectures) || config.reader().optional("architectures", architectures)) &&
      !architectures.empty()) {
    model.architecture = architectures.front();
  }
  model.hidden = config.need({"hidden_size", "n_embd", "n_embed", "d_model"});
  read_tables(config, outer, model);
  std::vector<Layer> layers = read_layers(config, model.hidden);
  read_prediction_layers(config, layers, model);
  read_layer_inputs(config, layers, model);
  const text::Node* thinker = outer.find("thinker_config");
  if (thinker != nullptr && thinker->kind == text::Node::Kind::object) {
    text::ObjectReader inner(*thinker, problems, "'thinker_config'", text::OtherKeys::tolerate);
    read_towers(inner, model, problems);
    note_speech(outer, model);
  }
  read_towers(outer, model, problems);
  const text::Node* quantization = quantization_part(outer, config.reader());
  if (quantization != nullptr && quantization->members.empty()) quantization = nullptr;
  if (quantization != nullptr) {
    read_quantization(*quantization, layers, model, problems);
  } else if (side_file != nullptr) {
    text::Problems of_side_file(side_file->file);
    text::ObjectReader reader(side_file->root, of_side_file, "ModelOpt's quantisation", text::OtherKeys::tolerate);
    if (const text::Node* node = reader.required_object("quantization")) read_quantization(*node, layers, model, of_side_file);
    problems.add(of_side_file.take_errors());
  }
  read_expert_type(config, layers, quantization != nullptr);
  note_what_is_unknown(config);
  model.groups = domain::group_layers(layers);
  return model;
}

}  // namespace rooftune::data
