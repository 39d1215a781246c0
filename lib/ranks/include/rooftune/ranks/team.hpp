#pragma once

#include <functional>
#include <memory>
#include <string>

#include "rooftune/core/ranks.hpp"
#include "rooftune/ranks/transport.hpp"

namespace rooftune::ranks {

struct TeamOptions {
  /// Leader: told what a user should know: a rank that has other files, or that cannot serve.
  std::function<void(const std::string& warning)> warn = {};
  /// The others: the leader was interrupted.
  std::function<void()> on_stop = {};
};

/// Ranks over a transport; rank 0 leads. When a leader goes, it ends the others; they go only when it has.
class Team : public core::Ranks {
 public:
  /// Another rank says before it goes why it did not serve.
  virtual void leave(const std::string& why) = 0;
};

[[nodiscard]] std::unique_ptr<Team> make_team(std::unique_ptr<Transport> transport, TeamOptions options);

}  // namespace rooftune::ranks
