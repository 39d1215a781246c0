#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace rooftune::observe {

/// Reads the server-sent events of a streaming completion as they come, in pieces of any size.
class CompletionStream {
 public:
  /// Gives the number of events that ended with these bytes and carried text.
  int feed(std::string_view bytes);

  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] const std::optional<int>& prompt_tokens() const { return prompt_tokens_; }
  [[nodiscard]] const std::optional<int>& completion_tokens() const { return completion_tokens_; }
  /// What the server answered in place of events, or an error event: its first words.
  [[nodiscard]] const std::string& complaint() const { return complaint_; }

 private:
  /// 1 for an event that carries text, else 0.
  int read_line(std::string_view line);
  int read_event(std::string_view data);

  std::string rest_;  ///< of a line that has not ended
  std::string complaint_;
  std::optional<int> prompt_tokens_;
  std::optional<int> completion_tokens_;
  bool ended_ = false;
};

}  // namespace rooftune::observe
