#include "kernel_prices.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "measured_modules.hpp"
#include "rooftune/core/contract.hpp"

namespace rooftune::latency {
namespace {

using kernels::Coverage;
using kernels::NumberFormat;

double real(std::int64_t number) { return static_cast<double>(number); }

/// Tables know fewer formats than checkpoints: 8-bit integers move and compute as 8-bit floats do.
NumberFormat table_format(domain::WeightFormat format) {
  using enum domain::WeightFormat;
  switch (format) {
    case bf16: return NumberFormat::bf16;
    case fp8:
    case int8:
    case int8_weight_only: return NumberFormat::fp8;
    case fp8_block: return NumberFormat::fp8_block;
    case int4_weight_only: return NumberFormat::int4;
    case mxfp4: return NumberFormat::mxfp4;
    case nvfp4: return NumberFormat::nvfp4;
  }
  return NumberFormat::bf16;
}

NumberFormat cache_format(double bytes_per_element) { return bytes_per_element < 2.0 ? NumberFormat::fp8 : NumberFormat::bf16; }

/// A gate over what attention gives is no part of the modules that were measured.
constexpr std::string_view kGate = "gate";

/// FLOPs of a layer's indexer products for one token.
double index_flops_per_token(const Attention& attention, const std::vector<Gemm>& products, int place) {
  double flops = 0.0;
  for (const Gemm& gemm : products) {
    if (gemm.attention == place && gemm.name.starts_with("index_")) flops += 2.0 * gemm.elements() * gemm.count;
  }
  return flops / attention.count;
}

/// A collective of which no table has rows.
constexpr std::string_view kNoKernel;

/// A prompt from scratch with as many pairs, where a query sees at most `window` (0: all) tokens.
double prompt_tokens(double pairs, double window) {
  if (window <= 0.0 || pairs <= 0.5 * window * window) return std::sqrt(2.0 * pairs);
  return pairs / window + 0.5 * window;
}

/// Knots of decode attention: 2^(knot / 2) entries.
double knot_entries(int knot) { return std::exp2(0.5 * knot); }

/// Kernels are chosen by vLLM's releases; another engine's are taken to be the newest.
std::optional<domain::Release> release_of(const domain::Deployment& deployment) {
  return deployment.engine == "vllm" ? domain::find_release(deployment.settings.version) : std::nullopt;
}

/// Shares of peak that attention without a table is given: what the measured kernels of long contexts reach.
constexpr double kAttentionBandwidthShare = 0.9;  // of the rate at which weights stream
constexpr double kAttentionComputeShare = 0.65;   // of the rate of large products
constexpr double kAttentionCallUs = 10.0;

}  // namespace

KernelPrices::KernelPrices(const Target& target, const Reading& reading, double popularity_exponent)
    : curves_(target.tables->curves(target.gpu, release_of(target.deployment), target.deployment.settings.fuse_allreduce_rms)),
      form_(curves_.form(NumberFormat::bf16)) {
  const Operators operators = operators_of(target.model, target.deployment);
  add_mixers(operators, reading.decodes_stream);
  add_products(operators, reading.products_16bit);
  for (const ExpertLayer& layer : operators.experts) {
    const kernels::MoeShape shape{.hidden = layer.inputs,
                                  .ffn_width = layer.width,
                                  .experts_per_token = layer.per_token,
                                  .experts = layer.experts,
                                  .tp = layer.tp,
                                  .ep = layer.ep};
    // Tables hold gated experts: three matrices. Experts with two take two thirds.
    const double matrices = layer.gated ? 1.0 : 2.0 / 3.0;
    experts_.push_back(
        {.price = curves_.experts(table_format(layer.stored.format), shape, reading.load), .count = matrices * layer.count});
    experts_.back().price.dealt = kernels::dealt_variance(real(layer.experts), layer.ep, popularity_exponent);
    // Of what surrounds the experts about half chooses them (scores to probabilities, top-k, weights); the rest stays.
    constexpr double kWithoutRouting = 0.5;
    expert_surroundings_ += layer.count * (experts_.back().price.routes_itself ? kWithoutRouting : 1.0);
  }
  for (const Collective& collective : operators.collectives) {
    if (collective.is_of_all_ranks()) {
      dispatches_.push_back(dispatch_of(collective));
      continue;
    }
    reduces_.push_back(
        {.price = curves_.all_reduce(collective.ranks), .bytes_per_token = collective.bytes_per_token, .count = collective.count});
    all_reduce_count_ += collective.count;
  }
  for (const StateUpdate& update : operators.states) {
    State state{.update = update, .generation = {}, .context = {}};
    const bool is_mamba = update.linear.kind == domain::LinearKind::mamba2;
    if (!is_mamba || (update.linear.key_dim == kMambaStateSize && update.linear.value_dim == kMambaHeadDim)) {
      const std::string_view op = linear_operator(update.linear.kind);
      state.generation = curves_.linear_attention(op, "generation", domain::key_heads(update.linear), update.linear.heads);
      state.context = curves_.linear_attention(op, "context", domain::key_heads(update.linear), update.linear.heads);
    }
    states_.push_back(state);
  }
  element_wise_bytes_per_token_ = operators.element_wise_bytes_per_token;
}

KernelPrices::Dispatch KernelPrices::dispatch_of(const Collective& collective) const {
  Dispatch dispatch{.message = {.price = {}, .bytes_per_token = collective.bytes_per_token, .count = collective.count},
                    .ranks = collective.ranks,
                    .most_tokens = collective.most_tokens};
  kernels::GemmPrice& price = dispatch.message.price;
  switch (collective.kind) {
    case CollectiveKind::all_reduce:
    case CollectiveKind::sum_at_all: price = curves_.all_reduce(collective.ranks); break;
    case CollectiveKind::all_gather: price = curves_.collective("all_gather", collective.ranks); break;
    case CollectiveKind::reduce_scatter: price = curves_.collective("reduce_scatter", collective.ranks); break;
    case CollectiveKind::dispatch:
    case CollectiveKind::combine: {
      const bool goes_out = collective.kind == CollectiveKind::dispatch;
      const auto measured = curves_.expert_exchange(collective.kernels, goes_out ? "dispatch" : "combine",
                                                    {.ranks = collective.ranks,
                                                     .hidden = collective.hidden,
                                                     .experts_per_token = collective.experts_per_token,
                                                     .experts = collective.experts});
      if (!measured) {
        // As any collective that no table has: a call, and bytes over the link.
        price = curves_.collective(kNoKernel, collective.ranks);
        break;
      }
      price = *measured;
      // Over tokens of a rank. Low latency sent them out in FP8, and brought them back in 16 bits; of the other kind it is not recorded.
      constexpr double kQuantisedBytes = 1.0 + 4.0 / 128.0;
      const bool is_known = collective.kernels == "low_latency" && goes_out;
      const double bytes_ratio = is_known ? collective.bytes_per_element / kQuantisedBytes : 1.0;
      dispatch.message.bytes_per_token = bytes_ratio / collective.ranks;
      if (bytes_ratio > 1.0) price.coverage = Coverage::scaled;
      break;
    }
  }
  return dispatch;
}

void KernelPrices::add_mixers(const Operators& operators, bool decodes_stream) {
  for (const Attention& attention : operators.attentions) {
    Mixer mixer{.attention = attention, .generation = {}, .context = {}, .chunks = {}, .streaming = {}, .knots_us = {}};
    const NumberFormat kv = cache_format(attention.kv_bytes_per_element);
    add_module(mixer, operators, kv, static_cast<int>(mixers_.size()));
    if (!mixer.is_module) {
      mixer.generation.reset();
      mixer.context.reset();
      mixer.chunks.reset();
      wants_contexts_ = wants_contexts_ || std::ranges::any_of(attention.reads, &ContextRead::is_limited);
    }
    if (!attention.latent && !attention.sparse && attention.reads.size() == 1 && !attention.reads.front().computes) {
      const kernels::HeadShape heads{.heads = attention.heads, .kv_heads = attention.kv_heads, .head_dim = attention.head_dim};
      // Chunks restart: they are no window.
      const std::int64_t window = attention.reads.front().restarts ? 0 : attention.window;
      mixer.generation = curves_.generation_attention(kv, heads, window);
      mixer.context = curves_.context_attention(kv, heads, window);
      // A window's few entries are no stream.
      if (decodes_stream && attention.window == 0 && mixer.generation) mixer.streaming = mixer.generation->streaming();
    }
    mixers_.push_back(std::move(mixer));
  }
}

void KernelPrices::add_module(Mixer& mixer, const Operators& operators, NumberFormat kv, int place) {
  const Attention& attention = mixer.attention;
  const MeasuredModule* module = measured_module(attention, operators.gemms, place);
  const Gemm* const output = output_of(operators.gemms, place);
  if (module == nullptr || output == nullptr) return;
  const NumberFormat format = table_format(output->stored.format);
  const bool is_deepseek = module->model == kDeepSeekModule.model;
  if (attention.sparse && format == NumberFormat::fp8_block) {
    mixer.generation = curves_.sparse_generation(module->op, module->model, kv, attention.heads);
    mixer.index_flops_per_token = index_flops_per_token(attention, operators.gemms, place);
  } else if (!attention.sparse && is_deepseek) {
    mixer.generation = curves_.latent_generation(format, kv, attention.heads);
  }
  if (!module->is_latent()) {
    if (mixer.generation) mixer.chunks = curves_.sparse_context(module->op, module->model, kv, attention.heads);
    mixer.is_module = mixer.chunks.has_value();
    return;
  }
  mixer.context = curves_.latent_context(format, kv, attention.heads);
  if (mixer.context && !is_deepseek) {
    // Prompts of the other model's dimensions: so many more sequences as its products have weights.
    mixer.context->sequences_factor *= module_elements(*module, attention.heads) / module_elements(kDeepSeekModule, attention.heads);
    mixer.context->coverage = Coverage::scaled;
  }
  mixer.is_module = mixer.generation.has_value() && mixer.context.has_value();
}

void KernelPrices::add_products(const Operators& operators, kernels::ProductRows rows_16bit) {
  for (const Gemm& gemm : operators.gemms) {
    const bool is_in_module = gemm.attention >= 0 && mixers_[static_cast<std::size_t>(gemm.attention)].is_module;
    if (is_in_module && gemm.name != kGate) continue;
    const NumberFormat format = table_format(gemm.stored.format);
    const kernels::RooflineForm form = curves_.form(format);
    const kernels::ProductRows rows = format == NumberFormat::bf16 ? rows_16bit : kernels::ProductRows::own;
    Product product{.price = curves_.gemm(format, gemm.n, gemm.k, rows),
                    .compute_us_per_token = 2.0 * gemm.elements() / form.flops_per_us,
                    .weights_us = gemm.elements() * kernels::bytes_per_element(format) / form.bytes_per_us,
                    .count = gemm.count};
    if (gemm.rows == Rows::sequences) {
      ROOFTUNE_EXPECTS(!lm_head_);
      lm_head_ = std::move(product);
    } else {
      products_.push_back(std::move(product));
    }
  }
}

void KernelPrices::note(Coverage coverage) {
  switch (coverage) {
    case Coverage::measured: report_.add(kernels::LookupEvent::exact); break;
    case Coverage::scaled:
      report_.add(kernels::LookupEvent::between_rows);
      report_.add(kernels::LookupEvent::nearest_shape);
      break;
    case Coverage::bounded: report_.add(kernels::LookupEvent::no_table); break;
  }
}

KernelPrices::TokenWork KernelPrices::token_work(std::int64_t tokens) {
  const double n = real(tokens);
  TokenWork work;
  for (const Product& product : products_) {
    note(product.price.coverage);
    const double us = product.count * product.price.by_tokens.us(n);
    const double compute = n * product.compute_us_per_token;
    const double computing = compute * compute / (compute * compute + product.weights_us * product.weights_us);
    work.streaming_products_us += (1.0 - computing) * us;
    work.computing_products_us += computing * us;
  }
  for (const Reduce& reduce : reduces_) {
    note(reduce.price.coverage);
    work.all_reduces_us += reduce.count * reduce.price.by_tokens.us(n * reduce.bytes_per_token);
  }
  work.element_wise_us = n * element_wise_bytes_per_token_ / form_.bytes_per_us;
  return work;
}

double KernelPrices::dispatch_us(std::int64_t tokens) {
  double us = 0.0;
  for (const Dispatch& dispatch : dispatches_) {
    const auto& message = dispatch.message;
    note(message.price.coverage);
    const auto call_us = [&](double all_tokens) { return message.price.by_tokens.us(all_tokens * message.bytes_per_token); };
    double left = real(tokens);
    if (const auto most = static_cast<double>(dispatch.most_tokens * dispatch.ranks); most > 0.0 && left > most) {
      const double full = std::ceil(left / most) - 1.0;
      us += message.count * full * call_us(most);
      left -= full * most;
    }
    us += message.count * call_us(left);
  }
  return us;
}

kernels::ExpertPrice::At KernelPrices::experts(std::int64_t tokens, double rho) {
  kernels::ExpertPrice::At sum;
  for (const Experts& layer : experts_) {
    note(layer.price.coverage);
    const kernels::ExpertPrice::At at = layer.price.at(real(tokens), rho);
    sum.reading_us += layer.count * at.reading_us;
    sum.per_rho_us += layer.count * at.per_rho_us;
    sum.load_us += layer.count * at.load_us;
    sum.per_exponent_us += layer.count * at.per_exponent_us;
  }
  return sum;
}

double KernelPrices::lm_head_us(std::int64_t sequences) {
  if (!lm_head_ || sequences == 0) return 0.0;
  note(lm_head_->price.coverage);
  return lm_head_->count * lm_head_->price.by_tokens.us(real(sequences));
}

double KernelPrices::knot_us(Mixer& mixer, std::int64_t sequences, int knot) {
  const auto row = static_cast<std::size_t>(sequences);
  const auto column = static_cast<std::size_t>(knot);
  if (row >= mixer.knots_us.size()) mixer.knots_us.resize(row + 1);
  std::vector<double>& known_us = mixer.knots_us[row];
  if (column >= known_us.size()) known_us.resize(column + 1, -1.0);
  if (known_us[column] < 0.0) {
    note(mixer.generation->coverage);
    const double call_us = mixer.streaming ? mixer.streaming->us(real(sequences), knot_entries(knot))
                                           : decode_us(mixer, real(sequences), knot_entries(knot));
    known_us[column] = mixer.attention.count * call_us;
  }
  return known_us[column];
}

/// One layer's kernel. Sparse modules take the whole context, of which they read the more sparingly the longer it is: behind the last
/// row they grow by what is read and scored.
double KernelPrices::decode_us(const Mixer& mixer, double sequences, double tokens) const {
  const kernels::AttentionPrice& measured = *mixer.generation;
  if (!mixer.goes_by_context()) return measured.us(sequences, tokens);
  const double most = measured.most_tokens(sequences);
  if (tokens <= most) return measured.us(sequences, tokens);
  const auto reads_us = [&](double context) {
    std::vector<double> entries;
    for (const ContextRead& read : mixer.attention.reads) entries.push_back(read.entries(context));
    return unmeasured_decode_us(mixer.attention, entries);
  };
  return measured.us(sequences, most) + sequences * std::max(0.0, reads_us(tokens) - reads_us(most));
}

/// `entries`: all that the step's decodes read, by read of the attention.
double KernelPrices::unmeasured_decode_us(const Attention& attention, std::span<const double> entries) const {
  double us = 0.0;
  for (std::size_t i = 0; i < attention.reads.size(); ++i) {
    const ContextRead& read = attention.reads[i];
    const double memory_us = read.bytes / (kAttentionBandwidthShare * form_.bytes_per_us);
    const double compute_us = read.computes ? read.decode_flops / (kAttentionComputeShare * form_.flops_per_us) : 0.0;
    us += entries[i] * std::max(memory_us, compute_us);
  }
  return us;
}

KernelPrices::Line KernelPrices::decode_attention(const Batch& batch) {
  Line sum;
  if (batch.decode_requests == 0) return sum;
  const double requests = real(batch.decode_requests);
  // Without the contexts themselves all have the mean.
  const std::int64_t mean = batch.decode_context_tokens / batch.decode_requests;
  const bool is_known = !batch.decode_contexts.empty();
  const std::span<const std::int64_t> contexts = is_known ? batch.decode_contexts : std::span(&mean, 1);
  const double weight = is_known ? 1.0 / requests : 1.0;
  for (Mixer& mixer : mixers_) {
    // Mean entries per request, and by how many they grow with one more token of each.
    std::array<double, 4> entries{};
    std::array<double, 4> growth{};
    const std::vector<ContextRead>& reads = mixer.attention.reads;
    ROOFTUNE_EXPECTS(reads.size() <= entries.size());
    for (std::size_t i = 0; i < reads.size(); ++i) {
      if (mixer.goes_by_context()) {
        entries[i] = real(batch.decode_context_tokens) / requests;
        growth[i] = 1.0;
        continue;
      }
      if (!reads[i].is_limited()) {
        entries[i] = real(batch.decode_context_tokens) / requests / reads[i].tokens_per_entry;
        growth[i] = 1.0 / reads[i].tokens_per_entry;
        continue;
      }
      for (const std::int64_t context : contexts) {
        entries[i] += weight * reads[i].entries(real(context));
        growth[i] += weight * reads[i].growth(context);
        if (const std::int64_t tokens = reads[i].tokens_to_change(context); tokens > 0) sum.steps = std::min(sum.steps, tokens);
      }
    }
    if (!mixer.generation) {
      note(Coverage::bounded);
      sum.us += mixer.attention.count * (kAttentionCallUs + requests * unmeasured_decode_us(mixer.attention, entries));
      sum.slope_us += mixer.attention.count * unmeasured_decode_us(mixer.attention, growth);
      continue;
    }
    // One token of one's own at least: the query itself.
    const double at = std::max(1.0, entries[0]);
    const int knot = std::max(0, static_cast<int>(std::floor(2.0 * std::log2(at))));
    const double below = knot_entries(knot);
    const double above = knot_entries(knot + 1);
    const double below_us = knot_us(mixer, batch.decode_requests, knot);
    const double per_entry_us = (knot_us(mixer, batch.decode_requests, knot + 1) - below_us) / (above - below);
    sum.us += below_us + (at - below) * per_entry_us;
    if (growth[0] <= 0.0) continue;
    sum.slope_us += growth[0] * per_entry_us / requests;
    sum.steps = std::min(sum.steps, static_cast<std::int64_t>((above - at) / growth[0]) + 1);
  }
  return sum;
}

double KernelPrices::prefill_us(const Mixer& mixer, std::span<const PrefillChunk> prefills) const {
  const Attention& attention = mixer.attention;
  const double flops_per_us = kAttentionComputeShare * form_.flops_per_us;
  double us = 0.0;
  if (mixer.chunks) return chunks_us(mixer, prefills);
  if (!mixer.context) {
    us = kAttentionCallUs;
    for (const PrefillChunk& chunk : prefills) {
      for (const ContextRead& read : attention.reads)
        us += read.pairs(real(chunk.context_tokens), real(chunk.new_tokens)) * read.prefill_flops / flops_per_us;
    }
    return us;
  }
  // One call serves all chunks: what it takes whatever its size is paid once.
  const double smallest_us = mixer.context->smallest_us();
  us = smallest_us;
  for (const PrefillChunk& chunk : prefills) {
    const double fresh = real(chunk.new_tokens);
    const double pairs = attention.reads.front().pairs(real(chunk.context_tokens), fresh);
    double chunk_us = 0.0;
    if (mixer.is_module) {
      // Projections go by new tokens; what attention to a cached context adds is no row of the tables.
      double more_flops = (pairs - 0.5 * fresh * fresh) * attention.reads.front().prefill_flops;
      if (attention.sparse) {
        // The rows are those of attention to all of the prompt; sparse prompts are read as latents, and scored.
        const domain::LatentAttentionSpec& latent = *attention.latent;
        const double all_flops =
            fresh * fresh * real(attention.heads * (latent.nope_head_dim + latent.rope_head_dim + latent.value_head_dim));
        more_flops = pairs * attention.reads.front().prefill_flops - all_flops + fresh * mixer.index_flops_per_token;
        for (std::size_t i = 1; i < attention.reads.size(); ++i)
          more_flops += attention.reads[i].pairs(real(chunk.context_tokens), fresh) * attention.reads[i].prefill_flops;
      }
      chunk_us = mixer.context->us(1.0, fresh) + more_flops / flops_per_us;
    } else {
      chunk_us = mixer.context->us(1.0, prompt_tokens(pairs, real(mixer.context->window)));
    }
    us += std::max(0.0, chunk_us - smallest_us);
  }
  return us;
}

/// Sparse modules with prompts of their own. Behind more cached tokens than were measured: what more is read and scored.
double KernelPrices::chunks_us(const Mixer& mixer, std::span<const PrefillChunk> prefills) const {
  const kernels::ChunkPrice& measured = *mixer.chunks;
  const double smallest_us = measured.smallest_us();
  double us = smallest_us;
  for (const PrefillChunk& chunk : prefills) {
    const double cached = real(chunk.context_tokens);
    const double fresh = real(chunk.new_tokens);
    double chunk_us = measured.us(fresh, cached);
    if (cached > measured.most_cached_tokens) {
      double more_flops = 0.0;
      for (const ContextRead& read : mixer.attention.reads)
        more_flops += (read.pairs(cached, fresh) - read.pairs(measured.most_cached_tokens, fresh)) * read.prefill_flops;
      chunk_us += std::max(0.0, more_flops) / (kAttentionComputeShare * form_.flops_per_us);
    }
    us += std::max(0.0, chunk_us - smallest_us);
  }
  return us;
}

double KernelPrices::prefill_attention_us(std::span<const PrefillChunk> prefills) {
  double sum = 0.0;
  for (const Mixer& mixer : mixers_) {
    const kernels::AttentionPrice* const measured =
        mixer.chunks ? &mixer.chunks->by_cached : (mixer.context ? &*mixer.context : nullptr);
    note(measured != nullptr ? measured->coverage : Coverage::bounded);
    sum += mixer.attention.count * prefill_us(mixer, prefills);
  }
  for (const State& state : states_) {
    note(state.context ? state.context->coverage : Coverage::bounded);
    for (const PrefillChunk& chunk : prefills) {
      const double fresh = real(chunk.new_tokens);
      const double us = state.context
                            ? state.context->us(1.0, fresh)
                            : kAttentionCallUs + fresh * state.update.flops_per_token / (kAttentionComputeShare * form_.flops_per_us);
      sum += state.update.count * us;
    }
  }
  return sum;
}

double KernelPrices::decode_states_us(std::int64_t sequences) {
  double sum = 0.0;
  if (sequences == 0) return sum;
  for (const State& state : states_) {
    note(state.generation ? state.generation->coverage : Coverage::bounded);
    const double us = state.generation ? state.generation->us(real(sequences), 1.0)
                                       : kAttentionCallUs + real(sequences) * state.update.bytes_per_sequence / form_.bytes_per_us;
    sum += state.update.count * us;
  }
  return sum;
}

}  // namespace rooftune::latency
