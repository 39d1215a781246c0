#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/text/object_reader.hpp"

namespace rooftune::data {

/// The decoder's part of a Hugging Face config. Families spell the same fact differently, so facts are asked for by all their
/// spellings, the first that is there counts. What a config leaves out has its class's default in transformers: it is taken
/// where that is known (class_defaults.cpp), and noted.
class ModelConfig {
 public:
  using Spellings = std::initializer_list<std::string_view>;

  /// `notes` receives a sentence for every default taken.
  ModelConfig(const text::Node& node, text::Problems& problems, std::vector<std::string>& notes);

  [[nodiscard]] const std::string& model_type() const { return model_type_; }
  [[nodiscard]] bool is_a(std::string_view family) const { return model_type_.starts_with(family); }
  [[nodiscard]] text::ObjectReader& reader() { return reader_; }
  [[nodiscard]] text::Problems& problems() { return problems_; }
  /// Once, however often it is said.
  void note(std::string text);

  /// A whole number of at least `least`, or nothing.
  [[nodiscard]] std::optional<int> whole(Spellings keys, int least = 0);
  /// The same; an error where neither the config nor its class has it (0 is returned then).
  [[nodiscard]] int need(Spellings keys, int least = 1);
  [[nodiscard]] bool flag(Spellings keys, bool otherwise);
  [[nodiscard]] std::string text(Spellings keys);
  /// One number per layer: a list of them, or one number for all. Empty where the key is absent.
  [[nodiscard]] std::vector<int> per_layer(Spellings keys, int layers);
  /// A list of numbers or words. Empty where the key is absent or no list.
  [[nodiscard]] std::vector<int> numbers(Spellings keys);
  [[nodiscard]] std::vector<std::string> words(Spellings keys);
  [[nodiscard]] std::vector<bool> flags(std::string_view key);
  [[nodiscard]] bool has(std::string_view key) { return reader_.find(key) != nullptr; }

  /// Something about the model that nothing here models: an error that names it.
  void refuse(std::string_view key, std::string what);

 private:
  [[nodiscard]] const text::Node* first(Spellings keys);
  [[nodiscard]] std::optional<int> class_default(Spellings keys);

  text::ObjectReader reader_;
  text::Problems& problems_;
  std::vector<std::string>& notes_;
  std::string model_type_;
};

/// Whether configs of this type are known to be read rightly (model_families.cpp).
[[nodiscard]] bool is_known_family(std::string_view model_type);

/// Notes a type of model that is not known, and keys that may change layers and that nothing has asked for: what they say is not
/// modelled. To be called when all else is read.
void note_what_is_unknown(ModelConfig& config);

/// The value that a class of transformers gives to a key that its config leaves out, or nothing. Booleans are 0 and 1.
[[nodiscard]] std::optional<int> class_default(std::string_view model_type, std::string_view key);

}  // namespace rooftune::data
