#pragma once

#include <array>
#include <concepts>
#include <functional>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "rooftune/core/units.hpp"
#include "rooftune/core/word.hpp"
#include "rooftune/text/object_reader.hpp"

/// An object of a file, described once: each key stands in a Form with its type, bounds and one sentence, its default being that of
/// the member which holds it. A Form reads the object, writes it, and gives its JSON Schema, from which the template for users
/// (yaml_template) and the tables in docs/file_formats.md are made.
///
///     Form<SolverStage> form("a solver stage");
///     form.number("starts", &SolverStage::starts, at_least(1), "points to start from");
///     form.read(node, problems, stage);
namespace rooftune::text {

using Json = nlohmann::ordered_json;

/// What is known about a key beside how it is read.
struct KeySpec {
  std::string name;
  std::string says;  ///< a sentence without its full stop
  Json schema{};     ///< JSON Schema of the value
  Json example{};    ///< for the template, where there is no default
  bool is_required = false;
  bool is_always_written = false;
  std::string deciding_key{};                 ///< a key before this one: with other words than these this one is unknown
  std::vector<std::string> deciding_words{};  ///< empty: always known
};

/// JSON Schema of plain values.
[[nodiscard]] Json text_schema();
[[nodiscard]] Json number_schema(bool is_whole, Range range);
[[nodiscard]] Json words_schema(std::span<const std::string_view> words);
[[nodiscard]] Json list_schema(Json items);
/// `schema`, or a list of such.
[[nodiscard]] Json one_or_list_schema(const Json& schema);
/// An object of any keys, each with a value of this schema.
[[nodiscard]] Json map_schema(Json value);
/// Schema of an object of these keys; `defaults` holds their defaults, null where there is none.
[[nodiscard]] Json object_schema(const std::vector<KeySpec>& keys, const Json& defaults);
/// The schema of a whole file, with what it refers to as "#/$defs/<name>".
[[nodiscard]] Json root_schema(std::string_view title, std::string_view says, Json schema, Json definitions);

/// Members that say nothing: null, or an empty text, list or object.
[[nodiscard]] bool is_empty(const Json& value);

/// YAML of an object: its members a line each; what is in them in braces where that is short, else indented.
[[nodiscard]] std::string yaml_block(const Json& object);
/// `{a: 1, b: [x]}`
[[nodiscard]] std::string yaml_flow(const Json& value);

/// A YAML file with every key of the schema, its default or an example, and what it means. Objects and keys without a default are
/// commented out but for those of `shown` (paths: "data.ground_truth"), and so is all that stands in them.
[[nodiscard]] std::string yaml_template(const Json& schema, const std::vector<std::string_view>& shown);

namespace form_values {

template <class T>
struct Plain {
  using Type = T;
};
template <class T>
struct Plain<std::optional<T>> : Plain<T> {};
template <class Unit>
struct Plain<core::Quantity<Unit>> {
  using Type = double;
};

template <class T>
Json json_of(const T& value) {
  return Json(value);
}
template <class Unit>
Json json_of(const core::Quantity<Unit>& value) {
  return Json(value.value);
}
template <class T>
Json json_of(const std::optional<T>& value) {
  return value ? json_of(*value) : Json(nullptr);
}

/// A text that must be one of `names`; `what` is it in messages.
void read_name(ObjectReader& reader, const KeySpec& key, std::string& target, const std::vector<std::string_view>& names);
/// One text, or a list of them.
void read_texts(ObjectReader& reader, const KeySpec& key, std::vector<std::string>& target);
/// The object under the key; null where there is none to read.
const Node* read_object(ObjectReader& reader, const KeySpec& key);

}  // namespace form_values

template <class Spec>
class Form {
 public:
  /// `name` stands for the object in messages: "'objective'".
  explicit Form(std::string name) : name_(std::move(name)) {}

  /// The key that was added last, to say more about it.
  class Key {
   public:
    Key(KeySpec& key, std::function<Json()>& make_schema) : key_(key), schema_(make_schema) {}
    Key& required() {
      key_.is_required = true;
      return *this;
    }
    /// A value for the template of a key without a default.
    Key& example(Json value) {
      key_.example = std::move(value);
      return *this;
    }
    /// Written even where it holds nothing.
    Key& always_written() {
      key_.is_always_written = true;
      return *this;
    }
    /// A narrower schema of the value than its kind has: what a check of the form sees to.
    Key& narrowed(Json schema) {
      schema_ = [narrow = std::move(schema)] { return narrow; };
      return *this;
    }
    /// The key is known only where that earlier key has one of these words.
    Key& only_with(std::string key, std::initializer_list<const char*> words) {
      key_.deciding_key = std::move(key);
      key_.deciding_words.assign(words.begin(), words.end());
      return *this;
    }

   private:
    KeySpec& key_;
    std::function<Json()>& schema_;
  };

  using Read = std::function<void(ObjectReader&, const KeySpec&, Spec&)>;
  using Write = std::function<Json(const Spec&)>;

  /// A key that is read and written in its own way. `value` is its JSON Schema or makes it: only who asks for it pays. What is written
  /// as null or empty is left out.
  template <class Schema>
  Key own(std::string_view name, std::string_view says, Schema value, Read read, Write write) {
    Field& field = fields_.emplace_back();
    field.key.name = name;
    field.key.says = says;
    if constexpr (std::is_invocable_v<Schema>) {
      field.schema = std::move(value);
    } else {
      field.schema = [made = Json(std::move(value))] { return made; };
    }
    field.read = std::move(read);
    field.write = std::move(write);
    return Key(field.key, field.schema);
  }

  template <class Member>
  Key number(std::string_view name, Member Spec::*member, Range range, std::string_view says) {
    return plain(name, member, says, number_schema(std::integral<typename form_values::Plain<Member>::Type>, range), range);
  }
  /// A list that is not empty.
  template <class Number>
  Key numbers(std::string_view name, std::vector<Number> Spec::*member, Range range, std::string_view says) {
    const auto make_schema = [range] {
      Json list = list_schema(number_schema(std::integral<Number>, range));
      list["minItems"] = 1;
      return list;
    };
    const auto read = [member, range](ObjectReader& reader, const KeySpec& key, Spec& spec) {
      if (!reader.optional(key.name, spec.*member, range) || !(spec.*member).empty()) return;
      reader.problems().error(reader.find(key.name)->place, "'" + key.name + "' is an empty list", "name a value, or remove it");
    };
    return own(name, says, make_schema, read, [member](const Spec& spec) { return Json(spec.*member); });
  }
  Key flag(std::string_view name, std::optional<bool> Spec::*member, std::string_view says) {
    return plain(name, member, says, {{"type", "boolean"}});
  }
  template <class Text>
  Key text(std::string_view name, Text Spec::*member, std::string_view says) {
    return plain(name, member, says, text_schema());
  }
  /// A list of texts.
  Key texts(std::string_view name, std::vector<std::string> Spec::*member, std::string_view says) {
    return plain(name, member, says, list_schema(text_schema()));
  }
  /// One text, or a list of them.
  Key text_or_texts(std::string_view name, std::vector<std::string> Spec::*member, std::string_view says) {
    const auto read = [member](ObjectReader& reader, const KeySpec& key, Spec& spec) {
      form_values::read_texts(reader, key, spec.*member);
    };
    return own(
        name, says, [] { return one_or_list_schema(text_schema()); }, read, [member](const Spec& spec) { return Json(spec.*member); });
  }
  /// A word that stands for an enumerator.
  template <class Enum, std::size_t N>
  Key word(std::string_view name, Enum Spec::*member, const std::array<core::Word<Enum>, N>& words, std::string_view says) {
    std::vector<std::string_view> names;
    for (const auto& [word, value] : words) names.push_back(word);
    const auto read = [member, words](ObjectReader& reader, const KeySpec& key, Spec& spec) {
      const std::span<const Choice<Enum>> choices(words);
      if (key.is_required) {
        reader.required_choice(key.name, spec.*member, choices);
      } else {
        reader.optional_choice(key.name, spec.*member, choices);
      }
    };
    return own(name, says, words_schema(names), read,
               [member, words](const Spec& spec) { return core::word_of(words, spec.*member); });
  }
  /// A text that is one of `names`.
  Key name(std::string_view name, std::string Spec::*member, std::vector<std::string_view> names, std::string_view says) {
    const Json words = words_schema(names);
    const auto read = [member, names = std::move(names)](ObjectReader& reader, const KeySpec& key, Spec& spec) {
      form_values::read_name(reader, key, spec.*member, names);
    };
    return own(name, says, words, read, [member](const Spec& spec) { return Json(spec.*member); });
  }
  /// An object with keys of its own. An optional one is made anew, another one is completed key by key.
  template <class Inner>
  Key object(std::string_view name, Inner Spec::*member, Form<typename form_values::Plain<Inner>::Type> form, std::string_view says) {
    const auto read = [member, form](ObjectReader& reader, const KeySpec& key, Spec& spec) {
      const Node* node = form_values::read_object(reader, key);
      if (node == nullptr) return;
      if constexpr (std::is_same_v<Inner, std::optional<typename form_values::Plain<Inner>::Type>>) {
        form.read(*node, reader.problems(), (spec.*member).emplace());
      } else {
        form.read(*node, reader.problems(), spec.*member);
      }
    };
    return own(
        name, says, [form] { return form.schema(); }, read,
        [member, form](const Spec& spec) {
          if constexpr (std::is_same_v<Inner, std::optional<typename form_values::Plain<Inner>::Type>>) {
            return spec.*member ? form.write(*(spec.*member)) : Json(nullptr);
          } else {
            return form.write(spec.*member);
          }
        });
  }
  /// An object whose keys are kept in this very Spec.
  Key section(std::string_view name, Form form, std::string_view says) {
    const auto read = [form](ObjectReader& reader, const KeySpec& key, Spec& spec) {
      if (const Node* node = form_values::read_object(reader, key)) form.read(*node, reader.problems(), spec);
    };
    return own(
        name, says, [form] { return form.schema(); }, read, [form](const Spec& spec) { return form.write(spec); });
  }
  /// A list of objects, which replaces the one that is there.
  template <class Inner>
  Key objects(std::string_view name, std::vector<Inner> Spec::*member, Form<Inner> form, std::string_view says) {
    const auto make_schema = [form] {
      Json list = list_schema(form.schema());
      list["minItems"] = 1;
      return list;
    };
    const auto read = [member, form](ObjectReader& reader, const KeySpec& key, Spec& spec) {
      if (!key.is_required && reader.find(key.name) == nullptr) return;
      (spec.*member).clear();
      for (const Node& item : reader.required_list(key.name)) form.read(item, reader.problems(), (spec.*member).emplace_back());
    };
    return own(name, says, make_schema, read, [member, form](const Spec& spec) {
      Json items = Json::array();
      for (const Inner& item : spec.*member) items.push_back(form.write(item));
      return items;
    });
  }

  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const Field& field : fields_) names.push_back(field.key.name);
    return names;
  }

  /// What is wrong with keys that are right one by one; asked while the reader can still say where they stand.
  void check(std::function<void(ObjectReader&, Spec&)> check) { checks_.push_back(std::move(check)); }

  /// Keys that are there replace what `spec` has.
  void read(const Node& node, Problems& problems, Spec& spec) const {
    ObjectReader reader(node, problems, name_);
    read(reader, spec);
  }
  void read(ObjectReader& reader, Spec& spec) const {
    for (const Field& field : fields_) {
      if (is_known(field.key, spec)) field.read(reader, field.key, spec);
    }
    for (const auto& check : checks_) check(reader, spec);
  }

  /// The keys with a value, in the form's order.
  [[nodiscard]] Json write(const Spec& spec) const {
    Json json = Json::object();
    for (const Field& field : fields_) {
      if (!is_known(field.key, spec)) continue;
      if (Json value = field.write(spec); field.key.is_always_written || !is_empty(value)) json[field.key.name] = std::move(value);
    }
    return json;
  }

  [[nodiscard]] Json schema() const {
    std::vector<KeySpec> keys;
    Json defaults = Json::object();
    for (const Field& field : fields_) {
      keys.push_back(field.key);
      keys.back().schema = field.schema();
      defaults[field.key.name] = field.write(Spec{});
    }
    return object_schema(keys, defaults);
  }

 private:
  struct Field {
    KeySpec key;
    std::function<Json()> schema;
    Read read;
    Write write;
  };

  template <class Member, class... More>
  Key plain(std::string_view name, Member Spec::*member, std::string_view says, Json schema, More... more) {
    const auto read = [member, more...](ObjectReader& reader, const KeySpec& key, Spec& spec) {
      if (key.is_required) {
        reader.required(key.name, spec.*member, more...);
      } else {
        reader.optional(key.name, spec.*member, more...);
      }
    };
    return own(name, says, std::move(schema), read, [member](const Spec& spec) { return form_values::json_of(spec.*member); });
  }

  [[nodiscard]] bool is_known(const KeySpec& key, const Spec& spec) const {
    if (key.deciding_words.empty()) return true;
    for (const Field& field : fields_) {
      if (field.key.name != key.deciding_key) continue;
      const Json word = field.write(spec);
      for (const std::string& known : key.deciding_words) {
        if (word == known) return true;
      }
    }
    return false;
  }

  std::string name_;
  std::vector<Field> fields_;
  std::vector<std::function<void(ObjectReader&, Spec&)>> checks_;
};

}  // namespace rooftune::text
