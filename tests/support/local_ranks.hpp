#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "rooftune/ranks/transport.hpp"

namespace rooftune::testing_support {

/// Ranks that are threads of this process: every one has a queue, and a thread that delivers from it.
class LocalNetwork {
 public:
  explicit LocalNetwork(int size) : boxes_(static_cast<std::size_t>(size)) {}

  [[nodiscard]] std::unique_ptr<ranks::Transport> transport(int rank) { return std::make_unique<LocalTransport>(*this, rank); }
  [[nodiscard]] int size() const { return static_cast<int>(boxes_.size()); }

 private:
  struct Box {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::pair<int, std::string>> messages;
  };

  class LocalTransport final : public ranks::Transport {
   public:
    LocalTransport(LocalNetwork& network, int rank) : network_(network), rank_(rank) {}
    ~LocalTransport() override { LocalTransport::close(); }
    [[nodiscard]] int rank() const override { return rank_; }
    [[nodiscard]] int size() const override { return network_.size(); }
    void send(int to, std::string message) override {
      Box& box = network_.boxes_[static_cast<std::size_t>(to)];
      const std::scoped_lock lock(box.mutex);
      box.messages.emplace_back(rank_, std::move(message));
      box.changed.notify_all();
    }
    void listen(Receiver receiver) override {
      thread_ = std::jthread([this, receiver = std::move(receiver)] { deliver(receiver); });
    }
    void close() override {
      {
        const std::scoped_lock lock(box().mutex);
        is_closed_ = true;
        box().changed.notify_all();
      }
      if (thread_.joinable()) thread_.join();
    }

   private:
    Box& box() { return network_.boxes_[static_cast<std::size_t>(rank_)]; }
    void deliver(const Receiver& receiver) {
      while (true) {
        std::unique_lock lock(box().mutex);
        box().changed.wait(lock, [&] { return is_closed_ || !box().messages.empty(); });
        if (is_closed_) return;
        auto [from, message] = std::move(box().messages.front());
        box().messages.pop_front();
        lock.unlock();
        receiver(from, std::move(message));
      }
    }

    LocalNetwork& network_;
    int rank_;
    bool is_closed_ = false;
    std::jthread thread_;
  };

  std::deque<Box> boxes_;
};

}  // namespace rooftune::testing_support
