#pragma once

#include <filesystem>

namespace rooftune::text {

/// Files and folders under a temporary name exist only while this process works on them. Removes them all, for a process that ends at
/// once instead of unwinding; what other threads do with them then fails, as it would if the process had been killed.
void remove_own_temporaries();

/// Says that `path` is a temporary of this process for as long as the object lives; does not remove it.
class OwnTemporary {
 public:
  OwnTemporary() = default;
  explicit OwnTemporary(std::filesystem::path path);
  OwnTemporary(OwnTemporary&& other) noexcept;
  OwnTemporary& operator=(OwnTemporary&& other) noexcept;
  OwnTemporary(const OwnTemporary&) = delete;
  OwnTemporary& operator=(const OwnTemporary&) = delete;
  ~OwnTemporary();

 private:
  std::filesystem::path path_;
};

}  // namespace rooftune::text
