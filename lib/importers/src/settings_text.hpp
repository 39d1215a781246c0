#pragma once

#include <string>
#include <string_view>
#include <vector>

/// Settings as Python programs print them and as people type them: the pieces of log lines and command lines.
namespace rooftune::importers {

/// One setting; the value without its quotes.
struct SettingText {
  std::string name{};
  std::string value{};
};

/// Without the blanks around it.
[[nodiscard]] std::string_view trimmed(std::string_view text);

/// The pairs at the top level of a Python dict ('key': value) or call (key=value), from the start of `text` to the bracket that
/// closes it or to its end. Values that are dicts, lists or calls stay whole: their own keys are not settings of this level.
[[nodiscard]] std::vector<SettingText> python_settings(std::string_view text);

/// The options of a command line: --max-num-seqs 256, --max-num-seqs=256, -tp 2, --enable-lora; names with '_' for '-', numbers in
/// a row as one value, and a flag without a value is "True", with a leading "no-" "False" under its plain name. The words before the
/// first option are left out.
[[nodiscard]] std::vector<SettingText> command_line_settings(std::string_view text);

/// The value of `name` in the text of a dict or a call, wherever it is nested, or an empty text.
[[nodiscard]] std::string nested_setting(std::string_view text, std::string_view name);

}  // namespace rooftune::importers
