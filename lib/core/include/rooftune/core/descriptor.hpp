#pragma once

#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace rooftune::core {

/// A file descriptor that is closed with its owner; open it with O_CLOEXEC, so that programs we start do not inherit it.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (is_open()) ::close(number_);
  }

  [[nodiscard]] bool is_open() const { return number_ >= 0; }
  [[nodiscard]] int number() const { return number_; }

  /// Network file systems report a full disk only here.
  [[nodiscard]] std::error_code close() {
    return ::close(std::exchange(number_, -1)) == 0 ? std::error_code{} : std::error_code(errno, std::generic_category());
  }

 private:
  int number_ = -1;
};

}  // namespace rooftune::core
