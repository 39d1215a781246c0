#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <sstream>

#include "rooftune/text/form.hpp"
#include "rooftune/text/yaml_text.hpp"

namespace rooftune::text {
namespace {

/// Braces and their content stand on one line up to this length.
constexpr std::size_t kFlowWidth = 110;

std::string block(const Json& object, std::size_t indent);

/// What stands behind `key:` or `-`: on the same line, or on lines of their own.
std::string behind(const Json& value, std::size_t indent) {
  const std::string flow = yaml_flow(value);
  const bool holds_objects =
      value.is_object() || (value.is_array() && std::ranges::any_of(value, [](const Json& item) { return item.is_structured(); }));
  if (!holds_objects || value.empty() || flow.size() <= kFlowWidth) return " " + flow + "\n";
  return "\n" + block(value, indent + 2);
}

/// Members or items, each on lines of its own.
std::string block(const Json& value, std::size_t indent) {
  std::string text;
  if (value.is_object()) {
    for (const auto& [key, member] : value.items()) {
      text += fmt::format("{:{}}{}:{}", "", indent, yaml_text::scalar(key), behind(member, indent));
    }
    return text;
  }
  for (const Json& item : value) {
    const std::string flow = yaml_flow(item);
    if (!item.is_object() || flow.size() <= kFlowWidth) {
      text += fmt::format("{:{}}- {}\n", "", indent, flow);
    } else {
      std::string members = block(item, indent + 2);
      members[indent] = '-';
      text += members;
    }
  }
  return text;
}

/// Column at which comments behind values begin, and the last one of a line.
constexpr std::size_t kCommentColumn = 44;
constexpr std::size_t kLastColumn = 132;

/// `text` in lines of at most `width`, broken at blanks.
std::vector<std::string> wrapped(const std::string& text, std::size_t width) {
  std::vector<std::string> lines;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (!lines.empty() && lines.back().size() + 1 + word.size() <= width) {
      lines.back() += " " + word;
    } else {
      lines.push_back(word);
    }
  }
  return lines;
}

class Template {
 public:
  Template(const Json& root, const std::vector<std::string_view>& shown) : root_(root), shown_(shown) {}

  std::string text() {
    add_members(root_, "", 0, false);
    return text_;
  }

 private:
  void add_members(const Json& schema, const std::string& path, std::size_t indent, bool is_out) {
    const auto required = schema.value("required", std::vector<std::string>{});
    for (const auto& [name, property] : schema.at("properties").items()) {
      const std::string own_path = path.empty() ? name : path + "." + name;
      const bool is_shown = std::ranges::find(shown_, own_path) != shown_.end() || std::ranges::find(required, name) != required.end();
      if (property.contains("properties") && !property.contains("examples")) {
        if (indent == 0) text_ += "\n";
        add_line(indent, is_out || !is_shown, fmt::format("{}:", yaml_text::scalar(name)), said_by(property));
        add_members(property, own_path, indent + 2, is_out || !is_shown);
      } else {
        const bool stays_out = !property.contains("default") || is_decided_elsewhere(schema, name);
        add_value(name, property, indent, is_out || (stays_out && !is_shown));
      }
    }
  }

  void add_value(const std::string& name, const Json& schema, std::size_t indent, bool is_out) {
    Json value = schema.value("default", Json(nullptr));
    if (value.is_null() && schema.contains("examples")) value = schema.at("examples").front();
    const std::string key = yaml_text::scalar(name);
    const bool is_long_list = value.is_array() && indent == 0 && !value.empty();
    if (indent == 0 && value.is_structured()) text_ += "\n";
    if (!is_long_list) {
      add_line(indent, is_out, value.is_null() ? key + ":" : fmt::format("{}: {}", key, yaml_flow(value)), said_by(schema));
      return;
    }
    add_line(indent, is_out, key + ":", said_by(schema));
    const Json& items = resolved(schema.at("items"));
    for (const Json& item : value) add_line(indent + 2, is_out, "- " + yaml_flow(item), meaning_of(item, items));
  }

  /// The definition that a schema refers to, or itself.
  [[nodiscard]] const Json& resolved(const Json& schema) const {
    const auto reference = schema.find("$ref");
    return reference == schema.end() ? schema : root_.at(Json::json_pointer(reference->get<std::string>().substr(1)));
  }

  /// What the alternatives of a schema say about a value.
  [[nodiscard]] std::string meaning_of(const Json& value, const Json& schema) const {
    if (!schema.contains("anyOf")) return "";
    for (const Json& alternative : schema.at("anyOf")) {
      const Json& known = resolved(alternative);
      if (known.contains("const") && known.at("const") == value) return known.value("description", "");
      if (std::string meaning = meaning_of(value, known); !meaning.empty()) return meaning;
    }
    return "";
  }

  [[nodiscard]] static bool is_decided_elsewhere(const Json& schema, const std::string& name) {
    const auto rules = schema.find("allOf");
    return rules != schema.end() && std::ranges::any_of(*rules, [&](const Json& rule) {
             return rule.contains("else") && rule.at("else").contains("properties") && rule.at("else").at("properties").contains(name);
           });
  }

  /// The sentence, and the words to choose from.
  [[nodiscard]] static std::string said_by(const Json& schema) {
    std::string says = schema.value("description", "");
    if (!schema.contains("enum")) return says;
    std::vector<std::string> words;
    for (const Json& word : schema.at("enum")) words.push_back(word.get<std::string>());
    return fmt::format("{}{}{}", fmt::join(words, ", "), says.empty() ? "" : ": ", says);
  }

  void add_line(std::size_t indent, bool is_out, const std::string& entry, const std::string& comment) {
    std::string line = fmt::format("{}{:{}}{}", is_out ? "# " : "", "", indent, entry);
    if (comment.empty()) {
      text_ += line + "\n";
      return;
    }
    if (line.size() + 2 > kCommentColumn) {
      for (const std::string& part : wrapped(comment, kLastColumn - indent - 4)) {
        text_ += fmt::format("{}{:{}}# {}\n", is_out ? "# " : "", "", indent, part);
      }
      text_ += line + "\n";
      return;
    }
    for (const std::string& part : wrapped(comment, kLastColumn - kCommentColumn)) {
      text_ += fmt::format("{:<{}}# {}\n", line, kCommentColumn, part);
      line.clear();
    }
  }

  const Json& root_;
  const std::vector<std::string_view>& shown_;
  std::string text_;
};

}  // namespace

std::string yaml_flow(const Json& value) {
  std::vector<std::string> parts;
  if (value.is_object()) {
    for (const auto& [key, member] : value.items()) parts.push_back(fmt::format("{}: {}", yaml_text::scalar(key), yaml_flow(member)));
    return fmt::format("{{{}}}", fmt::join(parts, ", "));
  }
  if (value.is_array()) {
    for (const Json& item : value) parts.push_back(yaml_flow(item));
    return fmt::format("[{}]", fmt::join(parts, ", "));
  }
  if (value.is_string()) return yaml_text::scalar(value.get_ref<const std::string&>());
  // Doubles as everywhere else: the shortest text that reads back as the same bits.
  return value.is_number_float() ? fmt::format("{}", value.get<double>()) : value.dump();
}

std::string yaml_block(const Json& object) {
  std::string text;
  for (const auto& [key, member] : object.items()) {
    text += member.is_object() && !member.empty() ? fmt::format("{}:\n{}", yaml_text::scalar(key), block(member, 2))
                                                  : fmt::format("{}:{}", yaml_text::scalar(key), behind(member, 0));
  }
  return text;
}

std::string yaml_template(const Json& schema, const std::vector<std::string_view>& shown) { return Template(schema, shown).text(); }

}  // namespace rooftune::text
