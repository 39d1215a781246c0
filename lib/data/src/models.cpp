#include "rooftune/data/models.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <system_error>
#include <utility>

#include "model_form.hpp"
#include "rooftune/data/data_directory.hpp"

namespace rooftune::data {
namespace {

namespace fs = std::filesystem;
using domain::ModelSpec;

constexpr std::string_view kConfigName = "config.json";
constexpr std::string_view kGenerationConfigName = "generation_config.json";

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

core::Result<ModelSpec> read_huggingface(const fs::path& file) {
  const auto document = text::read_document(file);
  if (!document) return tl::unexpected(document.error());
  text::Problems problems(document->file);
  ModelSpec model = read_huggingface_model(document->root, problems);
  core::Diagnostics errors = problems.take_errors();
  const bool is_in_own_folder = file.filename() == kConfigName;
  model.name = is_in_own_folder ? fs::absolute(file).lexically_normal().parent_path().filename().string() : file.stem().string();
  model.source = file.string();
  const fs::path generation_config = file.parent_path() / kGenerationConfigName;
  if (is_in_own_folder && fs::exists(generation_config)) model.sampling = read_generation_config(generation_config, errors);
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  return model;
}

/// The files of one argument: itself, the config in it, or those of a folder of models, by name.
std::vector<fs::path> model_files(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return {path};
  if (fs::exists(path / kConfigName)) return {path / kConfigName};
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, fs::directory_options::skip_permission_denied)) {
    if (entry.is_directory() && fs::exists(entry.path() / kConfigName)) files.push_back(entry.path() / kConfigName);
    if (!entry.is_directory() && is_facts_file(entry.path())) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

core::Result<ModelSpec> read_model(const fs::path& path) {
  if (is_facts_file(path)) return read_facts(path);
  std::error_code ignored;
  return read_huggingface(fs::is_directory(path, ignored) ? path / kConfigName : path);
}

core::Result<std::vector<ModelSpec>> read_models(std::span<const fs::path> paths) {
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
