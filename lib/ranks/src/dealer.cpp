#include "rooftune/ranks/dealer.hpp"

#include <utility>

#include "rooftune/core/packing.hpp"

namespace rooftune::ranks {

Dealer::Dealer(int ranks) : last_map_(static_cast<std::size_t>(ranks), 0) {}

std::vector<Dealer::Message> Dealer::open(std::string name, std::string context, std::size_t count) {
  ++map_;
  name_ = std::move(name);
  context_ = std::move(context);
  next_ = 0;
  done_.assign(count, 0);
  done_count_ = 0;
  std::vector<Message> messages;
  while (!waiting_.empty() && next_ < done_.size()) {
    messages.push_back(task(waiting_.front(), next_++));
    waiting_.pop_front();
  }
  return messages;
}

void Dealer::close() {
  next_ = 0;
  done_.clear();
  done_count_ = 0;
}

std::optional<std::size_t> Dealer::next() { return next_ < done_.size() ? std::optional(next_++) : std::nullopt; }

std::optional<Dealer::Message> Dealer::want(int rank) {
  if (const auto index = next()) return task(rank, *index);
  waiting_.push_back(rank);
  return std::nullopt;
}

bool Dealer::accept(std::size_t map, std::size_t index) {
  if (map != map_ || index >= done_.size() || done_[index] != 0) return false;
  done_[index] = 1;
  ++done_count_;
  return true;
}

std::vector<std::size_t> Dealer::take_back() {
  std::vector<std::size_t> missing;
  for (std::size_t i = 0; i < done_.size(); ++i) {
    if (accept(map_, i)) missing.push_back(i);
  }
  next_ = done_.size();
  return missing;
}

Dealer::Message Dealer::task(int rank, std::size_t index) {
  const bool is_first = std::exchange(last_map_[static_cast<std::size_t>(rank)], map_) != map_;
  core::Packer packer;
  packer(Kind::task, map_, index, is_first);
  if (is_first) packer(name_, context_);
  return {.to = rank, .bytes = std::move(packer).take()};
}

}  // namespace rooftune::ranks
