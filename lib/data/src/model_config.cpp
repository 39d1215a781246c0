#include "model_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "rooftune/core/limits.hpp"

namespace rooftune::data {
namespace {

/// Some publishers leave an empty text there.
std::string read_model_type(text::ObjectReader& reader) {
  const text::Node* node = reader.find("model_type");
  return node != nullptr && node->kind == text::Node::Kind::scalar ? node->text : "";
}

}  // namespace

ModelConfig::ModelConfig(const text::Node& node, text::Problems& problems, std::vector<std::string>& notes)
    : reader_(node, problems, "a model's config", text::OtherKeys::tolerate),
      problems_(problems),
      notes_(notes),
      model_type_(read_model_type(reader_)) {}

void ModelConfig::note(std::string text) {
  if (std::ranges::find(notes_, text) == notes_.end()) notes_.push_back(std::move(text));
}

const text::Node* ModelConfig::first(Spellings keys) {
  for (const std::string_view key : keys) {
    if (const text::Node* node = reader_.find(key)) return node;
  }
  return nullptr;
}

std::optional<int> ModelConfig::class_default(Spellings keys) {
  for (const std::string_view key : keys) {
    if (reader_.node().find(key) != nullptr) return std::nullopt;  // an explicit null means none
    const auto value = data::class_default(model_type_, key);
    if (!value) continue;
    note(fmt::format("'{}' is not in the config: {}, the default of {} in transformers", key,
                     key.starts_with("tie_") ? (*value != 0 ? "true" : "false") : fmt::format("{}", *value), model_type_));
    return value;
  }
  return std::nullopt;
}

namespace {

int most_of(std::string_view key) {
  if (key.find("layer") != std::string_view::npos && key.find("size") == std::string_view::npos) return core::limits::kLayers;
  if (key.find("position") != std::string_view::npos || key.find("length") != std::string_view::npos) return core::limits::kTokens;
  return core::limits::kModelWidth;
}

}  // namespace

std::optional<int> ModelConfig::whole(Spellings keys, int least) {
  for (const std::string_view key : keys) {
    int value = 0;
    const int most = most_of(key);
    if (reader_.optional(key, value, text::counted(least, most))) return value;
    if (reader_.find(key) != nullptr) return std::nullopt;  // reported
  }
  return class_default(keys);
}

int ModelConfig::need(Spellings keys, int least) {
  if (first(keys) != nullptr) return whole(keys, least).value_or(0);
  if (const auto value = class_default(keys)) return *value;
  problems_.error(reader_.node().place, fmt::format("a model's config lacks '{}'", *keys.begin()),
                  model_type_.empty()
                      ? "add it: the model's class in transformers has its default"
                      : fmt::format("add it: its default is that of the class of model type '{}' in transformers", model_type_));
  return 0;
}

bool ModelConfig::flag(Spellings keys, bool otherwise) {
  for (const std::string_view key : keys) {
    bool value = otherwise;
    if (reader_.optional(key, value)) return value;
  }
  const auto value = class_default(keys);
  return value ? *value != 0 : otherwise;
}

std::string ModelConfig::text(Spellings keys) {
  const text::Node* node = first(keys);
  return node != nullptr && node->kind == text::Node::Kind::scalar ? node->text : "";
}

std::vector<int> ModelConfig::numbers(Spellings keys) {
  for (const std::string_view key : keys) {
    const text::Node* node = reader_.find(key);
    std::vector<int> values;
    if (node != nullptr && node->kind == text::Node::Kind::list && reader_.optional(key, values)) return values;
  }
  return {};
}

std::vector<bool> ModelConfig::flags(std::string_view key) {
  std::vector<bool> values;
  for (const std::string& word : words({key})) values.push_back(word == "true");
  return values;
}

std::vector<int> ModelConfig::per_layer(Spellings keys, int layers) {
  const text::Node* node = first(keys);
  if (node != nullptr && node->kind == text::Node::Kind::list) {
    std::vector<int> values = numbers(keys);
    if (static_cast<int>(values.size()) >= layers) return values;
    problems_.error(node->place, fmt::format("'{}' has {} items for {} layers", *keys.begin(), values.size(), layers), "correct it");
    return {};
  }
  const auto value = whole(keys);
  return value ? std::vector<int>(static_cast<std::size_t>(std::max(layers, 0)), *value) : std::vector<int>{};
}

std::vector<std::string> ModelConfig::words(Spellings keys) {
  for (const std::string_view key : keys) {
    const text::Node* node = reader_.find(key);
    if (node == nullptr || node->kind != text::Node::Kind::list) continue;
    std::vector<std::string> values;
    for (const text::Node& item : node->items) values.push_back(item.text);
    return values;
  }
  return {};
}

void ModelConfig::refuse(std::string_view key, std::string what) {
  problems_.error(reader_.place_of(key), std::move(what), "it is not modelled: docs/models.md says what is");
}

}  // namespace rooftune::data
