#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include "block_pool.hpp"
#include "host_blocks.hpp"
#include "rooftune/latency/step_time.hpp"
#include "rooftune/sim/engine.hpp"
#include "rooftune/sim/request_plan.hpp"

/// The engine's rules, spelled out as vLLM's scheduler has them: every step, every request, every token and every block on its
/// own, nothing summed or skipped.
///   1. A step is decided when the one before it ends; where two are in flight, when the one before it begins. Running requests,
///      in order of admission, get tokens (all that they have and the pool does not: a decode one, a prefill its next chunk) and
///      then blocks; when the pool is empty, the last admitted one is preempted. One that will have all its tokens after the
///      steps in flight gets nothing.
///   2. Unless one was preempted, waiting requests are admitted in order while seats, budget and blocks last.
///      Where prompts are computed alone, 2. and prompts under way come first, and if there are any, nothing else is in the step.
///   3. Full blocks of tokens that are known get their hash when they are allocated, others when the token comes.
///   4. When a step ends, every request of it whose tokens were all computed gets a token, also one that was preempted since.
///      Then requests that were sent meanwhile arrive.
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
  std::int64_t prompt = 0;        ///< tokens that it had when it was admitted last
  std::int64_t generated = 0;     ///< tokens that have come
  std::int64_t placeholders = 0;  ///< tokens of the steps in flight
  std::int64_t computed = 0;      ///< tokens in the cache when those are done
  std::int64_t hashed = 0;        ///< full blocks
  bool running = false;
  int preemptions = 0;
  std::optional<std::int64_t> cached;  ///< tokens found at its first admission
  bool loaded = false;
  double loaded_us = 0.0;
  std::vector<std::int64_t> blocks;

  [[nodiscard]] std::int64_t tokens() const { return planned->prompt_tokens + generated; }
  [[nodiscard]] std::int64_t all_tokens() const { return std::int64_t{planned->prompt_tokens} + planned->output_tokens; }
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
  std::int64_t duplicates = 0;  ///< blocks computed although another one held the same
  std::int64_t in_doubt = 0;    ///< how often one of KvCache's known differences may have mattered
  std::int64_t free_at_the_end = 0;
  std::int64_t least_free = 0;
};

class Oracle {
 public:
  Oracle(const EngineSetup& setup, const std::vector<PrefixChain>& chains, latency::StepTime<double>& step_time,
         double load_us_per_block = 0.0, double turnaround_us = 0.0)
      : setup_(setup),
        chains_(chains),
        step_time_(step_time),
        load_us_per_block_(load_us_per_block),
        turnaround_us_(turnaround_us),
        pool_(setup.kv_blocks, setup.free_unhashed_first),
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
    result_.in_doubt += pool_.in_doubt();
    result_.free_at_the_end = pool_.free();
    return result_;
  }

 private:
  using Shared = std::shared_ptr<Request>;

  /// What a step computes for a request.
  struct Part {
    Shared request;
    std::int64_t computed = 0;
    std::int64_t tokens = 0;
    bool yields = false;
  };
  using Step = std::vector<Part>;

  void run_stage(const StagePlan& plan, int stage, int concurrency, double start_us) {
    plan_ = &plan;
    stage_ = stage;
    closed_ = concurrency > 0;
    start_us_ = now_us_ = start_us;
    on_the_way_.clear();
    next_ = 0;
    if (closed_) {
      for (int client = 0; client < concurrency; ++client) send_next(start_us_);
    } else {
      while (next_ < plan.requests.size()) send_next(start_us_);
    }
    std::deque<Step> in_flight;
    while (true) {
      take_arrivals();
      if (running_.empty() && waiting_.empty() && loading_.empty() && in_flight.empty()) {
        if (on_the_way_.empty()) return;
        now_us_ = on_the_way_.begin()->first.first;
        continue;
      }
      if (in_flight.empty()) {
        Step step = schedule();
        if (step.empty()) {
          if (!preempted_) wait();
          continue;
        }
        in_flight.push_back(std::move(step));
      }
      if (setup_.async_scheduling) {
        if (Step step = schedule(); !step.empty()) in_flight.push_back(std::move(step));
      }
      run(in_flight.front());
      in_flight.pop_front();
    }
  }

  // --- clients ---

  void send(std::size_t index, double free_us) {
    const double at_us = free_us + plan_->requests[index].arrival_us;
    if (at_us <= start_us_ + plan_->send_until_us) on_the_way_[{at_us, index}] = index;
  }
  void send_next(double free_us) {
    if (next_ == plan_->requests.size()) return;
    const std::size_t index = next_++;
    while (next_ < plan_->requests.size() && plan_->requests[next_].follows) ++next_;
    send(index, free_us);
  }
  void answer(std::size_t index, double at_us) {
    if (index + 1 < plan_->requests.size() && plan_->requests[index + 1].follows) {
      send(index + 1, at_us + turnaround_us_);
    } else if (closed_) {
      send_next(at_us + turnaround_us_);
    }
  }

  void take_arrivals() {
    while (!on_the_way_.empty() && on_the_way_.begin()->first.first <= now_us_) {
      const auto [when, index] = *on_the_way_.begin();
      on_the_way_.erase(on_the_way_.begin());
      const PlannedRequest& planned = plan_->requests[index];
      const bool too_long = planned.output_tokens < 1 || planned.prompt_tokens + planned.output_tokens > setup_.max_model_len;
      if (too_long || blocks_for(planned.prompt_tokens + planned.output_tokens - 1) > pool_.total()) {
        ++result_.rejected;
        answer(index, when.first);
        continue;
      }
      auto request = std::make_shared<Request>();
      request->planned = &planned;
      request->identity = -(++identities_);
      request->stage = stage_;
      request->index = static_cast<std::int64_t>(index);
      request->arrival_us = when.first;
      if (setup_.growth_reserve && running_.empty() && waiting_.empty()) share_ = setup_.growth_reserve->first_share;
      waiting_.push_back(request);
    }
  }

  // --- scheduling ---

  [[nodiscard]] Step schedule() {
    Step step;
    preempted_ = false;
    std::int64_t budget = setup_.max_num_batched_tokens;
    if (setup_.prompts_alone) {
      take_prompts(step, budget);
      if (!step.empty()) return decided(std::move(step));
    }
    const bool decodes_alone =
        setup_.prompts_alone && std::ranges::any_of(running_, [](const Shared& r) { return r->computed >= r->prompt && !ends(*r); });
    if (setup_.growth_reserve) decide_decodes();
    for (std::size_t i = 0; i < running_.size() && budget > 0; ++i) {
      const Shared request = running_[i];
      if (decodes_alone && request->computed < request->prompt) continue;
      if (ends(*request)) continue;
      const std::int64_t tokens = std::min(capped(request->tokens() + request->placeholders - request->computed), budget);
      if (tokens == 0) continue;
      while (request->running && !fits(*request, tokens)) {
        if (running_.size() == 1 && give_back()) continue;  // or it would preempt itself again and again
        preempt(running_.back());
      }
      if (!request->running) break;
      allocate(*request, tokens);
      step.push_back({.request = request, .computed = request->computed, .tokens = tokens});
      budget -= tokens;
    }
    if (!preempted_ && !setup_.prompts_alone) admit(step, budget);
    return decided(std::move(step));
  }

  /// It will have all its tokens after the steps in flight.
  [[nodiscard]] static bool ends(const Request& request) {
    return request.placeholders > 0 && request.computed + 2 - request.placeholders >= request.all_tokens();
  }

  // --- SGLang's reserve: update_running_batch, retract_decode, PrefillAdder ---

  [[nodiscard]] static std::int64_t got(const Request& request) { return request.generated + request.placeholders; }

  /// Where the pool runs out, who generated least is retracted; else the share of the reserve falls.
  void decide_decodes() {
    const GrowthReserve& reserve = *setup_.growth_reserve;
    std::vector<Shared> decodes;
    std::int64_t wanted = 0;
    for (const Shared& request : running_) {
      if (request->computed < request->prompt || ends(*request)) continue;
      decodes.push_back(request);
      wanted += blocks_for(request->computed + 1) - std::ssize(request->blocks);
    }
    if (decodes.empty()) return;
    if (wanted <= pool_.free()) {
      share_ = std::max(reserve.least_share, share_ - (reserve.first_share - reserve.least_share) / reserve.falling_steps);
      return;
    }
    std::ranges::stable_sort(decodes, [](const Shared& a, const Shared& b) {
      return std::pair(-got(*a), a->planned->prompt_tokens) < std::pair(-got(*b), b->planned->prompt_tokens);
    });
    const auto too_little = [&] {
      return pool_.free() * setup_.block_tokens < std::int64_t{reserve.headroom_tokens} * std::ssize(decodes);
    };
    for (bool first = true; decodes.size() > 1 && (first || too_little()); first = false) {
      preempt(decodes.back());
      decodes.pop_back();
    }
    double generated = 0.0;
    double all = 0.0;
    for (const Shared& request : decodes) {
      generated += static_cast<double>(got(*request) + reserve.headroom_tokens);
      all += request->planned->output_tokens;
    }
    share_ = std::min(1.0, generated / (all + 1.0));
  }

  [[nodiscard]] double counted_tokens(std::int64_t tokens) const {
    return static_cast<double>(std::min<std::int64_t>(tokens, setup_.growth_reserve->most_tokens));
  }

  [[nodiscard]] bool has_room_to_generate(const Request& request, const std::vector<std::int64_t>& hits, const Step& step) const {
    if (running_.empty()) return true;
    double reserved = 0.0;
    for (const Shared& other : running_) {
      const auto part = std::ranges::find(step, other, &Part::request);
      const std::int64_t computed = part == step.end() ? other->computed : part->computed + part->tokens;
      const double to_come = counted_tokens(other->planned->output_tokens - got(*other));
      const bool decodes = part == step.end() && computed >= other->prompt;
      reserved += decodes ? share_ * to_come : static_cast<double>(other->prompt - computed) + to_come;
    }
    std::int64_t idle = 0;
    for (const std::int64_t block : hits) idle += pool_.is_idle(block) ? 1 : 0;
    const double tokens = static_cast<double>(request.tokens() - std::ssize(hits) * setup_.block_tokens + setup_.block_tokens) +
                          counted_tokens(request.planned->output_tokens - got(request));
    const double room = static_cast<double>(pool_.free() * setup_.block_tokens) - reserved;
    return tokens < room && tokens <= room - static_cast<double>(idle * setup_.block_tokens);
  }

  /// Where prompts are computed alone: those under way that find room, and newcomers.
  void take_prompts(Step& step, std::int64_t budget) {
    for (const Shared& request : running_) {
      const std::int64_t tokens = std::min(capped(request->prompt - request->computed), budget);
      if (tokens <= 0 || !fits(*request, tokens)) continue;
      allocate(*request, tokens);
      step.push_back({.request = request, .computed = request->computed, .tokens = tokens});
      budget -= tokens;
    }
    admit(step, budget);
  }

  [[nodiscard]] Step decided(Step step) {
    for (Part& part : step) {
      Request& request = *part.request;
      request.computed += part.tokens;
      part.yields = request.computed == request.tokens() + request.placeholders;
      if (part.yields && setup_.async_scheduling) ++request.placeholders;
    }
    result_.least_free = std::min(result_.least_free, pool_.free());
    return step;
  }

  [[nodiscard]] bool fits(const Request& request, std::int64_t tokens) const {
    return blocks_for(request.computed + tokens) - std::ssize(request.blocks) <= pool_.free();
  }

  void allocate(Request& request, std::int64_t tokens) {
    while (std::ssize(request.blocks) < blocks_for(request.computed + tokens)) request.blocks.push_back(pool_.allocate());
    give_hashes(request, std::min(request.computed + tokens, request.tokens()));
  }

  void give_hashes(Request& request, std::int64_t tokens, bool ended = false) {
    // SGLang's tree gets prompts as they are computed, and what was generated at the end.
    if (setup_.growth_reserve && !ended) tokens = std::min(tokens, request.prompt);
    for (std::int64_t place = request.hashed; (place + 1) * setup_.block_tokens <= tokens; ++place) {
      request.hashed = place + 1;
      if (!setup_.prefix_caching) continue;
      const BlockContent content = content_of(request, place);
      const bool generated = (place + 1) * setup_.block_tokens > request.planned->prompt_tokens;
      pool_.publish(request.blocks[static_cast<std::size_t>(place)], content, generated && content.tokens >= 0);
      if (content.tokens >= 0 && !pool_.is_copy(request.blocks[static_cast<std::size_t>(place)]) && holds_copy(request))
        ++result_.in_doubt;
    }
  }

  [[nodiscard]] bool holds_copy(const Request& request) const {
    return std::ranges::any_of(request.blocks, [&](std::int64_t block) { return pool_.is_copy(block); });
  }

  void preempt(const Shared& victim) {
    if (holds_copy(*victim)) ++result_.in_doubt;
    offload(*victim);
    release(*victim);
    victim->computed = 0;
    victim->running = false;
    ++victim->preemptions;
    ++result_.preemptions;
    preempted_ = true;
    full_ = false;
    const Shared request = victim;  // which is one of the running
    if (setup_.growth_reserve) {
      waiting_.push_back(request);
    } else {
      waiting_.push_front(request);
    }
    std::erase(running_, request);
  }

  void admit(Step& step, std::int64_t budget) {
    while (!waiting_.empty() && std::ssize(running_) < setup_.max_num_seqs && !full_) {
      const Shared request = waiting_.front();
      const std::optional<bool> loads = load(request);
      if (!loads) return;
      if (*loads) {
        waiting_.pop_front();
        continue;
      }
      const std::vector<std::int64_t> hits = request->loaded ? request->blocks : cached_blocks(*request);
      const std::int64_t there = std::ssize(hits) * setup_.block_tokens;
      std::int64_t tokens = capped(request->tokens() - there);
      if (tokens > budget) {
        if (setup_.chunked_prefill) {
          tokens = budget;
        } else if (budget < setup_.max_num_batched_tokens) {
          tokens = 0;
        }
      }
      if (tokens <= 0) return;
      if (setup_.growth_reserve) {
        full_ = !has_room_to_generate(*request, hits, step);
        if (full_) return;
      }
      std::int64_t wanted = blocks_for(setup_.reserve_full_isl ? request->tokens() : there + tokens) - std::ssize(hits);
      for (const std::int64_t block : hits) wanted += pool_.is_idle(block) ? 1 : 0;
      if (!step.empty()) wanted += setup_.watermark_blocks;
      if (wanted > pool_.free()) return;
      if (!request->loaded) {
        for (const std::int64_t block : hits) pool_.use(block);
        request->blocks = hits;
        request->hashed = std::ssize(hits);
      }
      request->loaded = false;
      request->computed = there;
      request->prompt = request->tokens();
      request->running = true;
      if (!request->cached) request->cached = there;
      result_.cached_tokens += there;
      allocate(*request, tokens);
      budget -= tokens;
      waiting_.pop_front();
      running_.push_back(request);
      step.push_back({.request = request, .computed = there, .tokens = tokens});
    }
  }

  // --- running ---

  void run(const Step& step) {
    std::vector<latency::PrefillChunk> chunks;
    latency::Batch batch;
    for (const Part& part : step) {
      if (part.computed >= part.request->prompt) {
        ++batch.decode_requests;
        batch.decode_context_tokens += part.computed;
      } else {
        chunks.push_back({.context_tokens = part.computed, .new_tokens = part.tokens});
      }
    }
    batch.prefills = chunks;
    now_us_ += step_time_.piece(batch).duration_us;
    ++result_.steps;
    take_arrivals();
    for (const Part& part : step) {
      if (part.yields) take_token(part.request);
    }
    take_loaded();
  }

  void take_token(const Shared& request) {
    if (request->first_token_us < 0.0) request->first_token_us = now_us_;
    ++request->generated;
    if (setup_.async_scheduling) --request->placeholders;
    if (request->running) give_hashes(*request, std::min(request->computed - request->placeholders, request->tokens()));
    if (request->generated < request->planned->output_tokens) return;
    result_.finished.push_back({.stage = request->stage,
                                .index = request->index,
                                .arrival_us = request->arrival_us,
                                .first_token_us = request->first_token_us,
                                .finished_us = now_us_,
                                .prompt_tokens = request->planned->prompt_tokens,
                                .cached_tokens = static_cast<std::int32_t>(request->cached.value_or(0)),
                                .output_tokens = request->planned->output_tokens,
                                .preemptions = request->preemptions});
    if (request->running) {
      give_hashes(*request, std::min(request->computed - request->placeholders, request->tokens()), true);
      offload(*request);
      release(*request);
    }
    std::erase(running_, request);
    std::erase(waiting_, request);
    full_ = false;
    answer(static_cast<std::size_t>(request->index), now_us_);
  }

  // --- the host's memory ---

  [[nodiscard]] bool offloads() const { return setup_.offload_blocks > 0 && setup_.prefix_caching; }

  void offload(const Request& request) {
    if (offloads()) host_.store(contents_of(request, request.hashed * setup_.block_tokens));
  }

  /// True: the request has begun to load. False: it does not need to. Empty: there is no room.
  [[nodiscard]] std::optional<bool> load(const Shared& request) {
    if (!offloads() || request->loaded) return false;
    const std::vector<std::int64_t> hits = cached_blocks(*request);
    const std::int64_t missing = host_.find(contents_of(*request, request->tokens() - 1)) - std::ssize(hits);
    if (missing <= 0) return false;
    std::int64_t wanted = missing;
    for (const std::int64_t block : hits) wanted += pool_.is_idle(block) ? 1 : 0;
    if (wanted > pool_.free()) return std::nullopt;
    for (const std::int64_t block : hits) pool_.use(block);
    request->blocks = hits;
    request->hashed = std::ssize(hits);
    for (std::int64_t i = 0; i < missing; ++i) request->blocks.push_back(pool_.allocate());
    request->loaded = true;
    request->loaded_us = (loading_.empty() ? now_us_ : loading_.back()->loaded_us) + static_cast<double>(missing) * load_us_per_block_;
    result_.loaded_tokens += missing * setup_.block_tokens;
    loading_.push_back(request);
    return true;
  }

  void take_loaded() {
    while (!loading_.empty() && loading_.front()->loaded_us <= now_us_) {
      const Shared request = loading_.front();
      loading_.pop_front();
      give_hashes(*request, std::ssize(request->blocks) * setup_.block_tokens);
      auto place = waiting_.begin();
      while (place != waiting_.end() && (*place)->loaded) ++place;
      waiting_.insert(place, request);
    }
  }

  /// The last waiting request that holds loaded blocks gives them up.
  bool give_back() {
    const auto found = std::find_if(waiting_.rbegin(), waiting_.rend(), [](const Shared& request) { return request->loaded; });
    if (found == waiting_.rend()) return false;
    Request& request = **found;
    if (holds_copy(request)) ++result_.in_doubt;
    release(request);
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
    if (!on_the_way_.empty()) until_us = std::min(until_us, on_the_way_.begin()->first.first);
    now_us_ = std::max(now_us_, until_us);
    take_loaded();
  }

  // --- blocks ---

  void release(Request& request) {
    pool_.release(request.blocks);
    request.blocks.clear();
    request.hashed = 0;
  }

  [[nodiscard]] std::vector<std::int64_t> cached_blocks(const Request& request) {
    if (!setup_.prefix_caching) return {};
    return pool_.find(contents_of(request, request.tokens() - 1));  // at least the last token is computed
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

  [[nodiscard]] std::int64_t capped(std::int64_t tokens) const {
    return setup_.long_prefill_token_threshold > 0 ? std::min<std::int64_t>(tokens, setup_.long_prefill_token_threshold) : tokens;
  }
  [[nodiscard]] std::int64_t blocks_for(std::int64_t tokens) const { return (tokens + setup_.block_tokens - 1) / setup_.block_tokens; }

  EngineSetup setup_;
  const std::vector<PrefixChain>& chains_;
  latency::StepTime<double>& step_time_;
  double load_us_per_block_;
  double turnaround_us_;
  BlockPool pool_;
  HostBlocks host_;
  std::vector<Shared> running_;
  std::deque<Shared> waiting_;
  std::deque<Shared> loading_;
  double share_ = 0.0;      ///< of the growth reserve
  bool full_ = false;       ///< nobody is admitted before somebody leaves
  bool preempted_ = false;  ///< by the decision that was made last
  const StagePlan* plan_ = nullptr;
  int stage_ = 0;
  bool closed_ = false;
  std::size_t next_ = 0;                                              ///< of the plan, that begins a conversation or stands alone
  std::map<std::pair<double, std::size_t>, std::size_t> on_the_way_;  ///< requests that are sent, by time
  std::int64_t identities_ = 0;
  double start_us_ = 0.0;
  double now_us_ = 0.0;
  Result result_;
};

}  // namespace rooftune::sim::oracle
