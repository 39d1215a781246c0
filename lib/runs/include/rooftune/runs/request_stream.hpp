#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/plan/watch.hpp"

namespace rooftune::runs {

/// Finished requests line by line: CSV with a header (`arrival_s`, `input_tokens`, `output_tokens`, `ttft_ms`, `e2e_ms`, more columns
/// are left alone), or JSON objects with these members, one a line. The first line that is not empty says which.
class RequestStream {
 public:
  /// `name` is what messages call the source.
  explicit RequestStream(std::string name) : name_(std::move(name)) {}

  /// The request of the next line; empty for a header or an empty line.
  [[nodiscard]] core::Result<std::optional<plan::FinishedRequest>> line(std::string_view text);

 private:
  std::string name_;
  std::optional<std::string> header_;
  bool is_json_ = false;
  int line_ = 0;
};

}  // namespace rooftune::runs
