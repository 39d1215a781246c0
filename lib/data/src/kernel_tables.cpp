#include "rooftune/data/kernel_tables.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "rooftune/text/csv.hpp"
#include "rooftune/text/document.hpp"
#include "rooftune/text/files.hpp"
#include "vidur_tables.hpp"

namespace rooftune::kernels {

/// A cell that names a number format. The column reader looks for it beside the type that it fills.
static bool convert(const text::Node& node, std::string_view name, NumberFormat& target, text::Problems& problems) {
  std::string text;
  if (!text::convert(node, name, text, problems)) return false;
  if (const auto format = find_format(text)) {
    target = *format;
    return true;
  }
  problems.error(node.place, fmt::format("{} is '{}', which is no number format that we know", name, text),
                 "use bf16, fp8, fp8_block, int4, mxfp4 or nvfp4");
  return false;
}

}  // namespace rooftune::kernels

namespace rooftune::data {

namespace fs = std::filesystem;
using kernels::AllReduceRow;
using kernels::AttentionRow;
using kernels::CollectiveRow;
using kernels::ExpertExchangeRow;
using kernels::GemmRow;
using kernels::HeadShape;
using kernels::LatentAttentionRow;
using kernels::LinearAttentionRow;
using kernels::MeasuredKernels;
using kernels::MoeRow;
using kernels::NumberFormat;
using kernels::SparseAttentionRow;

namespace {

bool has_column(const text::CsvTable& table, std::string_view name) {
  return std::ranges::any_of(table.header, [&](const text::Node& cell) { return cell.text == name; });
}

/// A first line of numbers is a row, not a header.
bool lacks_header(const text::CsvTable& table) {
  return std::ranges::all_of(table.header, [](const text::Node& cell) {
    return !cell.text.empty() && cell.text.find_first_not_of("0123456789.+-eE") == std::string::npos;
  });
}

/// Reads a table with `fill(columns, problems)`, which returns the rows.
template <class Row, class Fill>
core::Result<std::vector<Row>> read_table(const fs::path& path, std::string_view header, const Fill& fill) {
  const core::Result<text::CsvTable> table = text::read_csv(path);
  if (!table) return tl::unexpected(table.error());
  text::Problems problems(table->file);
  std::vector<Row> rows;
  if (lacks_header(*table)) {
    problems.error({1, 1}, "the table has no header", fmt::format("add a first line '{}'", header));
  } else {
    rows = fill(*table, problems);
  }
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  return rows;
}

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size() || value < 1) return std::nullopt;
  return value;
}

/// "32-8-128" or "32-8-128-tp4": the heads of one GPU.
std::optional<HeadShape> shape_in_name(std::string_view stem) {
  std::vector<std::int64_t> parts;
  for (std::size_t start = 0; start <= stem.size();) {
    const std::size_t end = std::min(stem.find('-', start), stem.size());
    std::string_view part = stem.substr(start, end - start);
    if (parts.size() == 3 && part.starts_with("tp")) part.remove_prefix(2);
    const auto number = whole_number(part);
    if (!number) return std::nullopt;
    parts.push_back(*number);
    start = end + 1;
  }
  if (parts.size() == 3) parts.push_back(1);
  if (parts.size() != 4 || parts[0] % parts[3] != 0) return std::nullopt;
  return HeadShape{.heads = parts[0] / parts[3], .kv_heads = std::max<std::int64_t>(1, parts[1] / parts[3]), .head_dim = parts[2]};
}

struct AttentionRecord {
  NumberFormat format = NumberFormat::bf16;
  std::optional<NumberFormat> kv_format;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t batch = 1;
  std::int64_t new_tokens = 1;
  std::optional<std::int64_t> kv_tokens;
  std::int64_t window = 0;
  double latency_us = 0.0;
  std::optional<double> mfu;
  std::string flag;
};

enum class Attention { context, generation };

std::vector<AttentionRow> attention_rows(const text::CsvTable& table, text::Problems& problems, const fs::path& path,
                                         Attention attention) {
  std::vector<AttentionRecord> records(table.rows.size());
  text::CsvColumns columns(table, problems);
  columns.required("dtype", records, &AttentionRecord::format);
  columns.optional("kv_dtype", records, &AttentionRecord::kv_format);
  columns.required("latency_us", records, &AttentionRecord::latency_us);
  columns.optional("mfu", records, &AttentionRecord::mfu);
  columns.optional("window", records, &AttentionRecord::window, text::at_least(0));
  columns.optional("flag", records, &AttentionRecord::flag);
  if (attention == Attention::context) {
    columns.required("seq_len", records, &AttentionRecord::new_tokens, text::at_least(1));
    columns.optional("kv_len", records, &AttentionRecord::kv_tokens, text::at_least(1));
    columns.optional("batch", records, &AttentionRecord::batch, text::at_least(1));
  } else {
    columns.required("kv_len", records, &AttentionRecord::kv_tokens, text::at_least(1));
    columns.required(has_column(table, "batch_size") ? "batch_size" : "batch", records, &AttentionRecord::batch, text::at_least(1));
  }

  const std::optional<HeadShape> named = shape_in_name(path.stem().string());
  if (has_column(table, "heads") || !named) {
    if (!has_column(table, "heads")) {
      problems.error(
          {1, 1}, fmt::format("neither columns nor the file's name '{}' give the heads", path.filename().string()),
          "add columns heads, kv_heads, head_dim or name the file <heads>-<kv_heads>-<head_dim>.csv, with -tp<N> for decode");
    } else {
      columns.required("heads", records, &AttentionRecord::heads, text::at_least(1));
      columns.required("kv_heads", records, &AttentionRecord::kv_heads, text::at_least(1));
      columns.required("head_dim", records, &AttentionRecord::head_dim, text::at_least(1));
    }
  }

  std::vector<AttentionRow> rows;
  for (const AttentionRecord& record : records) {
    AttentionRow row;
    row.format = record.format;
    row.kv_format = record.kv_format.value_or(record.format);
    row.shape = record.heads > 0 ? HeadShape{record.heads, record.kv_heads, record.head_dim} : named.value_or(HeadShape{});
    row.batch = record.batch;
    row.new_tokens = record.new_tokens;
    row.kv_tokens = record.kv_tokens.value_or(record.new_tokens);
    row.window = record.window;
    row.latency_us = record.latency_us;
    row.reported_mfu = record.mfu;
    row.flag = record.flag;
    rows.push_back(row);
  }
  return rows;
}

/// The first cell of a column that names the kernels' software.
std::string engine_of(const fs::path& path) {
  const core::Result<text::CsvTable> table = text::read_csv(path);
  if (!table || table->rows.empty()) return {};
  for (std::size_t column = 0; column < table->header.size(); ++column) {
    const std::string& name = table->header[column].text;
    if (name == "engine" || name == "source") return table->rows.front()[column].text;
  }
  return {};
}

/// The files of a folder, sorted; none where there is no such folder.
std::vector<fs::path> csv_files(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code missing;
  for (const fs::path& entry : text::entries_of(folder, missing)) {
    if (entry.extension() == ".csv") files.push_back(entry);
  }
  return files;
}

/// Appends the rows of every file, or its errors.
template <class Row>
void append(std::vector<Row>& rows, const std::vector<fs::path>& files, core::Result<std::vector<Row>> (*read)(const fs::path&),
            core::Diagnostics& errors) {
  for (const fs::path& file : files) {
    if (core::Result<std::vector<Row>> more = read(file)) {
      rows.insert(rows.end(), more->begin(), more->end());
    } else {
      errors.insert(errors.end(), more.error().begin(), more.error().end());
    }
  }
}

std::vector<fs::path> only_existing(const fs::path& file) {
  std::error_code unreadable;
  return fs::exists(file, unreadable) ? std::vector{file} : std::vector<fs::path>{};
}

}  // namespace

core::Result<std::vector<GemmRow>> read_gemm_table(const fs::path& path) {
  return read_table<GemmRow>(path, "m,k,n,latency_us", [](const text::CsvTable& table, text::Problems& problems) {
    std::vector<GemmRow> rows(table.rows.size());
    text::CsvColumns columns(table, problems);
    columns.optional("dtype", rows, &GemmRow::format);
    columns.required("m", rows, &GemmRow::m, text::at_least(1));
    columns.required("n", rows, &GemmRow::n, text::at_least(1));
    columns.required("k", rows, &GemmRow::k, text::at_least(1));
    columns.required("latency_us", rows, &GemmRow::latency_us);
    columns.optional("mfu", rows, &GemmRow::reported_mfu);
    columns.optional("flag", rows, &GemmRow::flag);
    columns.optional("engine", rows, &GemmRow::engine);
    return rows;
  });
}

core::Result<std::vector<AttentionRow>> read_context_attention_table(const fs::path& path) {
  return read_table<AttentionRow>(path, "dtype,seq_len,latency_us", [&](const text::CsvTable& table, text::Problems& problems) {
    return attention_rows(table, problems, path, Attention::context);
  });
}

core::Result<std::vector<AttentionRow>> read_generation_attention_table(const fs::path& path) {
  return read_table<AttentionRow>(path, "dtype,kv_dtype,batch,kv_len,latency_us",
                                  [&](const text::CsvTable& table, text::Problems& problems) {
                                    return attention_rows(table, problems, path, Attention::generation);
                                  });
}

core::Result<std::vector<AllReduceRow>> read_all_reduce_table(const fs::path& path) {
  return read_table<AllReduceRow>(path, "ranks,bytes,latency_us", [](const text::CsvTable& table, text::Problems& problems) {
    struct Record {
      std::int64_t ranks = 0;
      std::int64_t bytes = 0;
      double latency_us = 0.0;
      std::string mode;
      std::string kind;
      std::string engine;
    };
    std::vector<Record> records(table.rows.size());
    text::CsvColumns columns(table, problems);
    columns.required("ranks", records, &Record::ranks, text::at_least(2));
    columns.required("bytes", records, &Record::bytes, text::at_least(1));
    columns.required("latency_us", records, &Record::latency_us);
    columns.optional("mode", records, &Record::mode);
    columns.optional("kind", records, &Record::kind);
    columns.optional("engine", records, &Record::engine);
    std::vector<AllReduceRow> rows;
    for (const Record& record : records) {
      if (record.mode == "eager") continue;
      rows.push_back({.ranks = record.ranks,
                      .message_bytes = record.bytes,
                      .latency_us = record.latency_us,
                      .kind = record.kind,
                      .engine = record.engine});
    }
    return rows;
  });
}

core::Result<std::vector<MoeRow>> read_moe_table(const fs::path& path) {
  return read_table<MoeRow>(path, "dtype,num_tokens,hidden,inter,topk,experts,latency_us",
                            [](const text::CsvTable& table, text::Problems& problems) {
                              std::vector<MoeRow> rows(table.rows.size());
                              text::CsvColumns columns(table, problems);
                              columns.required("dtype", rows, &MoeRow::format);
                              columns.required("num_tokens", rows, &MoeRow::tokens, text::at_least(1));
                              columns.required("hidden", rows, &MoeRow::hidden, text::at_least(1));
                              columns.required("inter", rows, &MoeRow::ffn_width, text::at_least(1));
                              columns.required("topk", rows, &MoeRow::experts_per_token, text::at_least(1));
                              columns.required("experts", rows, &MoeRow::experts, text::at_least(1));
                              columns.optional("tp", rows, &MoeRow::tp, text::at_least(1));
                              columns.optional("ep", rows, &MoeRow::ep, text::at_least(1));
                              columns.optional("distribution", rows, &MoeRow::routing);
                              columns.required("latency_us", rows, &MoeRow::latency_us);
                              columns.optional("kernel", rows, &MoeRow::kernel);
                              columns.optional("flag", rows, &MoeRow::flag);
                              return rows;
                            });
}

namespace {

core::Result<std::vector<LatentAttentionRow>> read_latent_context_table(const fs::path& path) {
  return read_table<LatentAttentionRow>(path, "dtype,compute_dtype,kv_dtype,batch,seq_len,kv_len,heads,latency_us",
                                        [](const text::CsvTable& table, text::Problems& problems) {
                                          std::vector<LatentAttentionRow> rows(table.rows.size());
                                          text::CsvColumns columns(table, problems);
                                          columns.required("dtype", rows, &LatentAttentionRow::format);
                                          columns.optional("compute_dtype", rows, &LatentAttentionRow::compute_format);
                                          columns.required("kv_dtype", rows, &LatentAttentionRow::kv_format);
                                          columns.required("batch", rows, &LatentAttentionRow::batch, text::at_least(1));
                                          columns.required("seq_len", rows, &LatentAttentionRow::new_tokens, text::at_least(1));
                                          columns.required("kv_len", rows, &LatentAttentionRow::kv_tokens, text::at_least(1));
                                          columns.required("heads", rows, &LatentAttentionRow::heads, text::at_least(1));
                                          columns.required("latency_us", rows, &LatentAttentionRow::latency_us);
                                          columns.optional("flag", rows, &LatentAttentionRow::flag);
                                          return rows;
                                        });
}

core::Result<std::vector<LatentAttentionRow>> read_latent_generation_table(const fs::path& path) {
  return read_table<LatentAttentionRow>(path, "dtype,kv_dtype,batch,kv_len,heads,latency_us",
                                        [](const text::CsvTable& table, text::Problems& problems) {
                                          std::vector<LatentAttentionRow> rows(table.rows.size());
                                          for (LatentAttentionRow& row : rows) row.new_tokens = 1;
                                          text::CsvColumns columns(table, problems);
                                          columns.required("dtype", rows, &LatentAttentionRow::format);
                                          columns.required("kv_dtype", rows, &LatentAttentionRow::kv_format);
                                          columns.required("batch", rows, &LatentAttentionRow::batch, text::at_least(1));
                                          columns.required("kv_len", rows, &LatentAttentionRow::kv_tokens, text::at_least(1));
                                          columns.required("heads", rows, &LatentAttentionRow::heads, text::at_least(1));
                                          columns.required("latency_us", rows, &LatentAttentionRow::latency_us);
                                          columns.optional("flag", rows, &LatentAttentionRow::flag);
                                          return rows;
                                        });
}

core::Result<std::vector<LinearAttentionRow>> read_linear_attention_table(const fs::path& path) {
  return read_table<LinearAttentionRow>(path, "op,phase,part,batch,seq_len,k_heads,v_heads,latency_us",
                                        [](const text::CsvTable& table, text::Problems& problems) {
                                          std::vector<LinearAttentionRow> rows(table.rows.size());
                                          text::CsvColumns columns(table, problems);
                                          columns.required("op", rows, &LinearAttentionRow::op);
                                          columns.required("phase", rows, &LinearAttentionRow::phase);
                                          columns.required("part", rows, &LinearAttentionRow::part);
                                          columns.required("batch", rows, &LinearAttentionRow::batch, text::at_least(1));
                                          columns.required("seq_len", rows, &LinearAttentionRow::new_tokens, text::at_least(1));
                                          columns.required("k_heads", rows, &LinearAttentionRow::key_heads, text::at_least(1));
                                          columns.required("v_heads", rows, &LinearAttentionRow::value_heads, text::at_least(1));
                                          columns.required("latency_us", rows, &LinearAttentionRow::latency_us);
                                          columns.optional("flag", rows, &LinearAttentionRow::flag);
                                          return rows;
                                        });
}

core::Result<std::vector<SparseAttentionRow>> read_sparse_attention_table(const fs::path& path) {
  return read_table<SparseAttentionRow>(path, "op,model,phase,kv_dtype,batch,seq_len,kv_len,heads,tp,latency_us",
                                        [](const text::CsvTable& table, text::Problems& problems) {
                                          std::vector<SparseAttentionRow> rows(table.rows.size());
                                          text::CsvColumns columns(table, problems);
                                          columns.required("op", rows, &SparseAttentionRow::op);
                                          columns.required("model", rows, &SparseAttentionRow::model);
                                          columns.required("phase", rows, &SparseAttentionRow::phase);
                                          columns.required("kv_dtype", rows, &SparseAttentionRow::kv_format);
                                          columns.required("batch", rows, &SparseAttentionRow::batch, text::at_least(1));
                                          columns.required("seq_len", rows, &SparseAttentionRow::new_tokens, text::at_least(1));
                                          columns.required("kv_len", rows, &SparseAttentionRow::kv_tokens, text::at_least(1));
                                          columns.required("heads", rows, &SparseAttentionRow::heads, text::at_least(1));
                                          columns.required("tp", rows, &SparseAttentionRow::tp, text::at_least(1));
                                          columns.required("latency_us", rows, &SparseAttentionRow::latency_us);
                                          columns.optional("flag", rows, &SparseAttentionRow::flag);
                                          return rows;
                                        });
}

core::Result<std::vector<CollectiveRow>> read_collective_table(const fs::path& path) {
  return read_table<CollectiveRow>(path, "op,ranks,bytes,latency_us", [](const text::CsvTable& table, text::Problems& problems) {
    std::vector<CollectiveRow> rows(table.rows.size());
    text::CsvColumns columns(table, problems);
    columns.required("op", rows, &CollectiveRow::op);
    columns.required("ranks", rows, &CollectiveRow::ranks, text::at_least(2));
    columns.required("bytes", rows, &CollectiveRow::message_bytes, text::at_least(1));
    columns.required("latency_us", rows, &CollectiveRow::latency_us);
    return rows;
  });
}

core::Result<std::vector<ExpertExchangeRow>> read_expert_exchange_table(const fs::path& path) {
  return read_table<ExpertExchangeRow>(path, "kind,op,ranks,num_tokens,hidden,topk,experts,latency_us",
                                       [](const text::CsvTable& table, text::Problems& problems) {
                                         std::vector<ExpertExchangeRow> rows(table.rows.size());
                                         text::CsvColumns columns(table, problems);
                                         columns.required("kind", rows, &ExpertExchangeRow::kind);
                                         columns.required("op", rows, &ExpertExchangeRow::op);
                                         columns.required("ranks", rows, &ExpertExchangeRow::ranks, text::at_least(2));
                                         columns.required("num_tokens", rows, &ExpertExchangeRow::tokens, text::at_least(1));
                                         columns.required("hidden", rows, &ExpertExchangeRow::hidden, text::at_least(1));
                                         columns.required("topk", rows, &ExpertExchangeRow::experts_per_token, text::at_least(1));
                                         columns.required("experts", rows, &ExpertExchangeRow::experts, text::at_least(1));
                                         columns.required("latency_us", rows, &ExpertExchangeRow::latency_us);
                                         columns.optional("flag", rows, &ExpertExchangeRow::flag);
                                         return rows;
                                       });
}

}  // namespace

core::Result<std::vector<double>> read_kernel_latencies(const fs::path& path) {
  struct Record {
    double latency_us = 0.0;
  };
  return read_table<double>(path, "latency_us", [](const text::CsvTable& table, text::Problems& problems) {
    std::vector<Record> records(table.rows.size());
    text::CsvColumns columns(table, problems);
    columns.required("latency_us", records, &Record::latency_us);
    std::vector<double> latencies_us;
    for (const Record& record : records) latencies_us.push_back(record.latency_us);
    return latencies_us;
  });
}

bool holds_kernel_tables(const fs::path& folder) {
  constexpr std::array<std::string_view, 11> kTables{
      "gemm.csv",       "context_attention.csv", "allreduce.csv",      "generation_attention.csv",
      "moe.csv",        "mla_context.csv",       "mla_generation.csv", "linear_attention.csv",
      "collective.csv", "sparse_attention.csv",  "expert_exchange.csv"};
  return std::ranges::any_of(kTables, [&](std::string_view name) { return text::exists(folder / name); });
}

core::Result<MeasuredKernels> read_kernel_tables(const fs::path& folder, std::string_view gpu) {
  MeasuredKernels measured;
  measured.gpu = gpu;
  const auto in_folder = [&](std::string_view name) { return only_existing(folder / name); };
  std::vector<fs::path> gemms = in_folder("gemm.csv");
  std::vector<fs::path> context = in_folder("context_attention.csv");
  std::vector<fs::path> generation = in_folder("generation_attention.csv");
  const bool is_ours = holds_kernel_tables(folder);
  if (!is_ours) {
    gemms = csv_files(folder / "gemm" / gpu);
    context = csv_files(folder / "mha" / "prefill" / gpu);
    generation = csv_files(folder / "mha" / "decode" / gpu);
  }
  if (!is_ours && gemms.empty() && context.empty() && generation.empty()) {
    if (is_vidur_folder(folder)) return read_vidur_profiles(folder, gpu);
    return core::fail({.file = folder.string()}, fmt::format("no kernel tables of '{}' here", gpu),
                      "name a folder with gemm.csv, context_attention.csv ..., with gemm/<gpu>/ and mha/{prefill,decode}/<gpu>/, or "
                      "with Vidur's compute/<gpu>/<org>/<model>/mlp.csv");
  }

  core::Diagnostics errors;
  append(measured.gemms, gemms, &read_gemm_table, errors);
  append(measured.context_attention, context, &read_context_attention_table, errors);
  append(measured.generation_attention, generation, &read_generation_attention_table, errors);
  append(measured.all_reduces, in_folder("allreduce.csv"), &read_all_reduce_table, errors);
  append(measured.moes, in_folder("moe.csv"), &read_moe_table, errors);
  append(measured.latent_context, in_folder("mla_context.csv"), &read_latent_context_table, errors);
  append(measured.latent_generation, in_folder("mla_generation.csv"), &read_latent_generation_table, errors);
  append(measured.linear_attention, in_folder("linear_attention.csv"), &read_linear_attention_table, errors);
  append(measured.sparse_attention, in_folder("sparse_attention.csv"), &read_sparse_attention_table, errors);
  append(measured.collectives, in_folder("collective.csv"), &read_collective_table, errors);
  append(measured.expert_exchanges, in_folder("expert_exchange.csv"), &read_expert_exchange_table, errors);
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  if (!gemms.empty()) measured.engine = engine_of(gemms.front());
  return measured;
}

namespace {

bool is_name_of(const domain::GpuSpec& gpu, std::string_view name) { return domain::find_gpu({gpu}, name) != nullptr; }

/// The GPU that scripts/collect_kernels.py says it measured.
std::string gpu_in_manifest(const fs::path& folder) {
  if (!text::exists(folder / "manifest.json")) return {};
  const auto manifest = text::read_document(folder / "manifest.json");
  const text::Node* files = manifest ? manifest->root.find("files") : nullptr;
  const text::Node* gpu = files != nullptr && !files->items.empty() ? files->items.front().find("gpu") : nullptr;
  return gpu != nullptr && gpu->kind == text::Node::Kind::scalar ? gpu->text : "";
}

/// The sorted names of the folders inside that name the GPU.
std::vector<std::string> folders_of(const fs::path& folder, const domain::GpuSpec& gpu) {
  std::vector<std::string> names;
  std::error_code missing;
  for (const fs::path& entry : text::entries_of(folder, missing)) {
    const std::string name = entry.filename().string();
    if (is_name_of(gpu, name) && text::is_folder(entry)) names.push_back(name);
  }
  return names;
}

}  // namespace

std::optional<KernelFolder> find_kernel_tables(const fs::path& folder, const domain::GpuSpec& gpu) {
  const fs::path named =
      folder.lexically_normal().has_filename() ? folder.lexically_normal() : folder.lexically_normal().parent_path();
  if (holds_kernel_tables(folder) && (is_name_of(gpu, named.filename().string()) || is_name_of(gpu, gpu_in_manifest(folder)))) {
    return KernelFolder{.folder = folder, .gpu = gpu.name};
  }
  for (const std::string& name : folders_of(folder, gpu)) {
    if (holds_kernel_tables(folder / name)) return KernelFolder{.folder = folder / name, .gpu = gpu.name};
  }
  for (const fs::path& part : {fs::path("gemm"), fs::path("mha") / "prefill", fs::path("mha") / "decode"}) {
    if (const auto names = folders_of(folder / part, gpu); !names.empty()) return KernelFolder{.folder = folder, .gpu = names.front()};
  }
  return find_vidur_profiles(folder, gpu);
}

}  // namespace rooftune::data
