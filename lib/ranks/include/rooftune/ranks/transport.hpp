#pragma once

#include <functional>
#include <string>

namespace rooftune::ranks {

/// Messages between the processes of one command. What one rank sends to another arrives in the order in which it was sent.
class Transport {
 public:
  using Receiver = std::function<void(int from, std::string message)>;

  Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  virtual ~Transport() = default;

  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;
  /// Returns at once. Called by any thread, also by the receiver.
  virtual void send(int to, std::string message) = 0;
  /// From now on every message, those that came before included, goes to the receiver, one at a time.
  virtual void listen(Receiver receiver) = 0;
  /// Delivers what was sent, and takes leave of the other ranks; returns when all have taken theirs. Nothing is received any more.
  virtual void close() = 0;
};

}  // namespace rooftune::ranks
