#include "show_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/data/data_directory.hpp"
#include "rooftune/data/models.hpp"
#include "rooftune/latency/operators.hpp"
#include "rooftune/report/text_table.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

namespace fs = std::filesystem;
using domain::ModelSpec;
using report::Align;
using report::TextTable;

std::string stored_text(const domain::Stored& stored) {
  return fmt::format("{} ({:.4g} B)", domain::weight_format_name(stored.format), stored.bytes);
}

std::string mixer_text(const domain::Mixer& mixer) {
  if (mixer.linear) {
    return fmt::format("{}, {} heads, state {} x {}", domain::linear_kind_name(mixer.linear->kind), mixer.linear->heads,
                       mixer.linear->key_dim, mixer.linear->value_dim);
  }
  if (mixer.kind == domain::MixerKind::none) return "-";
  std::string text = fmt::format("{}{}, {} heads", mixer.sparse ? "sparse " : "", domain::mixer_kind_name(mixer.kind), mixer.heads);
  if (mixer.latent) {
    text += fmt::format(", latent {} + {}", mixer.latent->kv_rank, mixer.latent->rope_head_dim);
  } else {
    text += fmt::format(", {} KV heads of {}", mixer.kv_heads, mixer.head_dim);
  }
  if (mixer.window > 0) text += fmt::format(", {} tokens", mixer.window);
  if (mixer.sparse && mixer.sparse->tokens_per_entry > 1) text += fmt::format(", {} tokens an entry", mixer.sparse->tokens_per_entry);
  if (mixer.sparse && mixer.sparse->attended_entries > 0) text += fmt::format(", the best {} entries", mixer.sparse->attended_entries);
  return text;
}

std::string ffn_text(const domain::Ffn& ffn) {
  if (ffn.is_none()) return "-";
  std::string text;
  if (ffn.width > 0) text = fmt::format("{}dense {}", ffn.gated ? "gated " : "", ffn.width);
  if (ffn.experts) {
    text += fmt::format("{}{} of {} experts of {}", text.empty() ? "" : ", ", ffn.experts->per_token, ffn.experts->count,
                        ffn.experts->width);
    if (ffn.shared_width > 0) text += fmt::format(", shared {}", ffn.shared_width);
  }
  return text;
}

std::string layer_table(const ModelSpec& model, report::Colour colour) {
  TextTable table({{"layers"},
                   {"mixer", Align::left},
                   {"FFN", Align::left},
                   {"KV bytes\nper token"},
                   {"kept\ntokens", Align::left},
                   {"state\nMB"}});
  for (const auto& [count, layer] : model.groups) {
    const auto kept = domain::kv_kept(layer.mixer, model.kv_cache_bytes);
    double all_tokens = 0.0;
    std::string tokens;
    for (const domain::KvKept& part : kept) {
      all_tokens += part.bytes_per_token;
      tokens += fmt::format("{}{}", tokens.empty() ? "" : ", ", part.window > 0 ? fmt::format("{}", part.window) : "all");
    }
    const double state = layer.mixer.linear ? domain::state_bytes_per_request(*layer.mixer.linear) : 0.0;
    table.add({fmt::format("{}", count), mixer_text(layer.mixer), ffn_text(layer.ffn),
               kept.empty() ? "-" : fmt::format("{:g}", count * all_tokens), kept.empty() ? "-" : tokens,
               state > 0.0 ? fmt::format("{:.2f}", 1e-6 * count * state) : "-"});
  }
  return table.text(colour);
}

/// Products of one name, shape and format together, in the order in which they first occur.
std::vector<latency::Gemm> merged(const std::vector<latency::Gemm>& gemms) {
  std::vector<latency::Gemm> result;
  for (const latency::Gemm& gemm : gemms) {
    const auto found = std::ranges::find_if(result, [&](const latency::Gemm& other) {
      return other.name == gemm.name && other.n == gemm.n && other.k == gemm.k && other.stored == gemm.stored;
    });
    if (found == result.end()) {
      result.push_back(gemm);
    } else {
      found->count += gemm.count;
    }
  }
  return result;
}

/// The matrix products of one GPU.
std::string product_table(const latency::Operators& operators, report::Colour colour) {
  TextTable table({{"product", Align::left}, {"a step"}, {"n"}, {"k"}, {"weights", Align::left}, {"GB"}});
  for (const latency::Gemm& gemm : merged(operators.gemms)) {
    table.add({gemm.name, fmt::format("{:g}", gemm.count), fmt::format("{}", gemm.n), fmt::format("{}", gemm.k),
               stored_text(gemm.stored), fmt::format("{:.3f}", 1e-9 * gemm.count * gemm.elements() * gemm.stored.bytes)});
  }
  for (const latency::ExpertLayer& layer : operators.experts) {
    const double elements = layer.count * static_cast<double>(layer.experts) * layer.elements() / (layer.tp * layer.ep);
    table.add({fmt::format("{} experts, {} a token", layer.experts, layer.per_token), fmt::format("{:g}", layer.count),
               fmt::format("{}", layer.width_on_gpu()), fmt::format("{}", layer.inputs), stored_text(layer.stored),
               fmt::format("{:.3f}", 1e-9 * elements * layer.stored.bytes)});
  }
  return table.text(colour);
}

std::string other_table(const latency::Operators& operators, report::Colour colour) {
  TextTable table({{"other operators", Align::left}, {"a step"}, {"size", Align::left}});
  for (const latency::Attention& attention : operators.attentions) {
    std::string reads;
    for (const latency::ContextRead& read : attention.reads) {
      reads += fmt::format("{}{:g} B per {}", reads.empty() ? "" : "; ", read.bytes,
                           read.tokens_per_entry > 1 ? fmt::format("{} tokens", read.tokens_per_entry) : "token of context");
      if (read.is_limited()) reads += fmt::format(", {} {}", read.restarts ? "chunks of" : "at most", read.most);
    }
    table.add({std::string(domain::mixer_kind_name(attention.kind)), fmt::format("{:g}", attention.count),
               fmt::format("{} heads, {} KV heads; {}", attention.heads, attention.kv_heads, reads)});
  }
  for (const latency::StateUpdate& state : operators.states) {
    table.add({std::string(domain::linear_kind_name(state.linear.kind)), fmt::format("{:g}", state.count),
               fmt::format("{:g} B per sequence", state.bytes_per_sequence)});
  }
  for (const latency::Collective& collective : operators.collectives) {
    table.add({"all-reduce", fmt::format("{:g}", collective.count),
               fmt::format("{} ranks, {:g} B per token", collective.ranks, collective.bytes_per_token)});
  }
  table.add({"norms, gates, positions", "1", fmt::format("{:g} B per token", operators.element_wise_bytes_per_token)});
  return table.text(colour);
}

core::Result<ModelSpec> find(const std::string& wanted, const DataOptions& data) {
  std::error_code ignored;
  if (fs::exists(wanted, ignored)) return data::read_model(wanted);
  const auto folder = data::data_directory();
  if (!folder) return tl::unexpected(folder.error());
  std::vector<fs::path> paths{*folder / "configs" / "models"};
  paths.insert(paths.end(), data.models.begin(), data.models.end());
  std::vector<data::UnreadableModel> set_aside;
  const auto models = data::read_models(paths, &set_aside);
  if (!models) return tl::unexpected(models.error());
  if (const ModelSpec* model = domain::find_model(*models, wanted)) return *model;
  for (const data::UnreadableModel& unreadable : set_aside) {
    if (domain::names_model(wanted, unreadable.name)) return tl::unexpected(unreadable.problems);
  }
  std::vector<std::string_view> names;
  for (const ModelSpec& model : *models) names.push_back(model.name);
  return core::fail({}, fmt::format("unknown model '{}'", wanted), core::suggest(wanted, names) + ", or give its file");
}

}  // namespace

ExitCode show_model(const ShowModelOptions& options, const DataOptions& data) {
  const auto model = find(options.model, data);
  if (!model) return refuse(model.error());
  domain::Deployment deployment;
  deployment.model = model->name;
  deployment.tp = options.tp;
  deployment.settings.max_model_len = std::max(model->max_positions, deployment.settings.max_model_len);
  const latency::Operators operators = latency::operators_of(*model, deployment);
  const domain::ParameterCount parameters = domain::count_parameters(*model);
  const report::Colour colour = output_colour();
  print(fmt::format("{}{}\n{:.4g} billion parameters ({:.3g} active), {:.1f} GB of weights, hidden size {}, vocabulary {}\n",
                    model->name, model->architecture.empty() ? "" : ": " + model->architecture, parameters.total * 1e-9,
                    parameters.active * 1e-9, domain::resident_weight_bytes(*model) * 1e-9, model->hidden, model->vocabulary));
  print("\nLayers\n" + layer_table(*model, colour));
  print(fmt::format("KV cache: {:g} bytes per token before any window cuts, {:g} bytes per element; state: {:.1f} MB per request\n",
                    domain::kv_bytes_per_token(*model), model->kv_cache_bytes, domain::state_bytes_per_request(*model) * 1e-6));
  print(fmt::format("\nOne of {} GPU{}: {:.2f} GB of weights\n", options.tp, options.tp == 1 ? "" : "s",
                    latency::weight_bytes_of_one_gpu(*model, deployment) * 1e-9));
  print(product_table(operators, colour) + "\n" + other_table(operators, colour));
  core::Diagnostics notes;
  for (const std::string& note : model->notes) {
    notes.push_back({.position = {.file = model->source}, .problem = note, .remedy = "", .severity = core::Severity::warning});
  }
  print_errors(notes);
  return ExitCode::done;
}

}  // namespace rooftune::app
