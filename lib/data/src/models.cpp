#include "rooftune/data/models.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "model_form.hpp"
#include "rooftune/data/data_directory.hpp"
#include "rooftune/text/files.hpp"

namespace rooftune::data {
namespace {

namespace fs = std::filesystem;
using domain::ModelSpec;

constexpr std::string_view kConfigName = "config.json";
constexpr std::string_view kGenerationConfigName = "generation_config.json";
constexpr std::string_view kQuantizationName = "hf_quant_config.json";
constexpr std::string_view kCachePrefix = "models--";
constexpr std::string_view kSnapshots = "snapshots";

bool is_facts_file(const fs::path& path) { return path.extension() == ".yaml" || path.extension() == ".yml"; }

/// vLLM applies the file's values to requests that set none, whatever its `do_sample` says.
std::optional<domain::DefaultSampling> read_generation_config(const fs::path& file, core::Diagnostics& errors) {
  const auto document = text::read_document(file);
  if (!document) {
    std::ranges::copy(document.error(), std::back_inserter(errors));
    return std::nullopt;
  }
  domain::DefaultSampling sampling{.temperature = {}, .top_p = {}, .top_k = {}, .source = std::string(kGenerationConfigName)};
  text::Problems problems(document->file);
  {
    text::ObjectReader reader(document->root, problems, "a generation config", text::OtherKeys::tolerate);
    reader.optional("temperature", sampling.temperature, text::at_least(0));
    reader.optional("top_p", sampling.top_p, text::above_up_to(0, 1));
    reader.optional("top_k", sampling.top_k, text::at_least(-1));
  }
  std::ranges::move(problems.take_errors(), std::back_inserter(errors));
  return sampling;
}

core::Result<ModelSpec> read_facts(const fs::path& file) {
  const auto document = text::read_document(file);
  if (!document) return tl::unexpected(document.error());
  text::Problems problems(document->file);
  ModelSpec model = read_model_facts(document->root, problems);
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  return model;
}

/// Python writes numbers that JSON does not have (Infinity, NaN). Nothing here asks for them: they become nulls, in as many
/// characters, so that every place in the file stays what it is.
std::string without_python_numbers(std::string text) {
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && in_string) {
      ++i;
    } else if (text[i] == '"') {
      in_string = !in_string;
    } else if (!in_string) {
      for (const std::string_view word : {"-Infinity", "Infinity", "NaN"}) {
        if (!text.substr(i, word.size()).starts_with(word)) continue;
        // "NaN" has no room for null: an empty text, which is no number either.
        std::string replacement = word == "NaN" ? "\"\"" : "null";
        replacement.resize(word.size(), ' ');
        text.replace(i, word.size(), replacement);
      }
    }
  }
  return text;
}

core::Result<text::Document> read_config_document(const fs::path& file) {
  return text::read_text(file).and_then([&](std::string text) -> core::Result<text::Document> {
    return text::parse_document(without_python_numbers(std::move(text)), file.string(), text::Syntax::json);
  });
}

/// "models--meta-llama--Llama-2-7b-hf" of a Hugging Face cache, without its organisation.
std::string name_in_cache(const std::string& folder) {
  const std::size_t name = folder.find("--", kCachePrefix.size());
  return name == std::string::npos ? folder : folder.substr(name + 2);
}

std::string name_of(const fs::path& file) {
  if (file.filename() != kConfigName) return file.stem().string();
  const fs::path folder = text::absolute(file).parent_path();
  if (folder.parent_path().filename() == kSnapshots) return name_in_cache(folder.parent_path().parent_path().filename().string());
  return folder.filename().string();
}

core::Result<ModelSpec> read_huggingface(const fs::path& file) {
  const auto document = read_config_document(file);
  if (!document) return tl::unexpected(document.error());
  const bool is_in_own_folder = file.filename() == kConfigName;
  std::optional<text::Document> side_file;
  if (const fs::path path = file.parent_path() / kQuantizationName; is_in_own_folder && text::exists(path)) {
    auto quantization = read_config_document(path);
    if (!quantization) return tl::unexpected(quantization.error());
    side_file = *std::move(quantization);
  }
  text::Problems problems(document->file);
  ModelSpec model = read_huggingface_model(document->root, side_file ? &*side_file : nullptr, problems);
  core::Diagnostics errors = problems.take_errors();
  model.name = name_of(file);
  model.source = file.string();
  const fs::path generation_config = file.parent_path() / kGenerationConfigName;
  if (is_in_own_folder && text::exists(generation_config)) model.sampling = read_generation_config(generation_config, errors);
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  return model;
}

/// The config of a model in a Hugging Face cache: of the revision that `main` was at, else of the last by name. Empty without one.
fs::path config_in_cache(const fs::path& model) {
  std::error_code ignored;
  if (const auto revision = text::read_text(model / "refs" / "main")) {
    fs::path config = model / kSnapshots / revision->substr(0, revision->find_first_of(" \r\n")) / kConfigName;
    if (text::exists(config)) return config;
  }
  fs::path last;
  for (const fs::path& entry : text::entries_of(model / kSnapshots, ignored)) {
    if (text::exists(entry / kConfigName)) last = entry / kConfigName;
  }
  return last;
}

bool is_cached_model(const fs::path& path) { return path.filename().string().starts_with(kCachePrefix); }

/// The files of one argument: itself, the config in it, or those of a folder of models, by name.
std::vector<fs::path> model_files(const fs::path& path) {
  std::error_code ignored;
  if (!text::is_folder(path)) return {path};
  if (text::exists(path / kConfigName)) return {path / kConfigName};
  std::vector<fs::path> files;
  const auto add_cached = [&](const fs::path& model) {
    if (fs::path config = config_in_cache(model); !config.empty()) files.push_back(std::move(config));
  };
  if (is_cached_model(text::absolute(path))) add_cached(path);
  for (const fs::path& entry : text::entries_of(path, ignored)) {  // none where the folder cannot be read
    const bool is_folder = text::is_folder(entry);
    if (is_folder && is_cached_model(entry)) {
      add_cached(entry);
    } else if (is_folder && text::exists(entry / kConfigName)) {
      files.push_back(entry / kConfigName);
    } else if (!is_folder && is_facts_file(entry)) {
      files.push_back(entry);
    }
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

core::Result<ModelSpec> read_model(const fs::path& path) {
  if (is_facts_file(path)) return read_facts(path);
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return read_huggingface(path);
  const std::vector<fs::path> files = model_files(path);
  return read_huggingface(files.size() == 1 ? files.front() : path / kConfigName);
}

core::Result<std::vector<ModelSpec>> read_models(std::span<const fs::path> paths, std::vector<UnreadableModel>* set_aside) {
  std::vector<ModelSpec> models;
  core::Diagnostics errors;
  for (const fs::path& path : paths) {
    const std::vector<fs::path> files = model_files(path);
    if (files.empty()) {
      errors.push_back({.position = {.file = path.string()},
                        .problem = "the folder holds no model",
                        .remedy = "it needs folders with a config.json, or facts as .yaml files"});
    }
    for (const fs::path& file : files) {
      auto model = read_model(file);
      if (!model && set_aside != nullptr && files.size() > 1) {
        set_aside->push_back({.name = name_of(file), .problems = std::move(model.error())});
        continue;
      }
      if (!model) {
        std::ranges::move(model.error(), std::back_inserter(errors));
        continue;
      }
      std::erase_if(models, [&](const ModelSpec& other) { return domain::find_model({other}, model->name) != nullptr; });
      models.push_back(*std::move(model));
    }
  }
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  return models;
}

core::Result<std::vector<ModelSpec>> default_models() {
  return data_directory().and_then([](const fs::path& folder) { return read_models(std::array{folder / "configs" / "models"}); });
}

}  // namespace rooftune::data
