#include "rooftune/data/kernel_summary_file.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "rooftune/data/config_pieces.hpp"
#include "rooftune/text/document.hpp"
#include "rooftune/text/object_reader.hpp"

namespace rooftune::data {
namespace {

constexpr std::string_view kSummarySchema = "rooftune/kernel-efficiency/1";

/// GEMM calls of a layer: QKV, output, gate-up, down.
constexpr double kGemmCallsPerLayer = 4.0;

void read_values(const text::Node& object, kernels::KernelSummary& summary, text::Problems& problems) {
  for (const text::Member& member : object.members) {
    const auto id = read_parameter_id(member.key, member.place, problems);
    double value = 0.0;
    text::ObjectReader reader(member.value, problems, fmt::format("'{}'", member.key), text::OtherKeys::tolerate);
    reader.required("value", value, text::above(0));
    if (id) summary.values[member.key] = value;
  }
}

/// Shares on like shapes that say what a parameter is.
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kComparableShares{{
    {"weights", "physics.weight_bandwidth_fraction"},
    {"gemm_compute", "physics.gemm_fraction"},
    {"decode_attention", "physics.kv_bandwidth_fraction"},
    {"context_attention", "physics.prefill_attention_fraction"},
}};

void read_shares(const text::Node& object, std::string_view engine, kernels::KernelSummary& summary, text::Problems& problems) {
  const auto release = domain::find_release(engine);
  if (!release) return;
  text::ObjectReader reader(object, problems, "comparable shares", text::OtherKeys::tolerate);
  for (const auto& [key, id] : kComparableShares) {
    double share = 0.0;
    if (reader.optional(key, share, text::above(0))) summary.by_release[*release][std::string(id)] = share;
  }
}

/// The same for releases beside those of the tables that ship.
void read_other_release(const text::Node& object, std::vector<kernels::KernelSummary>& summaries, text::Problems& problems) {
  text::ObjectReader reader(object, problems, "'same_version_shares'", text::OtherKeys::tolerate);
  std::string engine;
  reader.optional("engine", engine);
  for (kernels::KernelSummary& summary : summaries) {
    if (const text::Node* shares = reader.optional_object(summary.gpu)) read_shares(*shares, engine, summary, problems);
  }
}

void read_gpu(const text::Node& object, kernels::KernelSummary& summary, text::Problems& problems) {
  text::ObjectReader reader(object, problems, fmt::format("the GPU '{}'", summary.gpu), text::OtherKeys::tolerate);
  std::string engine;
  reader.optional("engine", engine);
  if (const text::Node* shares = reader.optional_object("comparable_shares")) read_shares(*shares, engine, summary, problems);
  if (const text::Node* calls = reader.optional_object("per_call")) {
    text::ObjectReader call_reader(*calls, problems, "'per_call'", text::OtherKeys::tolerate);
    double gemm_us = 0.0;
    double attention_us = 0.0;
    const bool has_gemm = call_reader.optional("smallest_gemm_us", gemm_us, text::above(0));
    if (call_reader.optional("generation_attention_call_us", attention_us, text::above(0)) && has_gemm)
      summary.layer_calls_us = kGemmCallsPerLayer * gemm_us + attention_us;
  }
}

core::Result<std::vector<kernels::KernelSummary>> read(const text::Document& document) {
  text::Problems problems(document.file);
  std::vector<kernels::KernelSummary> summaries;
  {
    text::ObjectReader reader(document.root, problems, "an efficiency summary", text::OtherKeys::tolerate);
    std::string schema;
    if (reader.required("schema", schema) && schema != kSummarySchema) {
      problems.error(reader.find("schema")->place, fmt::format("the schema is '{}'", schema),
                     fmt::format("this version reads '{}'", kSummarySchema));
    }
    const text::Node* gpus = reader.required_object("gpus");
    if (const text::Node* priors = reader.required_object("physics_priors")) {
      for (const text::Member& member : priors->members) {
        kernels::KernelSummary& summary = summaries.emplace_back();
        summary.gpu = member.key;
        read_values(member.value, summary, problems);
        const text::Node* gpu = gpus == nullptr ? nullptr : gpus->find(member.key);
        if (gpu != nullptr) read_gpu(*gpu, summary, problems);
      }
    }
    if (const text::Node* other = reader.optional_object("same_version_shares")) read_other_release(*other, summaries, problems);
  }
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  return summaries;
}

}  // namespace

core::Result<std::vector<kernels::KernelSummary>> read_kernel_summaries(const std::filesystem::path& file) {
  return text::read_document(file).and_then(read);
}

}  // namespace rooftune::data
