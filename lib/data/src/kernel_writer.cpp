#include "rooftune/data/kernel_writer.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>

#include "rooftune/core/hash.hpp"
#include "rooftune/text/csv_text.hpp"
#include "rooftune/text/json_pieces.hpp"
#include "rooftune/text/json_text.hpp"

namespace rooftune::data {
namespace {

using kernels::AllReduceRow;
using kernels::AttentionRow;
using kernels::GemmRow;
using kernels::MoeRow;
using kernels::NumberFormat;

/// Of the keys of linear attention (Mamba-2: of its state), and of the values of all but Mamba-2, as all its models have it.
constexpr int kLinearHeadDim = 128;
constexpr int kMambaHeadDim = 64;
int value_head_dim(const kernels::LinearAttentionRow& row) { return row.op == "mamba2" ? kMambaHeadDim : kLinearHeadDim; }

std::string_view flag(double streaming_fraction, std::string_view name) {
  return streaming_fraction > kernels::kPeakTolerance ? name : std::string_view{};
}

std::string engine_text(const kernels::MeasuredKernels& kernels) { return kernels.engine.empty() ? "unknown" : kernels.engine; }
/// The row's own release, where it names one.
std::string engine_text(const std::string& engine, const kernels::MeasuredKernels& kernels) {
  return engine.empty() ? engine_text(kernels) : engine;
}
/// Why the row is not what an engine runs, or what its rate says.
std::string_view flag(const std::string& own, double streaming_fraction, std::string_view name) {
  return own.empty() ? flag(streaming_fraction, name) : std::string_view(own);
}

/// Shares of the peaks that a row reaches, as bench_data/README.md defines them.
class Shares {
 public:
  explicit Shares(const domain::GpuSpec& gpu) : gpu_(gpu) {}

  [[nodiscard]] double compute(double flops, double latency_us, NumberFormat format) const {
    return kernels::achieved_fraction(flops, latency_us, format, gpu_);
  }
  [[nodiscard]] double streaming(double bytes, double latency_us) const {
    return bytes / core::bytes_per_us(gpu_.hbm_bandwidth) / latency_us;
  }
  [[nodiscard]] double link(const AllReduceRow& row) const {
    const auto ranks = static_cast<double>(row.ranks);
    // What every rank must send in a ring.
    const double bus_bytes = 2.0 * (ranks - 1.0) / ranks * static_cast<double>(row.message_bytes);
    return bus_bytes / core::bytes_per_us(gpu_.link_bandwidth) / row.latency_us;
  }

 private:
  const domain::GpuSpec& gpu_;
};

/// Causal for one new token as well: each meets the context before the chunk and on average half of the chunk.
double context_flops(const AttentionRow& row) {
  const double pairs = kernels::attention_pairs(static_cast<double>(row.new_tokens), static_cast<double>(row.kv_tokens),
                                                static_cast<double>(row.window));
  return 4.0 * static_cast<double>(row.batch * row.shape.heads * row.shape.head_dim) * pairs;
}

/// Queries in and output out at 16 bits, beside the keys and values.
double context_bytes(const AttentionRow& row) {
  return 4.0 * static_cast<double>(row.batch * row.new_tokens * row.shape.heads * row.shape.head_dim) + kernels::kv_bytes(row);
}

std::string gemm_csv(const kernels::MeasuredKernels& kernels, const Shares& shares) {
  std::string text = "dtype,m,n,k,latency_us,mfu,achieved_fraction,flag,engine\n";
  for (const GemmRow& row : kernels.gemms) {
    const NumberFormat format = row.format.value_or(NumberFormat::bf16);
    const double mfu = shares.compute(kernels::flops(row), row.latency_us, format);
    const double streaming = shares.streaming(kernels::weight_bytes(row), row.latency_us);
    text += fmt::format("{},{},{},{},{},{:.4g},{:.4g},{},{}\n", row.format ? kernels::format_name(format) : "", row.m, row.n, row.k,
                        row.latency_us, mfu, std::max(mfu, streaming), flag(row.flag, streaming, "over_bw_l2"),
                        engine_text(row.engine, kernels));
  }
  return text;
}

std::string context_csv(const kernels::MeasuredKernels& kernels, const Shares& shares) {
  std::string text =
      "dtype,kv_dtype,batch,seq_len,kv_len,heads,kv_heads,head_dim,window,latency_us,mfu,achieved_fraction,flag,engine\n";
  for (const AttentionRow& row : kernels.context_attention) {
    const double mfu = shares.compute(context_flops(row), row.latency_us, row.format);
    const double streaming = shares.streaming(context_bytes(row), row.latency_us);
    text += fmt::format("{},{},{},{},{},{},{},{},{},{},{:.4g},{:.4g},{},{}\n", kernels::format_name(row.format),
                        kernels::format_name(row.kv_format), row.batch, row.new_tokens, row.kv_tokens, row.shape.heads,
                        row.shape.kv_heads, row.shape.head_dim, row.window, row.latency_us, mfu, std::max(mfu, streaming),
                        flag(row.flag, streaming, "over_bw_l2"), engine_text(kernels));
  }
  return text;
}

std::string generation_csv(const kernels::MeasuredKernels& kernels, const Shares& shares) {
  std::string text = "dtype,kv_dtype,batch,kv_len,heads,kv_heads,head_dim,window,latency_us,achieved_fraction,flag,engine\n";
  for (const AttentionRow& row : kernels.generation_attention) {
    const double streaming = shares.streaming(kernels::kv_bytes(row), row.latency_us);
    text +=
        fmt::format("{},{},{},{},{},{},{},{},{},{:.4g},{},{}\n", kernels::format_name(row.format), kernels::format_name(row.kv_format),
                    row.batch, row.kv_tokens, row.shape.heads, row.shape.kv_heads, row.shape.head_dim, row.window, row.latency_us,
                    streaming, flag(row.flag, streaming, "over_bw_l2"), engine_text(kernels));
  }
  return text;
}

std::string all_reduce_csv(const kernels::MeasuredKernels& kernels, const Shares& shares) {
  std::string text = "kind,mode,dtype,ranks,bytes,latency_us,repeats,achieved_fraction,flag,engine\n";
  for (const AllReduceRow& row : kernels.all_reduces) {
    const double link = shares.link(row);
    text += fmt::format("{},{},bf16,{},{},{},1,{:.4g},{},{}\n", row.kind.empty() ? "fastest" : row.kind,
                        row.kind == "nccl" ? "nccl-tests" : "graph", row.ranks, row.message_bytes, row.latency_us, link,
                        flag(link, "over_link"), engine_text(row.engine, kernels));
  }
  return text;
}

std::string moe_csv(const kernels::MeasuredKernels& kernels, const Shares& shares) {
  std::string text =
      "dtype,num_tokens,hidden,inter,topk,experts,tp,ep,distribution,latency_us,mfu,achieved_fraction,kernel,flag,engine\n";
  for (const MoeRow& row : kernels.moes) {
    const double chosen = static_cast<double>(row.tokens * row.experts_per_token);
    const double expert_elements = 3.0 * static_cast<double>(row.hidden * row.ffn_width) / static_cast<double>(row.tp);
    const auto expert_ranks = static_cast<double>(row.ep);
    const double mfu = shares.compute(2.0 * chosen * expert_elements / expert_ranks, row.latency_us, row.format);
    // Only balanced routing tells how many experts are read: every token reaches new ones until there are none left.
    std::optional<double> streaming;
    if (row.routing == "balanced") {
      const double distinct = std::min(static_cast<double>(row.experts), chosen) / expert_ranks;
      streaming = shares.streaming(distinct * expert_elements * kernels::bytes_per_element(row.format), row.latency_us);
    }
    text += fmt::format("{},{},{},{},{},{},{},{},{},{},{:.4g},{},{},{},{}\n", kernels::format_name(row.format), row.tokens, row.hidden,
                        row.ffn_width, row.experts_per_token, row.experts, row.tp, row.ep, row.routing, row.latency_us, mfu,
                        streaming ? fmt::format("{:.4g}", std::max(mfu, *streaming)) : "", row.kernel,
                        flag(row.flag, streaming.value_or(0.0), "over_bw_l2"), engine_text(kernels));
  }
  return text;
}

std::string latent_context_csv(const kernels::MeasuredKernels& kernels, const Shares& /*shares*/) {
  std::string text = "dtype,compute_dtype,kv_dtype,batch,seq_len,kv_len,heads,latency_us,kernel,flag,engine\n";
  for (const kernels::LatentAttentionRow& row : kernels.latent_context) {
    text += fmt::format("{},{},{},{},{},{},{},{},,{},{}\n", kernels::format_name(row.format), kernels::format_name(row.compute_format),
                        kernels::format_name(row.kv_format), row.batch, row.new_tokens, row.kv_tokens, row.heads, row.latency_us,
                        row.flag, engine_text(kernels));
  }
  return text;
}

std::string latent_generation_csv(const kernels::MeasuredKernels& kernels, const Shares& /*shares*/) {
  std::string text = "dtype,kv_dtype,batch,kv_len,heads,latency_us,kernel,flag,engine\n";
  for (const kernels::LatentAttentionRow& row : kernels.latent_generation) {
    text += fmt::format("{},{},{},{},{},{},,{},{}\n", kernels::format_name(row.format), kernels::format_name(row.kv_format), row.batch,
                        row.kv_tokens, row.heads, row.latency_us, row.flag, engine_text(kernels));
  }
  return text;
}

std::string linear_attention_csv(const kernels::MeasuredKernels& kernels, const Shares& /*shares*/) {
  std::string text = "op,phase,part,batch,seq_len,k_heads,v_heads,latency_us,flag,engine\n";
  for (const kernels::LinearAttentionRow& row : kernels.linear_attention) {
    text += fmt::format("{},{},{},{},{},{},{},{},{},{}\n", row.op, row.phase, row.part, row.batch, row.new_tokens, row.key_heads,
                        row.value_heads, row.latency_us, row.flag, engine_text(kernels));
  }
  return text;
}

std::string sparse_attention_csv(const kernels::MeasuredKernels& kernels, const Shares& /*shares*/) {
  std::string text = "op,model,phase,kv_dtype,batch,seq_len,kv_len,heads,tp,latency_us,kernel,flag,engine\n";
  for (const kernels::SparseAttentionRow& row : kernels.sparse_attention) {
    text += fmt::format("{},{},{},{},{},{},{},{},{},{},,{},{}\n", row.op, row.model, row.phase, kernels::format_name(row.kv_format),
                        row.batch, row.new_tokens, row.kv_tokens, row.heads, row.tp, row.latency_us, row.flag, engine_text(kernels));
  }
  return text;
}

std::string collective_csv(const kernels::MeasuredKernels& kernels, const Shares& /*shares*/) {
  std::string text = "op,dtype,ranks,bytes,latency_us,repeats,flag,engine\n";
  for (const kernels::CollectiveRow& row : kernels.collectives)
    text += fmt::format("{},fp16,{},{},{},1,,{}\n", row.op, row.ranks, row.message_bytes, row.latency_us, engine_text(kernels));
  return text;
}

std::string expert_exchange_csv(const kernels::MeasuredKernels& kernels, const Shares& /*shares*/) {
  std::string text = "kind,op,ranks,num_tokens,hidden,topk,experts,latency_us,flag,engine\n";
  for (const kernels::ExpertExchangeRow& row : kernels.expert_exchanges) {
    text += fmt::format("{},{},{},{},{},{},{},{},{},{}\n", row.kind, row.op, row.ranks, row.tokens, row.hidden, row.experts_per_token,
                        row.experts, row.latency_us, row.flag, engine_text(kernels));
  }
  return text;
}

/// `"gemm": [` with one row per line.
template <class Row, class Text>
std::string plan_table(std::string_view name, const std::vector<Row>& rows, const Text& text_of) {
  std::vector<std::string> lines;
  for (const Row& row : rows) lines.push_back("  {" + text_of(row) + "}");
  return lines.empty() ? fmt::format(" \"{}\": []", name) : fmt::format(" \"{}\": [\n{}\n ]", name, fmt::join(lines, ",\n"));
}

}  // namespace

std::vector<KernelFile> kernel_files(const kernels::MeasuredKernels& kernels, const domain::GpuSpec& gpu) {
  const Shares shares(gpu);
  std::vector<KernelFile> files;
  const auto add = [&](const char* name, std::size_t rows, const auto& csv) {
    if (rows > 0) files.push_back({.name = name, .rows = rows, .text = csv(kernels, shares)});
  };
  add("gemm.csv", kernels.gemms.size(), gemm_csv);
  add("context_attention.csv", kernels.context_attention.size(), context_csv);
  add("generation_attention.csv", kernels.generation_attention.size(), generation_csv);
  add("allreduce.csv", kernels.all_reduces.size(), all_reduce_csv);
  add("moe.csv", kernels.moes.size(), moe_csv);
  add("mla_context.csv", kernels.latent_context.size(), latent_context_csv);
  add("mla_generation.csv", kernels.latent_generation.size(), latent_generation_csv);
  add("linear_attention.csv", kernels.linear_attention.size(), linear_attention_csv);
  add("sparse_attention.csv", kernels.sparse_attention.size(), sparse_attention_csv);
  add("collective.csv", kernels.collectives.size(), collective_csv);
  add("expert_exchange.csv", kernels.expert_exchanges.size(), expert_exchange_csv);
  return files;
}

std::string kernel_manifest(const std::vector<KernelFile>& files, const kernels::MeasuredKernels& kernels, std::string_view importer) {
  nlohmann::ordered_json entries = nlohmann::ordered_json::array();
  for (const KernelFile& file : files) {
    entries.push_back({{"file", file.name},
                       {"rows", file.rows},
                       {"sha256", core::sha256_hex(file.text)},
                       {"gpu", kernels.gpu},
                       {"engines", {engine_text(kernels)}}});
  }
  return text::json_text({{"schema", "rooftune/kernel-manifest/1"}, {"importer", importer}, {"files", std::move(entries)}});
}

std::string kernel_audit_json(const std::vector<KernelVerdict>& verdicts) {
  using Json = nlohmann::ordered_json;
  Json tables = Json::array();
  for (const KernelVerdict& verdict : verdicts) {
    const kernels::MfuAudit& audit = verdict.audit;
    Json findings = Json::array();
    for (const kernels::Finding& finding : audit.findings) {
      findings.push_back({{"finding", kernels::finding_name(finding.kind)}, {"rows", finding.rows}, {"message", finding.message}});
    }
    tables.push_back({{"file", verdict.file},
                      {"table", verdict.table},
                      {"gpu", verdict.gpu},
                      {"rows", audit.rows},
                      {"format", audit.format ? Json(kernels::format_name(*audit.format)) : Json(nullptr)},
                      {"implied_peak_tflops", text::or_null(audit.implied_peak_tflops)},
                      {"divided_by", audit.denominator ? Json(audit.denominator->peak.name()) : Json(nullptr)},
                      {"highest_mfu", audit.highest_mfu},
                      {"findings", std::move(findings)}});
  }
  return text::json_text({{"schema", "rooftune/kernel-audit/1"}, {"tables", std::move(tables)}});
}

std::string kernel_audit_csv(const std::vector<KernelVerdict>& verdicts) {
  std::string text = "file,table,gpu,rows,format,implied_peak_tflops,divided_by,highest_mfu,findings\n";
  for (const KernelVerdict& verdict : verdicts) {
    const kernels::MfuAudit& audit = verdict.audit;
    std::vector<std::string_view> findings;
    for (const kernels::Finding& finding : audit.findings) findings.push_back(kernels::finding_name(finding.kind));
    text += fmt::format("{},{},{},{},{},{},{},{},{}\n", text::csv_cell(verdict.file), verdict.table, text::csv_cell(verdict.gpu),
                        audit.rows, audit.format ? kernels::format_name(*audit.format) : "", text::csv_cell(audit.implied_peak_tflops),
                        text::csv_cell(audit.denominator ? audit.denominator->peak.name() : ""), audit.highest_mfu,
                        fmt::join(findings, " "));
  }
  return text;
}

std::string kernel_normalisation_json(const KernelNormalisation& normalisation) {
  using Json = nlohmann::ordered_json;
  return text::json_text({{"schema", "rooftune/kernel-normalisation/1"},
                          {"folder", normalisation.folder},
                          {"gpu", normalisation.gpu},
                          {"files", text::list_of(normalisation.files,
                                                  [](const KernelFile& file) -> Json {
                                                    return {{"file", file.name}, {"rows", file.rows}};
                                                  })},
                          {"left_out", text::list_of(normalisation.left_out, [](const kernels::LeftOut& left_out) -> Json {
                             return {{"reason", left_out.reason}, {"rows", left_out.rows}};
                           })}});
}

std::string kernel_normalisation_csv(const KernelNormalisation& normalisation) {
  std::string text = "what,file,reason,rows\n";
  for (const KernelFile& file : normalisation.files) text += fmt::format("written,{},,{}\n", text::csv_cell(file.name), file.rows);
  for (const kernels::LeftOut& left_out : normalisation.left_out)
    text += fmt::format("left_out,,{},{}\n", text::csv_cell(left_out.reason), left_out.rows);
  return text;
}

std::string kernel_plan_csv(const kernels::KernelPlan& plan) {
  constexpr std::array<std::string_view, 32> columns{
      "table",        "dtype",  "kv_dtype", "m",     "n",          "k",       "batch", "seq_len", "kv_len",        "heads", "kv_heads",
      "head_dim",     "window", "ranks",    "bytes", "num_tokens", "hidden",  "inter", "topk",    "experts",       "tp",    "ep",
      "distribution", "op",     "phase",    "part",  "k_heads",    "v_heads", "k_dim", "v_dim",   "compute_dtype", "model"};
  std::string text = fmt::format("{}\n", fmt::join(columns, ","));
  using Cells = std::initializer_list<std::pair<std::string_view, std::string>>;
  const auto add = [&](const Cells& cells) {
    for (const std::string_view column : columns) {
      const auto* cell = std::ranges::find(cells, column, &std::pair<std::string_view, std::string>::first);
      if (column != columns.front()) text += ',';
      if (cell != cells.end()) text += cell->second;
    }
    text += '\n';
  };
  const auto name = [](NumberFormat format) { return std::string(kernels::format_name(format)); };
  const auto number = [](std::int64_t value) { return std::to_string(value); };
  for (const GemmRow& row : plan.gemms) {
    add({{"table", "gemm"},
         {"dtype", name(row.format.value_or(NumberFormat::bf16))},
         {"m", number(row.m)},
         {"n", number(row.n)},
         {"k", number(row.k)}});
  }
  const auto add_attention = [&](const std::string& table, const AttentionRow& row, const std::string& new_tokens) {
    add({{"table", table},
         {"dtype", name(row.format)},
         {"kv_dtype", name(row.kv_format)},
         {"batch", number(row.batch)},
         {"seq_len", new_tokens},
         {"kv_len", number(row.kv_tokens)},
         {"heads", number(row.shape.heads)},
         {"kv_heads", number(row.shape.kv_heads)},
         {"head_dim", number(row.shape.head_dim)},
         {"window", number(row.window)}});
  };
  for (const AttentionRow& row : plan.context_attention) add_attention("context_attention", row, number(row.new_tokens));
  for (const AttentionRow& row : plan.generation_attention) add_attention("generation_attention", row, "");
  for (const AllReduceRow& row : plan.all_reduces) {
    add({{"table", "allreduce"}, {"dtype", "bf16"}, {"ranks", number(row.ranks)}, {"bytes", number(row.message_bytes)}});
  }
  for (const MoeRow& row : plan.moes) {
    add({{"table", "moe"},
         {"dtype", name(row.format)},
         {"num_tokens", number(row.tokens)},
         {"hidden", number(row.hidden)},
         {"inter", number(row.ffn_width)},
         {"topk", number(row.experts_per_token)},
         {"experts", number(row.experts)},
         {"tp", number(row.tp)},
         {"ep", number(row.ep)},
         {"distribution", row.routing}});
  }
  for (const kernels::LinearAttentionRow& row : plan.linear_attention) {
    add({{"table", "linear_attention"},
         {"op", row.op},
         {"phase", row.phase},
         {"part", row.part},
         {"batch", number(row.batch)},
         {"seq_len", number(row.new_tokens)},
         {"k_heads", number(row.key_heads)},
         {"v_heads", number(row.value_heads)},
         {"k_dim", number(kLinearHeadDim)},
         {"v_dim", number(value_head_dim(row))}});
  }
  for (const kernels::LatentAttentionRow& row : plan.latent_context) {
    add({{"table", "mla_context"},
         {"dtype", name(row.format)},
         {"compute_dtype", name(row.compute_format)},
         {"kv_dtype", name(row.kv_format)},
         {"batch", number(row.batch)},
         {"seq_len", number(row.new_tokens)},
         {"kv_len", number(row.kv_tokens)},
         {"heads", number(row.heads)}});
  }
  for (const kernels::LatentAttentionRow& row : plan.latent_generation) {
    add({{"table", "mla_generation"},
         {"dtype", name(row.format)},
         {"kv_dtype", name(row.kv_format)},
         {"batch", number(row.batch)},
         {"kv_len", number(row.kv_tokens)},
         {"heads", number(row.heads)}});
  }
  for (const kernels::SparseAttentionRow& row : plan.sparse_attention) {
    add({{"table", "sparse_attention"},
         {"op", row.op},
         {"model", row.model},
         {"phase", row.phase},
         {"kv_dtype", name(row.kv_format)},
         {"batch", number(row.batch)},
         {"seq_len", number(row.new_tokens)},
         {"kv_len", number(row.kv_tokens)},
         {"heads", number(row.heads)},
         {"tp", number(row.tp)}});
  }
  for (const kernels::CollectiveRow& row : plan.collectives) {
    add({{"table", "collective"},
         {"op", row.op},
         {"dtype", "bf16"},
         {"ranks", number(row.ranks)},
         {"bytes", number(row.message_bytes)}});
  }
  return text;
}

std::string kernel_plan_json(const kernels::KernelPlan& plan) {
  const auto heads = [](const AttentionRow& row) {
    return fmt::format("\"heads\": {}, \"kv_heads\": {}, \"head_dim\": {}, \"window\": {}", row.shape.heads, row.shape.kv_heads,
                       row.shape.head_dim, row.window);
  };
  const auto formats = [](const AttentionRow& row) {
    return fmt::format("\"dtype\": \"{}\", \"kv_dtype\": \"{}\"", kernels::format_name(row.format),
                       kernels::format_name(row.kv_format));
  };
  const std::vector<std::string> parts{
      " \"schema\": \"rooftune/kernel-plan/1\"",
      fmt::format(" \"models\": {}", nlohmann::json(plan.models).dump()),
      fmt::format(" \"tp\": [{}]", fmt::join(plan.tp, ", ")),
      plan_table("gemm", plan.gemms,
                 [](const GemmRow& row) {
                   return fmt::format("\"dtype\": \"{}\", \"m\": {}, \"n\": {}, \"k\": {}",
                                      kernels::format_name(row.format.value_or(NumberFormat::bf16)), row.m, row.n, row.k);
                 }),
      plan_table("context_attention", plan.context_attention,
                 [&](const AttentionRow& row) {
                   return fmt::format("{}, \"batch\": {}, \"seq_len\": {}, \"kv_len\": {}, {}", formats(row), row.batch,
                                      row.new_tokens, row.kv_tokens, heads(row));
                 }),
      plan_table("generation_attention", plan.generation_attention,
                 [&](const AttentionRow& row) {
                   return fmt::format("{}, \"batch\": {}, \"kv_len\": {}, {}", formats(row), row.batch, row.kv_tokens, heads(row));
                 }),
      plan_table("allreduce", plan.all_reduces,
                 [](const AllReduceRow& row) {
                   return fmt::format("\"dtype\": \"bf16\", \"ranks\": {}, \"bytes\": {}", row.ranks, row.message_bytes);
                 }),
      plan_table("moe", plan.moes,
                 [](const MoeRow& row) {
                   return fmt::format(
                       "\"dtype\": \"{}\", \"num_tokens\": {}, \"hidden\": {}, \"inter\": {}, \"topk\": {}, "
                       "\"experts\": {}, \"tp\": {}, \"ep\": {}, \"distribution\": \"{}\"",
                       kernels::format_name(row.format), row.tokens, row.hidden, row.ffn_width, row.experts_per_token, row.experts,
                       row.tp, row.ep, row.routing);
                 }),
      plan_table("linear_attention", plan.linear_attention,
                 [](const kernels::LinearAttentionRow& row) {
                   return fmt::format(
                       "\"op\": \"{}\", \"phase\": \"{}\", \"part\": \"{}\", \"batch\": {}, \"seq_len\": {}, "
                       "\"k_heads\": {}, \"v_heads\": {}, \"k_dim\": {}, \"v_dim\": {}",
                       row.op, row.phase, row.part, row.batch, row.new_tokens, row.key_heads, row.value_heads, kLinearHeadDim,
                       value_head_dim(row));
                 }),
      plan_table("mla_context", plan.latent_context,
                 [](const kernels::LatentAttentionRow& row) {
                   return fmt::format(
                       "\"dtype\": \"{}\", \"compute_dtype\": \"{}\", \"kv_dtype\": \"{}\", \"batch\": {}, \"seq_len\": {}, "
                       "\"kv_len\": {}, \"heads\": {}",
                       kernels::format_name(row.format), kernels::format_name(row.compute_format), kernels::format_name(row.kv_format),
                       row.batch, row.new_tokens, row.kv_tokens, row.heads);
                 }),
      plan_table("mla_generation", plan.latent_generation,
                 [](const kernels::LatentAttentionRow& row) {
                   return fmt::format("\"dtype\": \"{}\", \"kv_dtype\": \"{}\", \"batch\": {}, \"kv_len\": {}, \"heads\": {}",
                                      kernels::format_name(row.format), kernels::format_name(row.kv_format), row.batch, row.kv_tokens,
                                      row.heads);
                 }),
      plan_table("sparse_attention", plan.sparse_attention,
                 [](const kernels::SparseAttentionRow& row) {
                   return fmt::format(
                       "\"op\": \"{}\", \"model\": \"{}\", \"phase\": \"{}\", \"kv_dtype\": \"{}\", \"batch\": {}, \"seq_len\": {}, "
                       "\"kv_len\": {}, \"heads\": {}, \"tp\": {}",
                       row.op, row.model, row.phase, kernels::format_name(row.kv_format), row.batch, row.new_tokens, row.kv_tokens,
                       row.heads, row.tp);
                 }),
      plan_table("collective", plan.collectives,
                 [](const kernels::CollectiveRow& row) {
                   return fmt::format("\"op\": \"{}\", \"dtype\": \"bf16\", \"ranks\": {}, \"bytes\": {}", row.op, row.ranks,
                                      row.message_bytes);
                 }),
  };
  return fmt::format("{{\n{}\n}}\n", fmt::join(parts, ",\n"));
}

}  // namespace rooftune::data
