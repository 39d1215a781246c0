#include "vidur_tables.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "rooftune/text/csv.hpp"
#include "rooftune/text/files.hpp"

namespace rooftune::data {
namespace {

namespace fs = std::filesystem;
using kernels::AllReduceRow;
using kernels::AttentionRow;
using kernels::GemmRow;
using kernels::HeadShape;
using kernels::MeasuredKernels;
using kernels::NumberFormat;

constexpr double kMicrosecondsPerMillisecond = 1e3;
constexpr std::string_view kVidur = "vidur";
/// Folders between the GPU's and a model's tables.
constexpr int kDeepest = 3;

/// A profile, row by row. Cells that do not apply are empty or "nan".
class Profile {
 public:
  explicit Profile(const text::CsvTable& table) : table_(table) {
    for (std::size_t i = 0; i < table.header.size(); ++i) columns_.emplace(table.header[i].text, i);
  }

  [[nodiscard]] std::size_t size() const { return table_.rows.size(); }
  [[nodiscard]] bool has(std::string_view name) const { return columns_.contains(std::string(name)); }

  [[nodiscard]] std::optional<double> number(std::size_t row, std::string_view name) const {
    const std::string cell = text(row, name);
    double value = 0.0;
    const auto [end, failure] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    const bool is_number = failure == std::errc() && end == cell.data() + cell.size() && std::isfinite(value);
    return is_number ? std::optional(value) : std::nullopt;
  }
  /// 0 where there is none.
  [[nodiscard]] std::int64_t whole(std::size_t row, std::string_view name) const {
    constexpr double kMost = 1e15;
    const double value = number(row, name).value_or(0.0);
    return value > 0.0 && value < kMost ? std::llround(value) : 0;
  }
  [[nodiscard]] std::string text(std::size_t row, std::string_view name) const {
    const auto column = columns_.find(std::string(name));
    return column == columns_.end() ? std::string() : table_.rows[row][column->second].text;
  }

 private:
  const text::CsvTable& table_;
  std::map<std::string, std::size_t> columns_;
};

/// Means of what was measured several times, in the order of their keys.
template <class Key>
class Means {
 public:
  void add(const Key& key, std::optional<double> milliseconds) {
    if (!milliseconds || *milliseconds <= 0.0) return;
    auto& [sum, count] = sums_[key];
    sum += *milliseconds * kMicrosecondsPerMillisecond;
    ++count;
  }
  template <class Row, class Make>
  void append_to(std::vector<Row>& rows, const Make& make) const {
    for (const auto& [key, sum] : sums_) rows.push_back(make(key, sum.first / static_cast<double>(sum.second)));
  }

 private:
  std::map<Key, std::pair<double, std::int64_t>> sums_;
};

/// Whole columns are missing in a file of another kind or version.
void require(const Profile& profile, const text::CsvTable& table, std::initializer_list<std::string_view> names,
             core::Diagnostics& errors) {
  for (const std::string_view name : names) {
    if (profile.has(name)) continue;
    errors.push_back({.position = {table.file, 1, 1},
                      .problem = fmt::format("a profile of Vidur without the column '{}'", name),
                      .remedy = "name the folder that Vidur's profiler wrote, as it is"});
  }
}

/// m, n, k
using Product = std::tuple<std::int64_t, std::int64_t, std::int64_t>;

/// The linear layers of a model's profile: what each GPU of a group multiplies.
void add_products(const text::CsvTable& table, Means<Product>& products, core::Diagnostics& errors) {
  const Profile profile(table);
  require(profile, table,
          {"n_head", "n_kv_head", "n_embd", "n_expanded_embd", "use_gated_mlp", "num_tokens", "num_tensor_parallel_workers"}, errors);
  for (std::size_t row = 0; row < profile.size(); ++row) {
    const std::int64_t tp = profile.whole(row, "num_tensor_parallel_workers");
    const std::int64_t heads = profile.whole(row, "n_head");
    const std::int64_t hidden = profile.whole(row, "n_embd");
    const std::int64_t width = profile.whole(row, "n_expanded_embd");
    const std::int64_t tokens = profile.whole(row, "num_tokens");
    if (tp == 0 || heads == 0 || hidden == 0 || width == 0 || tokens == 0 || heads % tp != 0 || width % tp != 0) continue;
    const std::int64_t head_dim = hidden / heads;
    const std::int64_t kv_heads = std::max<std::int64_t>(1, profile.whole(row, "n_kv_head") / tp);
    const std::int64_t gates = profile.text(row, "use_gated_mlp") == "True" ? 2 : 1;
    const auto add = [&](std::string_view name, std::int64_t n, std::int64_t k) {
      products.add({tokens, n, k}, profile.number(row, fmt::format("time_stats.{}.median", name)));
    };
    add("attn_pre_proj", (heads / tp + 2 * kv_heads) * head_dim, hidden);
    add("attn_post_proj", hidden, heads / tp * head_dim);
    add("mlp_up_proj", gates * width / tp, hidden);
    add("mlp_down_proj", hidden, width / tp);
  }
}

/// heads, KV heads, head dimension, sequences, new tokens of each, tokens of each in all
using AttentionKey = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t>;

void add_attention(const text::CsvTable& table, Means<AttentionKey>& context, Means<AttentionKey>& generation,
                   core::Diagnostics& errors) {
  const Profile profile(table);
  require(profile, table,
          {"n_q_head", "n_kv_head", "n_embd", "num_tensor_parallel_workers", "batch_size", "prefill_chunk_size", "kv_cache_size",
           "is_prefill"},
          errors);
  for (std::size_t row = 0; row < profile.size(); ++row) {
    // Batches of several kinds, of newer profilers, have no shape of ours.
    if (profile.text(row, "is_mixed_batch") == "True" || profile.text(row, "is_true_mixed_batch") == "True") continue;
    const std::int64_t tp = profile.whole(row, "num_tensor_parallel_workers");
    const std::int64_t heads = profile.whole(row, "n_q_head");
    const std::int64_t batch = profile.whole(row, "batch_size");
    if (tp == 0 || heads == 0 || batch == 0 || heads % tp != 0) continue;
    const std::int64_t head_dim = profile.whole(row, "n_embd") / heads;
    const std::int64_t kv_heads = std::max<std::int64_t>(1, profile.whole(row, "n_kv_head") / tp);
    const std::int64_t cached = profile.whole(row, "kv_cache_size");
    if (profile.text(row, "is_prefill") == "True") {
      const std::int64_t chunk = profile.whole(row, "prefill_chunk_size");
      if (chunk == 0) continue;
      context.add({heads / tp, kv_heads, head_dim, batch, chunk, cached + chunk},
                  profile.number(row, "time_stats.attn_prefill.median"));
    } else if (cached > 0) {
      generation.add({heads / tp, kv_heads, head_dim, batch, 1, cached}, profile.number(row, "time_stats.attn_decode.median"));
    }
  }
}

/// ranks, bytes
using Message = std::pair<std::int64_t, std::int64_t>;

void add_all_reduces(const text::CsvTable& table, Means<Message>& messages, core::Diagnostics& errors) {
  const Profile profile(table);
  require(profile, table, {"num_workers", "size", "time_stats.all_reduce.median"}, errors);
  for (std::size_t row = 0; row < profile.size(); ++row) {
    const std::int64_t ranks = profile.whole(row, "num_workers");
    const std::int64_t bytes = profile.whole(row, "size");
    if (ranks >= 2 && bytes > 0) messages.add({ranks, bytes}, profile.number(row, "time_stats.all_reduce.median"));
  }
}

/// The files of this name in a folder and below it, sorted.
std::vector<fs::path> files_below(const fs::path& folder, std::string_view name, int depth = 0) {
  std::vector<fs::path> files;
  if (text::exists(folder / name)) files.push_back(folder / name);
  std::error_code ignored;
  for (const fs::path& entry : depth < kDeepest ? text::entries_of(folder, ignored) : std::vector<fs::path>{}) {
    if (!text::is_folder(entry)) continue;
    const std::vector<fs::path> below = files_below(entry, name, depth + 1);
    files.insert(files.end(), below.begin(), below.end());
  }
  return files;
}

/// network/<gpu>_dgx/all_reduce.csv beside compute/<gpu>; other links than a whole node's come second.
std::optional<fs::path> all_reduces_of(const fs::path& folder) {
  if (text::exists(folder / "all_reduce.csv")) return folder / "all_reduce.csv";
  const std::string name = folder.filename().string();
  std::optional<fs::path> found;
  std::error_code ignored;
  for (const fs::path& entry : text::entries_of(folder.parent_path().parent_path() / "network", ignored)) {
    const std::string links = entry.filename().string();
    if (!links.starts_with(name + "_") || !text::exists(entry / "all_reduce.csv")) continue;
    if (!found || links.ends_with("_dgx")) found = entry / "all_reduce.csv";
  }
  return found;
}

template <class Add>
void read_all(const std::vector<fs::path>& files, core::Diagnostics& errors, const Add& add) {
  for (const fs::path& file : files) {
    if (const auto table = text::read_csv(file)) {
      add(*table);
    } else {
      errors.insert(errors.end(), table.error().begin(), table.error().end());
    }
  }
}

AttentionRow attention_row(const AttentionKey& key, double latency_us) {
  const auto& [heads, kv_heads, head_dim, batch, new_tokens, kv_tokens] = key;
  AttentionRow row;
  row.shape = HeadShape{.heads = heads, .kv_heads = kv_heads, .head_dim = head_dim};
  row.batch = batch;
  row.new_tokens = new_tokens;
  row.kv_tokens = kv_tokens;
  row.latency_us = latency_us;
  return row;
}

}  // namespace

bool is_vidur_folder(const fs::path& folder) {
  return !files_below(folder, "mlp.csv").empty() || !files_below(folder, "attention.csv").empty();
}

std::optional<KernelFolder> find_vidur_profiles(const fs::path& folder, const domain::GpuSpec& gpu) {
  const fs::path plain =
      folder.lexically_normal().has_filename() ? folder.lexically_normal() : folder.lexically_normal().parent_path();
  const auto is_of_gpu = [&](const fs::path& candidate) {
    return domain::find_gpu({gpu}, candidate.filename().string()) != nullptr && text::is_folder(candidate) &&
           is_vidur_folder(candidate);
  };
  if (is_of_gpu(plain)) return KernelFolder{.folder = plain, .gpu = gpu.name};
  for (const fs::path& inside : {plain, plain / "compute", plain / "data" / "profiling" / "compute"}) {
    std::error_code missing;
    for (const fs::path& entry : text::entries_of(inside, missing)) {
      if (is_of_gpu(entry)) return KernelFolder{.folder = entry, .gpu = gpu.name};
    }
  }
  return std::nullopt;
}

core::Result<MeasuredKernels> read_vidur_profiles(const fs::path& folder, std::string_view gpu) {
  MeasuredKernels measured;
  measured.gpu = gpu;
  measured.engine = kVidur;
  core::Diagnostics errors;
  Means<Product> products;
  read_all(files_below(folder, "mlp.csv"), errors, [&](const text::CsvTable& table) { add_products(table, products, errors); });
  Means<AttentionKey> context;
  Means<AttentionKey> generation;
  read_all(files_below(folder, "attention.csv"), errors,
           [&](const text::CsvTable& table) { add_attention(table, context, generation, errors); });
  Means<Message> messages;
  if (const auto file = all_reduces_of(folder)) {
    read_all({*file}, errors, [&](const text::CsvTable& table) { add_all_reduces(table, messages, errors); });
  }
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  products.append_to(measured.gemms, [](const Product& key, double latency_us) {
    const auto& [m, n, k] = key;
    GemmRow row;
    row.format = NumberFormat::bf16;
    row.m = m;
    row.n = n;
    row.k = k;
    row.latency_us = latency_us;
    row.engine = kVidur;
    return row;
  });
  context.append_to(measured.context_attention, attention_row);
  generation.append_to(measured.generation_attention, attention_row);
  messages.append_to(measured.all_reduces, [](const Message& key, double latency_us) {
    return AllReduceRow{
        .ranks = key.first, .message_bytes = key.second, .latency_us = latency_us, .kind = "nccl", .engine = std::string(kVidur)};
  });
  return measured;
}

}  // namespace rooftune::data
