#pragma once

#include <string>
#include <string_view>

/// Names as serving tools write them.
namespace rooftune::importers {

/// The model's name in the id that a server or a benchmark gives: "openai/gpt-oss-120b" of a Hugging Face cache
/// (".../models--openai--gpt-oss-120b/snapshots/<hash>/"), the last parts of another path that look like a name, and every other id
/// as it is. Empty where a path names a place only ("/mnt/models").
[[nodiscard]] std::string model_name_of(std::string_view id);

}  // namespace rooftune::importers
