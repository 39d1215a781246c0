#include "rooftune/kernels/gpu_curves.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <tuple>

#include "rooftune/core/contract.hpp"
#include "rooftune/core/statistics.hpp"
#include "rooftune/core/units.hpp"
#include "rooftune/kernels/all_reduce.hpp"
#include "rooftune/kernels/audit.hpp"
#include "rooftune/kernels/dealt_experts.hpp"

namespace rooftune::kernels {
namespace {

/// Joins compute and memory time: one exponent fits the products of every GPU (docs/kernel_data.md).
constexpr double kNorm = 2.5;
/// Share of the bandwidth at which activations pass, beside weights: they stream like everything large.
constexpr double kActivationShare = 0.8;
/// Where nothing of a format was measured, and what to assume of compute then.
constexpr double kUnmeasuredShare = 0.6;
constexpr double kUnmeasuredCallUs = 5.0;
/// Weights of a product that no L2 holds (H100: 50 MB, benchmarks turn six copies).
constexpr double kLargeWeights = 30e6;
/// A KV cache that no L2 holds even in part: twice the largest one's (B200: 126 MB). A benchmark reads the same cache again and
/// again; between two calls of an engine the weights of a layer pass.
constexpr double kLargeCache = 252e6;

double real(std::int64_t number) { return static_cast<double>(number); }

double squared_log(double ratio) {
  const double logarithm = std::log(ratio);
  return logarithm * logarithm;
}

double quantile(std::vector<double> values, double fraction) { return core::quantile_in_place(values, fraction); }

double product_bytes(NumberFormat format, double m, double n, double k) {
  return n * k * bytes_per_element(format) + 2.0 * m * (n + k) / kActivationShare;
}

double product_us(const RooflineForm& form, NumberFormat format, double m, double n, double k) {
  return form.us(2.0 * m * n * k, product_bytes(format, m, n, k));
}

/// One row of a grid of attention times: a curve over tokens for each number of sequences.
LatencyGrid grid_of(const std::map<std::int64_t, std::vector<CurvePoint>>& by_sequences, double work_power) {
  std::vector<LatencyGrid::Row> rows;
  for (const auto& [sequences, points] : by_sequences)
    rows.push_back({.sequences = real(sequences), .by_tokens = LatencyCurve(points, work_power)});
  return LatencyGrid(std::move(rows));
}

/// The grids of all keys, from rows that `key_of`, `sequences_of` and `tokens_of` take apart.
template <class Key, class Row, class KeyOf, class TokensOf>
std::map<Key, LatencyGrid> grids_of(const std::vector<Row>& rows, double work_power, const KeyOf& key_of, const TokensOf& tokens_of) {
  std::map<Key, std::map<std::int64_t, std::vector<CurvePoint>>> points;
  for (const Row& row : rows) {
    if (row.flag.empty()) points[key_of(row)][row.batch].push_back({.quantity = tokens_of(row), .latency_us = row.latency_us});
  }
  std::map<Key, LatencyGrid> grids;
  for (const auto& [key, by_sequences] : points) grids.emplace(key, grid_of(by_sequences, work_power));
  return grids;
}

/// TensorRT-LLM's experts for Blackwell, as FlashInfer has them: scores in, experts chosen inside.
constexpr std::string_view kRoutingKernels = "flashinfer_trtllm";

/// Flag of products whose weights a benchmark with a single copy read from the L2 cache.
constexpr std::string_view kFromCache = "l2_resident";
constexpr std::int64_t kStreamingTokens = 16;

/// Bytes per us at which large weights stream from memory through small products, by format.
std::map<NumberFormat, double> streaming_rates(const std::vector<GemmRow>& rows) {
  std::map<NumberFormat, std::vector<double>> rates;
  for (const GemmRow& row : rows) {
    if (!row.format || !row.flag.empty() || row.m > kStreamingTokens) continue;
    const double weights = real(row.n) * real(row.k) * bytes_per_element(*row.format);
    if (weights >= kLargeWeights) rates[*row.format].push_back(weights / row.latency_us);
  }
  std::map<NumberFormat, double> fast;
  for (auto& [format, all] : rates) fast[format] = quantile(std::move(all), 0.9);
  return fast;
}

/// Fewer tokens never take this much longer than the next larger number that was measured: the benchmark was disturbed. (B200's FP8
/// products take twice their neighbours' time at one size in ten, each time at another; true bumps stay below 1.4.)
constexpr double kGlitch = 1.5;

/// `us` along tokens, 0 where nothing was measured.
void without_glitches(std::vector<double>& us) {
  double next_us = std::numeric_limits<double>::infinity();
  for (auto at = us.rbegin(); at != us.rend(); ++at) {
    if (*at <= 0.0) continue;
    if (*at > kGlitch * next_us) *at = next_us;
    next_us = *at;
  }
}

/// How many shapes stand in for one that was not measured, and the squared distance in the logarithms of n and k that is none
/// yet. Chosen by leaving out one shape after the other (scripts/import/leave_out_products.py).
constexpr std::size_t kNearest = 3;
constexpr double kSameShape = 0.02;

}  // namespace

double RooflineForm::us(double flops, double bytes) const {
  const double compute_us = flops / flops_per_us;
  const double memory_us = bytes / bytes_per_us;
  const double larger = std::max(compute_us, memory_us);
  const double smaller = std::min(compute_us, memory_us);
  return call_us + larger * std::pow(1.0 + std::pow(smaller / larger, kNorm), 1.0 / kNorm);
}

ExpertPrice::At ExpertPrice::at(double tokens, double rho) const {
  // All tokens of a batch that is small go to experts of their own in the benchmark, in an engine they meet.
  const double log_missed = std::log1p(-std::min(per_token_ / experts_, 1.0 - 1e-12));
  const double missed = std::exp(rho * tokens * log_missed);
  const BusiestReached busiest = busiest_reached(experts_ * (1.0 - missed), experts_, ranks);
  const double reached = busiest.experts;
  const double per_rho = -experts_ * missed * tokens * log_missed * busiest.slope;
  const double capacity = experts_ * reached_;
  const double saturation_tokens = capacity / per_token_;
  At at;
  if (reached <= capacity) {
    const Price price = spread_.at(reached / per_token_);
    at.reading_us = price.us;
    at.per_rho_us = price.slope_us * per_rho / per_token_;
  } else {
    const double saturated_us = spread_.us(saturation_tokens);
    at.reading_us = saturated_us * reached / capacity;
    at.per_rho_us = saturated_us * per_rho / capacity;
  }
  // Skewed loads of a benchmark are those of the busiest GPU already.
  const double busiest_load = is_skewed_ ? 1.0 : busiest_pairs(tokens * per_token_, ranks, dealt.value);
  const double load = tokens * busiest_load;
  if (load <= saturation_tokens) return at;
  const Price price = loaded_.at(load);
  at.load_us = std::max(0.0, price.us - loaded_.us(saturation_tokens));
  if (is_skewed_ || at.load_us <= 0.0 || busiest_load <= 1.0 || busiest_load >= ranks) return at;
  // The factor is 1 + d sqrt(v): its slope in v is d^2 / 2 over what is above 1.
  const double deviation = busiest_deviation(ranks);
  at.per_exponent_us = price.slope_us * tokens * 0.5 * deviation * deviation / (busiest_load - 1.0) * dealt.slope;
  return at;
}

namespace {

double smallest_us_of(const LatencyGrid& grid) { return grid.rows().front().by_tokens.points().front().latency_us; }

/// The rows that a look-up of so many sequences takes all have so many tokens.
double most_tokens_of(const LatencyGrid& grid, double sequences) {
  const std::vector<LatencyGrid::Row>& rows = grid.rows();
  const auto above = std::ranges::lower_bound(rows, sequences, {}, &LatencyGrid::Row::sequences);
  const auto most = [](const LatencyGrid::Row& row) { return row.by_tokens.points().back().quantity; };
  if (above == rows.end()) return most(rows.back());
  return above == rows.begin() || above->sequences == sequences ? most(*above) : std::min(most(*above), most(*(above - 1)));
}

}  // namespace

double AttentionPrice::us(double sequences, double tokens) const {
  LookupReport unused;
  const double own_us = grid->latency_us(sequences_factor * sequences, tokens, LookupMode::interpolate, unused);
  if (beside == nullptr) return own_us;
  const double beside_us = beside->latency_us(sequences_factor * sequences, tokens, LookupMode::interpolate, unused);
  return (1.0 - share_beside) * own_us + share_beside * beside_us;
}

double AttentionPrice::smallest_us() const {
  if (beside == nullptr) return smallest_us_of(*grid);
  return (1.0 - share_beside) * smallest_us_of(*grid) + share_beside * smallest_us_of(*beside);
}

double AttentionPrice::most_tokens(double sequences) const {
  const double own = most_tokens_of(*grid, sequences_factor * sequences);
  return beside == nullptr ? own : std::min(own, most_tokens_of(*beside, sequences_factor * sequences));
}

double ChunkPrice::us(double new_tokens, double cached_tokens) const {
  return by_cached.us(new_tokens, 1.0 + std::min(cached_tokens, most_cached_tokens));
}

double exchange_copies(std::string_view kind, std::int64_t ranks, std::int64_t experts_per_token) {
  if (kind == "low_latency") return real(experts_per_token);
  return real(ranks) * (1.0 - std::pow(1.0 - 1.0 / real(ranks), real(experts_per_token)));
}

AttentionPrice::Streaming AttentionPrice::streaming() const {
  ROOFTUNE_EXPECTS(bytes_per_token > 0.0);
  const double call_us = smallest_us();
  std::vector<double> rates;
  double largest = 0.0;
  double largest_rate = 0.0;
  for (const LatencyGrid::Row& row : grid->rows()) {
    for (const CurvePoint& point : row.by_tokens.points()) {
      const double tokens = row.sequences * point.quantity;
      const double us_per_token = std::max(0.0, point.latency_us - call_us) / tokens;
      if (tokens * bytes_per_token >= kLargeCache) rates.push_back(us_per_token);
      if (tokens <= largest) continue;
      largest = tokens;
      largest_rate = us_per_token;
    }
  }
  const double us_per_token = rates.empty() ? largest_rate : core::median(rates);
  return {.call_us = call_us, .us_per_token = us_per_token * sequences_factor};
}

GpuCurves::GpuCurves(const MeasuredKernels& kernels, const domain::GpuSpec& gpu, std::optional<domain::Release> release,
                     std::optional<bool> fused)
    : gpu_(gpu) {
  add_products(kernels, release);
  add_experts(kernels);
  add_attention(kernels);
  add_modules(kernels);
  add_sparse_modules(kernels);
  add_exchanges(kernels);
  std::set<std::int64_t> ranks;
  for (const AllReduceRow& row : kernels.all_reduces) ranks.insert(row.ranks);
  for (const std::int64_t count : ranks) all_reduces_[count] = all_reduce_curve(kernels.all_reduces, gpu, count, release, fused);
  std::map<std::pair<std::string, std::int64_t>, std::map<double, PriceCurve::Point>> others;
  for (const CollectiveRow& row : kernels.collectives) {
    const auto bytes = static_cast<double>(row.message_bytes);
    others[{row.op, row.ranks}][bytes] = {.quantity = bytes, .us = row.latency_us};
  }
  for (const auto& [key, points] : others) {
    std::vector<PriceCurve::Point> all;
    for (const auto& [bytes, point] : points) all.push_back(point);
    collectives_[key.first][key.second] = PriceCurve(std::move(all));
  }
}

void GpuCurves::add_products(const MeasuredKernels& kernels, std::optional<domain::Release> release) {
  // Of several releases that measured one product, the one that stands for ours: the newest that is not younger, else the oldest.
  using Key = std::tuple<NumberFormat, std::int64_t, std::int64_t, std::int64_t>;
  struct Candidate {
    std::optional<domain::Release> release;
    double us = 0.0;
  };
  std::map<Key, Candidate> chosen;
  const std::map<NumberFormat, double> streaming = streaming_rates(kernels.gemms);
  for (const GemmRow& row : kernels.gemms) {
    const bool from_cache = row.flag == kFromCache;
    if (!row.format || !(row.flag.empty() || from_cache)) continue;
    Candidate candidate{.release = domain::find_release(row.engine), .us = row.latency_us};
    if (from_cache) {
      const auto rate = streaming.find(*row.format);
      if (rate == streaming.end()) continue;
      candidate.us = std::max(candidate.us, real(row.n) * real(row.k) * bytes_per_element(*row.format) / rate->second);
    }
    const auto [place, is_new] = chosen.try_emplace({*row.format, row.n, row.k, row.m}, candidate);
    if (is_new) continue;
    Candidate& known = place->second;
    const bool fits = !release || !candidate.release || *candidate.release <= *release;
    const bool known_fits = !release || !known.release || *known.release <= *release;
    const bool is_newer = candidate.release > known.release;
    if (fits == known_fits ? is_newer == fits : fits) known = candidate;
  }

  std::map<NumberFormat, std::set<std::int64_t>> ladders;
  for (const auto& [key, candidate] : chosen) ladders[std::get<0>(key)].insert(std::get<3>(key));
  for (const auto& [format, ladder] : ladders) {
    Products& products = gemms_[format];
    for (const std::int64_t m : ladder) products.ladder.push_back(real(m));
  }
  for (const auto& [key, candidate] : chosen) {
    const auto& [format, n, k, m] = key;
    Products& products = gemms_[format];
    if (products.shapes.empty() || products.shapes.back() != std::pair(n, k)) {
      products.shapes.emplace_back(n, k);
      products.us.emplace_back(products.ladder.size(), 0.0);
    }
    const auto place = std::ranges::lower_bound(products.ladder, real(m)) - products.ladder.begin();
    products.us.back()[static_cast<std::size_t>(place)] = candidate.us;
  }

  for (auto& [format, products] : gemms_) {
    for (std::vector<double>& us : products.us) without_glitches(us);
    std::vector<double> flops_per_us;
    std::vector<double> large_flops_per_us;
    std::vector<double> bytes_per_us;
    std::vector<double> large_bytes_per_us;
    double smallest_us = std::numeric_limits<double>::infinity();
    for (std::size_t shape = 0; shape < products.shapes.size(); ++shape) {
      const double elements = real(products.shapes[shape].first) * real(products.shapes[shape].second);
      const double weights = elements * bytes_per_element(format);
      for (std::size_t i = 0; i < products.ladder.size(); ++i) {
        const double us = products.us[shape][i];
        if (us <= 0.0) continue;
        smallest_us = std::min(smallest_us, us);
        const double m = products.ladder[i];
        flops_per_us.push_back(2.0 * m * elements / us);
        bytes_per_us.push_back(weights / us);
        if (weights < kLargeWeights) continue;
        if (m >= 2048) large_flops_per_us.push_back(flops_per_us.back());
        if (m <= 16) large_bytes_per_us.push_back(bytes_per_us.back());
      }
    }
    products.form = {.call_us = 0.7 * smallest_us,
                     .flops_per_us = quantile(large_flops_per_us.empty() ? flops_per_us : large_flops_per_us, 0.9),
                     .bytes_per_us = quantile(large_bytes_per_us.empty() ? bytes_per_us : large_bytes_per_us, 0.9)};
    products.log_ratio = products.us;
    for (std::size_t shape = 0; shape < products.shapes.size(); ++shape) {
      const auto& [n, k] = products.shapes[shape];
      for (std::size_t i = 0; i < products.ladder.size(); ++i) {
        double& ratio = products.log_ratio[shape][i];
        if (ratio > 0.0) ratio = std::log(ratio / product_us(products.form, format, products.ladder[i], real(n), real(k)));
      }
    }
    set_typical_ratios(products, format);
  }
}

void GpuCurves::set_typical_ratios(Products& products, NumberFormat format) {
  for (std::size_t i = 0; i < products.ladder.size(); ++i) {
    std::vector<double> large;
    std::vector<double> all;
    for (std::size_t shape = 0; shape < products.shapes.size(); ++shape) {
      if (products.us[shape][i] <= 0.0) continue;
      const auto& [n, k] = products.shapes[shape];
      all.push_back(products.log_ratio[shape][i]);
      if (real(n) * real(k) * bytes_per_element(format) >= kLargeWeights) large.push_back(all.back());
    }
    products.typical_log_ratio.push_back(core::median(large.empty() ? all : large));
  }
}

RooflineForm GpuCurves::form(NumberFormat format) const {
  if (const auto own = gemms_.find(format); own != gemms_.end()) return own->second.form;
  const double peak_flops_per_us = core::flops_per_us(dense_peak(gpu_, format));
  const auto bf16 = gemms_.find(NumberFormat::bf16);
  if (bf16 == gemms_.end()) {
    return {.call_us = kUnmeasuredCallUs,
            .flops_per_us = kUnmeasuredShare * peak_flops_per_us,
            .bytes_per_us = kActivationShare * core::bytes_per_us(gpu_.hbm_bandwidth)};
  }
  RooflineForm form = bf16->second.form;
  form.flops_per_us *= peak_flops_per_us / core::flops_per_us(gpu_.peak_bf16);
  return form;
}

GemmPrice GpuCurves::gemm(NumberFormat format, std::int64_t n, std::int64_t k, ProductRows rows) const {
  const RooflineForm roofline = form(format);
  const auto own = gemms_.find(format);
  if (own == gemms_.end()) {
    std::vector<PriceCurve::Point> points;
    for (double m = 1.0; m <= 65536.0; m *= 2.0)
      points.push_back({.quantity = m, .us = product_us(roofline, format, m, real(n), real(k))});
    return {.by_tokens = PriceCurve(std::move(points)), .coverage = Coverage::bounded};
  }
  const Products& products = own->second;
  const auto exact = std::ranges::find(products.shapes, std::pair(n, k));
  const std::size_t exact_place = static_cast<std::size_t>(exact - products.shapes.begin());
  GemmPrice price{.by_tokens = {}, .coverage = exact != products.shapes.end() ? Coverage::measured : Coverage::scaled};
  if (rows == ProductRows::typical) {
    std::vector<PriceCurve::Point> points;
    for (std::size_t i = 0; i < products.ladder.size(); ++i) {
      const double m = products.ladder[i];
      const double us = product_us(roofline, format, m, real(n), real(k)) * std::exp(products.typical_log_ratio[i]);
      points.push_back({.quantity = m, .us = us});
    }
    price.by_tokens = PriceCurve(std::move(points));
    return price;
  }
  // Shapes by distance.
  std::vector<std::pair<double, std::size_t>> nearest;
  for (std::size_t shape = 0; shape < products.shapes.size(); ++shape) {
    const auto& [other_n, other_k] = products.shapes[shape];
    nearest.emplace_back(squared_log(real(n) / real(other_n)) + squared_log(real(k) / real(other_k)), shape);
  }
  std::ranges::sort(nearest);

  std::vector<PriceCurve::Point> points;
  for (std::size_t i = 0; i < products.ladder.size(); ++i) {
    const double m = products.ladder[i];
    double us = exact != products.shapes.end() ? products.us[exact_place][i] : 0.0;
    if (us <= 0.0) {
      double weights = 0.0;
      double sum = 0.0;
      std::size_t taken = 0;
      for (const auto& [distance, shape] : nearest) {
        if (products.us[shape][i] <= 0.0) continue;
        const double weight = 1.0 / ((distance + kSameShape) * (distance + kSameShape));
        weights += weight;
        sum += weight * products.log_ratio[shape][i];
        if (++taken == kNearest) break;
      }
      us = product_us(roofline, format, m, real(n), real(k)) * std::exp(sum / weights);
    }
    points.push_back({.quantity = m, .us = us});
  }
  price.by_tokens = PriceCurve(std::move(points));
  return price;
}

double GpuCurves::expert_roofline_us(const RooflineForm& form, NumberFormat format, const MoeShape& shape, double tokens) {
  const double pairs = tokens * real(shape.experts_per_token) / real(shape.ep);
  const double elements = 3.0 * real(shape.hidden) * real(shape.ffn_width) / real(shape.tp);
  const double reached = std::min(real(shape.experts) / real(shape.ep), pairs);
  return form.us(2.0 * pairs * elements, reached * elements * bytes_per_element(format));
}

void GpuCurves::add_experts(const MeasuredKernels& kernels) {
  using Key = std::tuple<NumberFormat, MoeShape, std::string>;
  std::map<Key, MeasuredExperts> by_shape;
  for (const MoeRow& row : kernels.moes) {
    const MoeShape shape{row.hidden, row.ffn_width, row.experts_per_token, row.experts, row.tp, row.ep};
    MeasuredExperts& measured = by_shape[{row.format, shape, row.routing}];
    measured.format = row.format;
    measured.shape = shape;
    measured.routing = row.routing;
    measured.grouped_routing = row.flag == "grouped_routing";
    measured.routes_itself = row.kernel.starts_with(kRoutingKernels);
    if (!row.flag.empty() && !measured.grouped_routing) continue;
    measured.us.emplace_back(real(row.tokens), row.latency_us);
  }
  std::map<NumberFormat, std::vector<double>> flops_per_us;
  std::map<NumberFormat, std::vector<double>> bytes_per_us;
  std::map<NumberFormat, double> smallest_us;
  for (auto& [key, measured] : by_shape) {
    std::ranges::sort(measured.us);
    // Two kernels of one shape and size: the faster is the one that an engine would choose.
    const auto same = [](const auto& a, const auto& b) { return a.first == b.first; };
    measured.us.erase(std::unique(measured.us.begin(), measured.us.end(), same), measured.us.end());
    if (measured.us.empty()) continue;
    const MoeShape& shape = measured.shape;
    if (measured.routing == "balanced" && !measured.grouped_routing && shape.ep == 1) {
      const double elements = 3.0 * real(shape.hidden) * real(shape.ffn_width) / real(shape.tp);
      for (const auto& [tokens, us] : measured.us) {
        const double pairs = tokens * real(shape.experts_per_token);
        const double reached = std::min(real(shape.experts), pairs);
        flops_per_us[measured.format].push_back(2.0 * pairs * elements / us);
        bytes_per_us[measured.format].push_back(reached * elements * bytes_per_element(measured.format) / us);
        const auto [smallest, unused] = smallest_us.try_emplace(measured.format, us);
        smallest->second = std::min(smallest->second, us);
      }
    }
    experts_.push_back(std::move(measured));
  }
  for (const auto& [format, rates] : flops_per_us) {
    expert_forms_[format] = {.call_us = 0.7 * smallest_us[format],
                             .flops_per_us = quantile(rates, 0.98),
                             .bytes_per_us = quantile(bytes_per_us[format], 0.95)};
  }
}

RooflineForm GpuCurves::expert_form(NumberFormat format) const {
  if (const auto own = expert_forms_.find(format); own != expert_forms_.end()) return own->second;
  const auto bf16 = expert_forms_.find(NumberFormat::bf16);
  if (bf16 == expert_forms_.end()) return form(format);
  RooflineForm scaled = bf16->second;
  scaled.flops_per_us *= core::flops_per_us(dense_peak(gpu_, format)) / core::flops_per_us(gpu_.peak_bf16);
  return scaled;
}

const GpuCurves::MeasuredExperts* GpuCurves::nearest_experts(NumberFormat format, const MoeShape& shape,
                                                             std::string_view routing) const {
  const MeasuredExperts* nearest = nullptr;
  double smallest = std::numeric_limits<double>::infinity();
  for (const MeasuredExperts& other : experts_) {
    if (other.routing != routing) continue;
    // Another format stands in only where no shape was measured in the right one.
    double distance = other.format == format ? 0.0 : 1e4;
    const MoeShape& has = other.shape;
    const auto local_width = [](const MoeShape& moe) { return real(moe.ffn_width) / real(moe.tp); };
    distance += squared_log(real(shape.hidden) / real(has.hidden)) + squared_log(local_width(shape) / local_width(has)) +
                squared_log(real(shape.experts_per_token) / real(has.experts_per_token)) +
                squared_log(real(shape.experts) / real(has.experts)) + squared_log(real(shape.ep) / real(has.ep));
    if (distance < smallest) {
      smallest = distance;
      nearest = &other;
    }
  }
  return nearest;
}

PriceCurve GpuCurves::expert_curve(const MeasuredExperts& measured, NumberFormat format, const MoeShape& shape) const {
  const MoeShape& has = measured.shape;
  const bool same = has == shape && measured.format == format;
  // Equal numbers of tokens per expert are compared: where one shape turns from reading experts to computing, so does the other.
  const double density = real(has.experts_per_token) / real(has.experts) * real(shape.experts) / real(shape.experts_per_token);
  const RooflineForm own_form = expert_form(format);
  const RooflineForm has_form = expert_form(measured.format);
  std::vector<PriceCurve::Point> points;
  for (const auto& [has_tokens, has_us] : measured.us) {
    const double tokens = same ? has_tokens : has_tokens * density;
    const double us = same ? has_us
                           : has_us * expert_roofline_us(own_form, format, shape, tokens) /
                                 expert_roofline_us(has_form, measured.format, has, has_tokens);
    points.push_back({.quantity = tokens, .us = us});
  }
  return PriceCurve(std::move(points));
}

ExpertPrice GpuCurves::experts(NumberFormat format, const MoeShape& shape, ExpertLoad load) const {
  const double experts = real(shape.experts);
  const double per_token = real(shape.experts_per_token);
  const MeasuredExperts* spread = nearest_experts(format, shape, "balanced");
  const MeasuredExperts* skewed = nearest_experts(format, shape, "power_law_1.2");
  if (spread == nullptr) spread = skewed;
  if (spread == nullptr) {
    const RooflineForm roofline = expert_form(format);
    std::vector<PriceCurve::Point> points;
    for (double n = 1.0; n <= 65536.0; n *= 2.0)
      points.push_back({.quantity = n, .us = expert_roofline_us(roofline, format, shape, n)});
    const PriceCurve curve(std::move(points));
    ExpertPrice price(curve, curve, false, experts, per_token, 1.0, Coverage::bounded);
    price.ranks = static_cast<int>(shape.ep);
    return price;
  }
  const auto fits = [&](const MeasuredExperts& measured) { return measured.format == format && measured.shape == shape; };
  PriceCurve curve = expert_curve(*spread, format, shape);
  // What is skewed must be the same layer as what is balanced, or the difference is one of shapes.
  const bool has_skewed = skewed != nullptr && skewed->shape == spread->shape && skewed->format == spread->format;
  const bool is_skewed = load == ExpertLoad::power_law && has_skewed;
  PriceCurve loaded = is_skewed ? expert_curve(*skewed, format, shape) : curve;
  // One expert of every group was drawn, and half of the groups were dropped again.
  constexpr double kGroupedShare = 0.5;
  ExpertPrice price(std::move(curve), std::move(loaded), is_skewed, experts, per_token, spread->grouped_routing ? kGroupedShare : 1.0,
                    fits(*spread) ? Coverage::measured : (spread->format == format ? Coverage::scaled : Coverage::bounded));
  price.ranks = static_cast<int>(shape.ep);
  price.routes_itself = spread->routes_itself && spread->format == format;
  return price;
}

std::map<GpuCurves::HeadsKey, LatencyGrid> GpuCurves::heads_grids(const std::vector<AttentionRow>& rows, double work_power) {
  return grids_of<HeadsKey>(
      rows, work_power,
      [](const AttentionRow& row) { return HeadsKey{.kv = row.kv_format, .window = row.window, .heads = row.shape}; },
      [](const AttentionRow& row) { return real(row.kv_tokens); });
}

void GpuCurves::add_attention(const MeasuredKernels& kernels) {
  // A prompt from scratch: the work is the square of its tokens. Chunks of a cached context are no rows of these curves.
  std::vector<AttentionRow> prompts;
  for (const AttentionRow& row : kernels.context_attention) {
    if (row.new_tokens == row.kv_tokens) prompts.push_back(row);
  }
  context_ = heads_grids(prompts, 2.0);
  generation_ = heads_grids(kernels.generation_attention, 1.0);
}

std::optional<AttentionPrice> GpuCurves::nearest_heads(const std::map<HeadsKey, LatencyGrid>& grids, NumberFormat kv,
                                                       const HeadShape& heads, std::int64_t window) {
  const HeadsKey wanted{.kv = kv, .window = window, .heads = heads};
  if (const auto exact = grids.find(wanted); exact != grids.end())
    return AttentionPrice{.grid = &exact->second, .sequences_factor = 1.0, .window = window, .coverage = Coverage::measured};
  const std::pair<const HeadsKey, LatencyGrid>* nearest = nullptr;
  double smallest = std::numeric_limits<double>::infinity();
  for (const auto& entry : grids) {
    const HeadsKey& key = entry.first;
    // A kernel with another window sees other tokens; one without a window can be asked for fewer.
    if (key.window != window && key.window != 0) continue;
    const auto group = [](const HeadShape& shape) { return real(shape.heads) / real(shape.kv_heads); };
    const double distance = (key.window != window ? 100.0 : 0.0) + (key.kv != kv ? 1000.0 : 0.0) +
                            10.0 * squared_log(real(heads.head_dim) / real(key.heads.head_dim)) +
                            squared_log(group(heads) / group(key.heads)) +
                            squared_log(real(heads.kv_heads) / real(key.heads.kv_heads));
    if (distance < smallest) {
      smallest = distance;
      nearest = &entry;
    }
  }
  if (nearest == nullptr) return std::nullopt;
  const HeadsKey& key = nearest->first;
  // Heads of other sequences are independent work just as heads of one are: as many more sequences.
  const double factor = real(heads.kv_heads * heads.head_dim) / real(key.heads.kv_heads * key.heads.head_dim);
  return AttentionPrice{.grid = &nearest->second,
                        .sequences_factor = key.kv == kv ? factor : factor * bytes_per_element(kv) / bytes_per_element(key.kv),
                        .window = key.window,
                        .coverage = Coverage::scaled};
}

std::optional<AttentionPrice> GpuCurves::context_attention(NumberFormat kv, const HeadShape& heads, std::int64_t window) const {
  auto price = nearest_heads(context_, kv, heads, window);
  // Prefill computes: work goes by query heads, whatever the cache's format.
  if (!price || price->coverage == Coverage::measured) return price;
  for (const auto& [key, grid] : context_) {
    if (&grid == price->grid)
      price->sequences_factor = real(heads.heads * heads.head_dim) / real(key.heads.heads * key.heads.head_dim);
  }
  return price;
}

std::optional<AttentionPrice> GpuCurves::generation_attention(NumberFormat kv, const HeadShape& heads, std::int64_t window) const {
  auto price = nearest_heads(generation_, kv, heads, window);
  if (!price) return price;
  for (const auto& [key, grid] : generation_) {
    if (&grid == price->grid) price->bytes_per_token = 2.0 * real(key.heads.kv_heads * key.heads.head_dim) * bytes_per_element(key.kv);
  }
  return price;
}

void GpuCurves::add_modules(const MeasuredKernels& kernels) {
  const auto latent_key = [](const LatentAttentionRow& row) {
    return LatentKey{.format = row.format, .kv = row.kv_format, .heads = row.heads};
  };
  const auto latent_tokens = [](const LatentAttentionRow& row) { return real(row.kv_tokens); };
  // Prefill in FP8 (Blackwell) is an engine's option, not its default.
  std::vector<LatentAttentionRow> context = kernels.latent_context;
  std::erase_if(context, [](const LatentAttentionRow& row) { return row.compute_format != NumberFormat::bf16; });
  latent_context_ = grids_of<LatentKey>(context, 2.0, latent_key, latent_tokens);
  latent_generation_ = grids_of<LatentKey>(kernels.latent_generation, 1.0, latent_key, latent_tokens);

  // Convolution and recurrence run one after the other: their times of one size add up.
  using Cell = std::tuple<std::string, std::string, std::int64_t, std::int64_t, std::int64_t, std::int64_t>;
  const auto cell_of = [](const LinearAttentionRow& row) {
    return Cell(row.op, row.phase, row.key_heads, row.value_heads, row.batch, row.new_tokens);
  };
  std::map<Cell, double> convolution_us;
  for (const LinearAttentionRow& row : kernels.linear_attention) {
    // A flagged one was launched eagerly (all of KDA's prefill are): it times the host, ten times the recurrence beside it.
    if (row.part == "convolution" && row.flag.empty()) convolution_us[cell_of(row)] = row.latency_us;
  }
  std::vector<LinearAttentionRow> whole;
  for (LinearAttentionRow row : kernels.linear_attention) {
    if (row.part == "convolution" || !row.flag.empty()) continue;
    if (const auto beside = convolution_us.find(cell_of(row)); row.part == "recurrence" && beside != convolution_us.end())
      row.latency_us += beside->second;
    whole.push_back(row);
  }
  linear_ = grids_of<LinearKey>(
      whole, 1.0,
      [](const LinearAttentionRow& row) {
        return LinearKey{.op = row.op, .phase = row.phase, .key_heads = row.key_heads, .value_heads = row.value_heads};
      },
      [](const LinearAttentionRow& row) { return real(row.new_tokens); });
}

void GpuCurves::add_sparse_modules(const MeasuredKernels& kernels) {
  const auto key_of = [](const SparseAttentionRow& row) {
    // Whether the experts of the checkpoint that named it were in FP8 or FP4 is all one to its attention.
    constexpr std::string_view kExpertsInFp8 = "-FP8";
    std::string model = row.model;
    if (model.ends_with(kExpertsInFp8)) model.resize(model.size() - kExpertsInFp8.size());
    return SparseKey{.op = row.op, .model = std::move(model), .kv = row.kv_format, .heads = row.heads};
  };
  std::vector<SparseAttentionRow> decodes = kernels.sparse_attention;
  std::erase_if(decodes, [](const SparseAttentionRow& row) { return row.phase != "generation"; });
  sparse_generation_ = grids_of<SparseKey>(decodes, 1.0, key_of, [](const SparseAttentionRow& row) { return real(row.kv_tokens); });

  // Chunks of one sequence: those of several are so many calls' work in one.
  std::vector<SparseAttentionRow> chunks = kernels.sparse_attention;
  std::erase_if(chunks, [](const SparseAttentionRow& row) {
    return row.phase != "context" || row.batch != 1 || row.kv_tokens < row.new_tokens || !row.flag.empty();
  });
  for (SparseAttentionRow& row : chunks) {
    double& most = most_cached_[key_of(row)];
    most = std::max(most, real(row.kv_tokens - row.new_tokens));
    row.batch = row.new_tokens;
  }
  sparse_context_ =
      grids_of<SparseKey>(chunks, 1.0, key_of, [](const SparseAttentionRow& row) { return real(row.kv_tokens - row.new_tokens + 1); });
}

void GpuCurves::add_exchanges(const MeasuredKernels& kernels) {
  std::map<std::pair<std::string, std::string>, std::map<ExchangeShape, std::map<double, double>>> points;
  for (const ExpertExchangeRow& row : kernels.expert_exchanges) {
    if (!row.flag.empty()) continue;
    const ExchangeShape shape{
        .ranks = row.ranks, .hidden = row.hidden, .experts_per_token = row.experts_per_token, .experts = row.experts};
    points[{row.kind, row.op}][shape].try_emplace(real(row.tokens), row.latency_us);
  }
  for (const auto& [name, shapes] : points) {
    for (const auto& [shape, by_tokens] : shapes) {
      std::vector<PriceCurve::Point> curve;
      for (const auto& [tokens, us] : by_tokens) curve.push_back({.quantity = tokens, .us = us});
      exchanges_[name].emplace(shape, PriceCurve(std::move(curve)));
    }
  }
}

namespace {

/// The grid of the number of heads that is nearest, as so many more sequences.
template <class Key, class Heads>
std::optional<AttentionPrice> by_heads(const std::map<Key, LatencyGrid>& grids, Key wanted, Heads Key::*heads) {
  if (const auto exact = grids.find(wanted); exact != grids.end()) return AttentionPrice{.grid = &exact->second};
  std::optional<AttentionPrice> nearest;
  double smallest = std::numeric_limits<double>::infinity();
  const auto count = wanted.*heads;
  for (const auto& [key, grid] : grids) {
    wanted.*heads = key.*heads;
    if (key != wanted) continue;
    const double ratio = real(count) / real(key.*heads);
    if (squared_log(ratio) >= smallest) continue;
    smallest = squared_log(ratio);
    nearest = AttentionPrice{.grid = &grid, .sequences_factor = ratio, .window = 0, .coverage = Coverage::scaled};
  }
  return nearest;
}

/// Of whole modules, whose work is a part that goes by heads and one that does not: between the two numbers of heads that were
/// measured on either side, else the nearest one.
template <class Key, class Heads>
std::optional<AttentionPrice> between_heads(const std::map<Key, LatencyGrid>& grids, const Key& wanted, Heads Key::*heads) {
  const std::pair<const Key, LatencyGrid>* below = nullptr;
  const std::pair<const Key, LatencyGrid>* above = nullptr;
  for (const auto& entry : grids) {
    Key same = wanted;
    same.*heads = entry.first.*heads;
    if (entry.first != same) continue;
    const auto count = entry.first.*heads;
    if (count <= wanted.*heads && (below == nullptr || count > below->first.*heads)) below = &entry;
    if (count >= wanted.*heads && (above == nullptr || count < above->first.*heads)) above = &entry;
  }
  if (below == nullptr || above == nullptr || below == above) return by_heads(grids, wanted, heads);
  return AttentionPrice{.grid = &below->second,
                        .coverage = Coverage::scaled,
                        .beside = &above->second,
                        .share_beside = real(wanted.*heads - below->first.*heads) / real(above->first.*heads - below->first.*heads)};
}

}  // namespace

std::optional<AttentionPrice> GpuCurves::latent_context(NumberFormat format, NumberFormat kv, std::int64_t heads) const {
  return by_heads(latent_context_, LatentKey{.format = format, .kv = kv, .heads = heads}, &LatentKey::heads);
}

std::optional<AttentionPrice> GpuCurves::latent_generation(NumberFormat format, NumberFormat kv, std::int64_t heads) const {
  return by_heads(latent_generation_, LatentKey{.format = format, .kv = kv, .heads = heads}, &LatentKey::heads);
}

std::optional<AttentionPrice> GpuCurves::sparse_generation(std::string_view op, std::string_view model, NumberFormat kv,
                                                           std::int64_t heads) const {
  return between_heads(sparse_generation_, SparseKey{.op = std::string(op), .model = std::string(model), .kv = kv, .heads = heads},
                       &SparseKey::heads);
}

std::optional<ChunkPrice> GpuCurves::sparse_context(std::string_view op, std::string_view model, NumberFormat kv,
                                                    std::int64_t heads) const {
  const SparseKey wanted{.op = std::string(op), .model = std::string(model), .kv = kv, .heads = heads};
  const auto price = between_heads(sparse_context_, wanted, &SparseKey::heads);
  if (!price) return std::nullopt;
  // Every number of heads was measured behind the same contexts.
  double most = std::numeric_limits<double>::infinity();
  for (const auto& [key, cached] : most_cached_) {
    if (key.op == op && key.model == model && key.kv == kv) most = std::min(most, cached);
  }
  return ChunkPrice{.by_cached = *price, .most_cached_tokens = most};
}

std::optional<AttentionPrice> GpuCurves::linear_attention(std::string_view op, std::string_view phase, std::int64_t key_heads,
                                                          std::int64_t value_heads) const {
  std::optional<AttentionPrice> nearest;
  double smallest = std::numeric_limits<double>::infinity();
  for (const auto& [key, grid] : linear_) {
    if (key.op != op || key.phase != phase) continue;
    const double ratio = real(value_heads) / real(key.value_heads);
    const double distance = squared_log(ratio) + squared_log(real(key_heads) / real(key.key_heads));
    if (distance >= smallest) continue;
    smallest = distance;
    nearest = AttentionPrice{
        .grid = &grid, .sequences_factor = ratio, .window = 0, .coverage = distance > 0.0 ? Coverage::scaled : Coverage::measured};
  }
  return nearest;
}

GemmPrice GpuCurves::all_reduce(std::int64_t ranks) const { return by_ranks(all_reduces_, ranks, 2.0); }

GemmPrice GpuCurves::collective(std::string_view op, std::int64_t ranks) const {
  const auto found = collectives_.find(op);
  return by_ranks(found == collectives_.end() ? std::map<std::int64_t, PriceCurve>() : found->second, ranks, 1.0);
}

std::optional<GemmPrice> GpuCurves::expert_exchange(std::string_view kind, std::string_view op, const ExchangeShape& shape) const {
  const auto found = exchanges_.find({std::string(kind), std::string(op)});
  if (found == exchanges_.end()) return std::nullopt;
  if (const auto exact = found->second.find(shape); exact != found->second.end()) return GemmPrice{.by_tokens = exact->second};
  const auto work = [&](const ExchangeShape& of) { return real(of.hidden) * exchange_copies(kind, of.ranks, of.experts_per_token); };
  // Other nodes have other links: ranks first.
  const auto distance = [&](const ExchangeShape& of) {
    return 100.0 * squared_log(real(of.ranks) / real(shape.ranks)) + squared_log(work(of) / work(shape)) +
           squared_log(real(of.experts) / real(shape.experts));
  };
  const auto nearest = std::ranges::min_element(found->second, {}, [&](const auto& entry) { return distance(entry.first); });
  const ExchangeShape& measured = nearest->first;
  const double work_ratio = work(shape) / work(measured);
  const auto to_others = [](std::int64_t ranks) { return real(ranks - 1) / real(ranks); };
  const double time_ratio = to_others(shape.ranks) / to_others(measured.ranks);
  std::vector<PriceCurve::Point> points;
  for (double tokens = 1.0; tokens <= 131072.0; tokens *= 2.0)
    points.push_back({.quantity = tokens, .us = nearest->second.us(tokens * work_ratio) * time_ratio});
  return GemmPrice{.by_tokens = PriceCurve(std::move(points)), .coverage = Coverage::scaled};
}

GemmPrice GpuCurves::by_ranks(const std::map<std::int64_t, PriceCurve>& curves, std::int64_t ranks, double passes) const {
  if (const auto exact = curves.find(ranks); exact != curves.end()) return {.by_tokens = exact->second};
  const auto ring_share = [](std::int64_t count) { return real(count - 1) / real(count); };
  const PriceCurve* nearest = nullptr;
  std::int64_t nearest_ranks = 0;
  for (const auto& [count, curve] : curves) {
    if (nearest != nullptr && squared_log(real(ranks) / real(count)) >= squared_log(real(ranks) / real(nearest_ranks))) continue;
    nearest = &curve;
    nearest_ranks = count;
  }
  std::vector<PriceCurve::Point> points;
  for (double bytes = 256.0; bytes <= 1e9; bytes *= 2.0) {
    // A ring moves (r - 1) / r of the message over each link, twice where it is added up and handed round.
    const double link_us = passes * ring_share(ranks) * bytes / (kUnmeasuredShare * core::bytes_per_us(gpu_.link_bandwidth));
    const double us =
        nearest != nullptr ? nearest->us(bytes) * ring_share(ranks) / ring_share(nearest_ranks) : kUnmeasuredCallUs + link_us;
    points.push_back({.quantity = bytes, .us = us});
  }
  return {.by_tokens = PriceCurve(std::move(points)), .coverage = nearest != nullptr ? Coverage::scaled : Coverage::bounded};
}

}  // namespace rooftune::kernels
