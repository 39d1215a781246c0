#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include "block_pool.hpp"
#include "host_blocks.hpp"
#include "rooftune/latency/step_time.hpp"
#include "rooftune/sim/engine.hpp"
#include "rooftune/sim/request_plan.hpp"

/// The engine's rules, spelled out: every step, every request and every block on its own, nothing summed or skipped.
///   1. Requests admitted ahead join the step.
///   2. Running requests, in order of admission, get tokens (a decode one, a prefill its next chunk of what the budget
///      leaves beside the decodes) and then blocks; when the pool is empty, the last admitted one is preempted.
///   3. Unless one was preempted, waiting requests are admitted in order while seats, budget and blocks last: into this step,
///      or, when the scheduler works ahead and a step runs, into the next one, after what running requests take there.
///   4. The step runs. Then requests that were sent meanwhile arrive, decodes that are complete leave, prompts that are
///      complete yield their first token.
/// With offloading, a waiting request of whose prompt the host's memory has more than the GPU's takes blocks for it and is set
/// aside until they are filled, one request after the other; then it waits in front again, where it holds them. What a
/// request has computed is copied to the host when it ends and when it is preempted.
namespace rooftune::sim::oracle {

struct Request {
  const PlannedRequest* planned = nullptr;
  std::int64_t identity = 0;  ///< of its own tokens
  int stage = 0;
  std::int64_t index = 0;
  double arrival_us = 0.0;
  double first_token_us = -1.0;
  std::int64_t output = 0;
  std::int64_t generated = 0;
  std::int64_t to_compute = 0;
  std::int64_t in_cache = 0;  ///< tokens computed
  std::int64_t chunk = 0;     ///< tokens of the coming step
  bool admitted_with_chunk = false;
  int preemptions = 0;
  bool loaded = false;
  double loaded_us = 0.0;
  std::vector<std::int64_t> blocks;

  [[nodiscard]] bool decoding() const { return in_cache >= to_compute; }
  [[nodiscard]] bool ends_with_this_step() const { return in_cache + chunk >= to_compute && generated + 1 == output; }
};

struct Result {
  std::vector<RequestEvent> finished;
  std::int64_t rejected = 0;
  std::int64_t steps = 0;
  std::int64_t preemptions = 0;
  std::int64_t cached_tokens = 0;
  std::int64_t loaded_tokens = 0;
  std::int64_t host_evictions = 0;
  std::int64_t given_back = 0;  ///< loaded blocks that had to make room for others
  std::int64_t evictions = 0;
  std::int64_t duplicates = 0;    ///< blocks computed although another one held the same
  std::int64_t uneven_holds = 0;  ///< blocks freed while the beginning of the same run stayed in use
  std::int64_t free_at_the_end = 0;
  std::int64_t least_free = 0;
};

class Oracle {
 public:
  Oracle(const EngineSetup& setup, const std::vector<PrefixChain>& chains, latency::StepTime<double>& step_time,
         double load_us_per_block = 0.0)
      : setup_(setup),
        chains_(chains),
        step_time_(step_time),
        load_us_per_block_(load_us_per_block),
        pool_(setup.kv_blocks),
        host_(setup.offload_blocks) {
    result_.least_free = setup.kv_blocks;
  }

  [[nodiscard]] Result run(const RequestPlan& plan, double gap_us) {
    for (std::size_t stage = 0; stage < plan.stages.size(); ++stage) {
      run_stage(plan.stages[stage], static_cast<int>(stage), plan.concurrency, stage == 0 ? 0.0 : now_us_ + gap_us);
    }
    result_.evictions = pool_.evictions();
    result_.host_evictions = host_.evictions();
    result_.duplicates = pool_.duplicates();
    result_.free_at_the_end = pool_.free();
    return result_;
  }

 private:
  using Shared = std::shared_ptr<Request>;

  void run_stage(const StagePlan& plan, int stage, int concurrency, double start_us) {
    plan_ = &plan;
    stage_ = stage;
    concurrency_ = concurrency;
    start_us_ = now_us_ = start_us;
    sent_ = 0;
    while (true) {
      if (in_flight() == 0) {
        if (sent_ == plan.requests.size()) return;
        if (concurrency_ == 0) now_us_ = std::max(now_us_, start_us_ + plan.requests[sent_].arrival_us);
        take_arrivals();
        if (in_flight() == 0) continue;
      }
      running_.insert(running_.end(), pending_.begin(), pending_.end());
      pending_.clear();
      assign_tokens();
      if (!assign_blocks() || running_.empty()) admit();
      if (running_.empty()) {
        wait();
        continue;
      }
      result_.least_free = std::min(result_.least_free, pool_.free());
      run_step();
    }
  }

  [[nodiscard]] std::size_t in_flight() const { return running_.size() + waiting_.size() + pending_.size() + loading_.size(); }

  /// The last waiting request that holds loaded blocks gives them up.
  bool give_back() {
    const auto found = std::find_if(waiting_.rbegin(), waiting_.rend(), [](const Shared& request) { return request->loaded; });
    if (found == waiting_.rend()) return false;
    Request& request = **found;
    release(request);
    request.in_cache = 0;
    request.loaded = false;
    ++result_.given_back;
    return true;
  }

  /// Nobody can run before blocks are back, or somebody gives up those that are.
  void wait() {
    if (loading_.empty()) {
      if (!give_back()) throw std::logic_error("nobody can run");
      return;
    }
    double until_us = loading_.front()->loaded_us;
    if (concurrency_ == 0 && sent_ < plan_->requests.size()) {
      until_us = std::min(until_us, start_us_ + plan_->requests[sent_].arrival_us);
    }
    now_us_ = std::max(now_us_, until_us);
    if (concurrency_ == 0) take_arrivals();
    take_loaded();
  }

  void take_loaded() {
    while (!loading_.empty() && loading_.front()->loaded_us <= now_us_) {
      const Shared request = loading_.front();
      loading_.pop_front();
      publish(*request, request->in_cache);
      auto place = waiting_.begin();
      while (place != waiting_.end() && (*place)->loaded) ++place;
      waiting_.insert(place, request);
    }
  }

  void take_arrivals() {
    while (sent_ < plan_->requests.size()) {
      if (concurrency_ > 0 && in_flight() >= static_cast<std::size_t>(concurrency_)) return;
      const PlannedRequest& planned = plan_->requests[sent_];
      const double arrival_us = concurrency_ > 0 ? now_us_ : start_us_ + planned.arrival_us;
      if (arrival_us > now_us_) return;
      const auto index = static_cast<std::int64_t>(sent_++);
      const std::int64_t output = std::min(planned.output_tokens, setup_.max_model_len - planned.prompt_tokens);
      if (output < 1 || blocks_for(planned.prompt_tokens + output - 1) > pool_.total()) {
        ++result_.rejected;
        continue;
      }
      auto request = std::make_shared<Request>();
      request->planned = &planned;
      request->identity = -(++identities_);
      request->stage = stage_;
      request->index = index;
      request->arrival_us = arrival_us;
      request->output = output;
      request->to_compute = planned.prompt_tokens;
      waiting_.push_back(request);
    }
  }

  void assign_tokens() {
    std::int64_t budget = setup_.max_num_batched_tokens;
    for (const Shared& request : running_) {
      if (request->decoding()) request->chunk = 1;
      if (request->decoding() || request->admitted_with_chunk) budget -= request->chunk;
    }
    for (const Shared& request : running_) {
      if (request->decoding() || request->admitted_with_chunk) continue;
      request->chunk = chunk_of(request->to_compute - request->in_cache, budget);
      budget -= request->chunk;
    }
  }

  [[nodiscard]] bool assign_blocks() {
    bool preempted = false;
    for (std::size_t i = 0; i < running_.size();) {
      Request& request = *running_[i];
      const std::int64_t wanted = blocks_for(request.in_cache + request.chunk);
      if (wanted - static_cast<std::int64_t>(request.blocks.size()) > pool_.free()) {
        if (running_.size() == 1 && give_back()) continue;  // or it would preempt itself again and again
        preempt(running_.back());
        preempted = true;
        continue;
      }
      allocate(request);
      ++i;
    }
    return preempted;
  }

  void allocate(Request& request) {
    while (static_cast<std::int64_t>(request.blocks.size()) < blocks_for(request.in_cache + request.chunk)) {
      request.blocks.push_back(pool_.allocate());
    }
    publish(request, request.in_cache + request.chunk);
  }

  void publish(const Request& request, std::int64_t tokens) {
    for (std::int64_t place = 0; (place + 1) * setup_.block_tokens <= tokens; ++place) {
      if (setup_.prefix_caching) pool_.publish(request.blocks[static_cast<std::size_t>(place)], content_of(request, place));
    }
  }

  [[nodiscard]] bool offloads() const { return setup_.offload_blocks > 0 && setup_.prefix_caching; }

  void offload(const Request& request) {
    if (offloads()) host_.store(contents_of(request, request.in_cache));
  }

  /// True: the request has begun to load. False: it does not need to. Empty: there is no room.
  [[nodiscard]] std::optional<bool> load(const Shared& request, std::int64_t reserved) {
    if (!offloads() || request->loaded) return false;
    const std::vector<std::int64_t> hits = cached_blocks(*request);
    const std::int64_t missing = host_.find(contents_of(*request, request->to_compute - 1)) - std::ssize(hits);
    if (missing <= 0) return false;
    std::int64_t wanted = missing;
    for (const std::int64_t block : hits) wanted += pool_.is_idle(block) ? 1 : 0;
    if (wanted > pool_.free() - reserved) return std::nullopt;
    for (const std::int64_t block : hits) pool_.use(block);
    request->blocks = hits;
    for (std::int64_t i = 0; i < missing; ++i) request->blocks.push_back(pool_.allocate());
    request->in_cache = std::ssize(request->blocks) * setup_.block_tokens;
    request->loaded = true;
    request->loaded_us = (loading_.empty() ? now_us_ : loading_.back()->loaded_us) + static_cast<double>(missing) * load_us_per_block_;
    result_.loaded_tokens += missing * setup_.block_tokens;
    loading_.push_back(request);
    return true;
  }

  void preempt(const Shared& victim) {
    offload(*victim);
    release(*victim);
    victim->to_compute = victim->planned->prompt_tokens + victim->generated;
    victim->in_cache = 0;
    victim->chunk = 0;
    victim->admitted_with_chunk = false;
    ++victim->preemptions;
    ++result_.preemptions;
    waiting_.push_front(victim);
    std::erase(running_, waiting_.front());  // the victim is one of them
  }

  void admit() {
    const bool ahead = setup_.async_scheduling && !running_.empty();
    std::int64_t budget = setup_.max_num_batched_tokens;
    std::int64_t reserved = 0;
    for (const Shared& request : running_) {
      if (!ahead) {
        budget -= request->chunk;
      } else if (request->decoding() && !request->ends_with_this_step()) {
        claim_next(*request, 1, budget, reserved);
      }
    }
    for (const Shared& request : running_) {
      if (!ahead || request->decoding()) continue;
      const std::int64_t left = request->to_compute - request->in_cache - request->chunk;
      if (left > 0) {
        claim_next(*request, chunk_of(left, std::max<std::int64_t>(0, budget)), budget, reserved);
      } else if (!request->ends_with_this_step()) {
        claim_next(*request, 1, budget, reserved);
      }
    }
    while (!waiting_.empty() && running_.size() + pending_.size() < static_cast<std::size_t>(setup_.max_num_seqs)) {
      Shared request = waiting_.front();
      const std::optional<bool> loads = load(request, reserved);
      if (!loads) return;
      if (*loads) {
        waiting_.pop_front();
        continue;
      }
      const std::vector<std::int64_t> hits = request->loaded ? request->blocks : cached_blocks(*request);
      const auto hit_tokens = static_cast<std::int64_t>(hits.size()) * setup_.block_tokens;
      const std::int64_t chunk = chunk_of(request->to_compute - hit_tokens, budget);
      if (chunk <= 0) return;
      std::int64_t wanted = blocks_for(hit_tokens + chunk) - static_cast<std::int64_t>(hits.size());
      for (const std::int64_t block : hits) wanted += pool_.is_idle(block) ? 1 : 0;
      if (wanted > pool_.free() - reserved) return;
      if (!request->loaded) {
        for (const std::int64_t block : hits) pool_.use(block);
      }
      request->blocks = hits;
      request->loaded = false;
      request->in_cache = hit_tokens;
      request->chunk = chunk;
      request->admitted_with_chunk = true;
      budget -= chunk;
      result_.cached_tokens += hit_tokens;
      allocate(*request);
      waiting_.pop_front();
      (ahead ? pending_ : running_).push_back(request);
    }
  }

  /// What a running request takes in the step after this one.
  void claim_next(const Request& request, std::int64_t tokens, std::int64_t& budget, std::int64_t& reserved) const {
    const std::int64_t then = request.in_cache + request.chunk;
    budget -= tokens;
    reserved += blocks_for(then + tokens) - blocks_for(then);
  }

  void run_step() {
    std::vector<latency::PrefillChunk> chunks;
    latency::Batch batch;
    for (const Shared& request : running_) {
      if (request->decoding()) {
        ++batch.decode_requests;
        batch.decode_context_tokens += request->in_cache;
      } else if (request->chunk > 0) {
        chunks.push_back({.context_tokens = request->in_cache, .new_tokens = request->chunk});
      }
    }
    batch.prefills = chunks;
    now_us_ += step_time_.piece(batch).duration_us;
    ++result_.steps;
    if (concurrency_ == 0) take_arrivals();

    std::vector<Shared> decoding;
    std::vector<Shared> prefilling;
    for (const Shared& request : running_) (request->decoding() ? decoding : prefilling).push_back(request);
    for (const Shared& request : decoding) finish_step(request);
    for (const Shared& request : prefilling) finish_step(request);
    take_loaded();
  }

  void finish_step(const Shared& request) {
    request->in_cache += request->chunk;
    request->chunk = 0;
    request->admitted_with_chunk = false;
    if (!request->decoding()) return;
    if (request->first_token_us < 0.0) request->first_token_us = now_us_;
    if (++request->generated < request->output) return;
    result_.finished.push_back({.stage = request->stage,
                                .index = request->index,
                                .arrival_us = request->arrival_us,
                                .first_token_us = request->first_token_us,
                                .finished_us = now_us_,
                                .prompt_tokens = request->planned->prompt_tokens,
                                .output_tokens = static_cast<std::int32_t>(request->output),
                                .preemptions = request->preemptions});
    offload(*request);
    release(*request);
    std::erase(running_, request);
    if (concurrency_ > 0) take_arrivals();
  }

  void release(Request& request) {
    pool_.release(request.blocks);
    for (const std::int64_t block : request.blocks) {
      const BlockContent* content = pool_.content(block);
      if (pool_.is_idle(block) && content != nullptr && content->tokens >= 0 && pool_.holds(content->tokens)) ++result_.uneven_holds;
    }
    request.blocks.clear();
  }

  [[nodiscard]] std::vector<std::int64_t> cached_blocks(const Request& request) const {
    if (!setup_.prefix_caching) return {};
    return pool_.find(contents_of(request, request.to_compute - 1));  // at least the last token is computed
  }

  /// Of the blocks that the request's first `tokens` tokens fill.
  [[nodiscard]] std::vector<BlockContent> contents_of(const Request& request, std::int64_t tokens) const {
    std::vector<BlockContent> contents;
    for (std::int64_t place = 0; (place + 1) * setup_.block_tokens <= tokens; ++place) contents.push_back(content_of(request, place));
    return contents;
  }

  /// Whose tokens fill the block at this place of the request.
  [[nodiscard]] BlockContent content_of(const Request& request, std::int64_t place) const {
    const std::int64_t end = (place + 1) * setup_.block_tokens;
    const bool shared = end <= request.planned->chain_tokens || (request.planned->extends_chain && request.planned->chain >= 0);
    if (!shared) return {.tokens = request.identity, .place = place};
    std::int32_t chain = request.planned->chain;
    while (chains_[static_cast<std::size_t>(chain)].parent >= 0 &&
           chains_[static_cast<std::size_t>(chain)].parent_tokens / setup_.block_tokens > place) {
      chain = chains_[static_cast<std::size_t>(chain)].parent;
    }
    return {.tokens = chain, .place = place};
  }

  [[nodiscard]] std::int64_t chunk_of(std::int64_t tokens, std::int64_t budget) const {
    if (setup_.long_prefill_token_threshold > 0) tokens = std::min<std::int64_t>(tokens, setup_.long_prefill_token_threshold);
    if (tokens <= budget) return tokens;
    if (setup_.chunked_prefill) return std::max<std::int64_t>(0, budget);
    return budget == setup_.max_num_batched_tokens ? tokens : 0;
  }
  [[nodiscard]] std::int64_t blocks_for(std::int64_t tokens) const { return (tokens + setup_.block_tokens - 1) / setup_.block_tokens; }

  EngineSetup setup_;
  const std::vector<PrefixChain>& chains_;
  latency::StepTime<double>& step_time_;
  double load_us_per_block_;
  BlockPool pool_;
  HostBlocks host_;
  std::vector<Shared> running_;
  std::vector<Shared> pending_;
  std::deque<Shared> waiting_;
  std::deque<Shared> loading_;
  const StagePlan* plan_ = nullptr;
  int stage_ = 0;
  int concurrency_ = 0;
  std::size_t sent_ = 0;
  std::int64_t identities_ = 0;
  double start_us_ = 0.0;
  double now_us_ = 0.0;
  Result result_;
};

}  // namespace rooftune::sim::oracle
